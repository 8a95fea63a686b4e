"""The receivers that this controller calls: how many calls each has in flight, and who waits for it."""

from __future__ import annotations

import random
from collections.abc import Callable

from timer_controller.bottleneck import Bottleneck
from timer_controller.breaker import COOL_DOWN_MAX_SECONDS, Breaker, BreakerRules
from timer_controller.sender.target import UrlRefused, parse_destination, split_url
from timer_db.domain.destination import key_of
from timer_db.domain.queue_entry import QueueEntry

KNOWN_MAX = 4096
"""So many are remembered without a reason."""
OPEN_KEPT_SECONDS = 600.0
"""How long an open breaker is remembered when nobody calls its receiver any more."""
_NOWHERE = "no receiver"


class Destination(Bottleneck):
    """One receiver: scheme, host and port."""

    __slots__ = ("breaker", "calls", "is_calm", "probe")

    def __init__(self, name: str, breaker: Breaker) -> None:
        """`name` is `scheme://host:port`."""
        super().__init__(name, key_of(name))
        self.breaker = breaker
        self.calls = 0
        """In flight."""
        self.is_calm = True
        """False when a call to it needs more than a count: see `settle`."""
        self.probe: QueueEntry | None = None
        """The call that decides about an open breaker."""

    def settle(self) -> None:
        """After a change of `is_backed_up` or of the breaker."""
        self.is_calm = not self.is_backed_up and self.breaker.is_closed and self.breaker.failures == 0


class Destinations:
    """Finds the destination of a call, and forgets those of which there is nothing to know."""

    def __init__(self, rules: BreakerRules, draw: Callable[[], float] = random.random) -> None:
        self._rules = rules
        self._draw = draw
        self._by_prefix: dict[str, Destination] = {}
        self._by_key: dict[bytes, Destination] = {}
        self._forget_above = KNOWN_MAX
        self._looked_at = 0.0
        # Twice the longest time between two probes, as long as something waits for one.
        self._missed_seconds = 2 * max(COOL_DOWN_MAX_SECONDS, rules.cool_down_seconds)

    def of(self, url: str) -> Destination:
        """Where a call to this URL goes. All URLs that cannot be called share one."""
        cut = url.find("/", 8)
        # Only whole `scheme://authority` are keys, so what is cut elsewhere is not found.
        found = self._by_prefix.get(url[:cut]) if cut > 0 else None
        return found if found is not None else self._of_prefix(url)

    def known(self, key: bytes) -> Destination | None:
        """The destination with this key, when it is known."""
        return self._by_key.get(key)

    @property
    def in_trouble(self) -> int:
        """Those whose breaker is open, and for which something waited lately.

        A breaker closes when a call succeeds, so it stays open when no call is left to be made, and nobody minds.
        What waits for a route waits for its receiver too, and shows in that probes are made.
        """
        return sum(
            not known.breaker.is_closed and _is_in_use(known, self._looked_at, self._missed_seconds)
            for known in self._by_key.values()
        )

    def forget_idle(self, now: float) -> None:
        """When there are many, keep those that are in use or in trouble. For `in_trouble` this is the present."""
        self._looked_at = now
        if len(self._by_prefix) <= self._forget_above:
            return
        self._by_prefix = {p: d for p, d in self._by_prefix.items() if _is_in_use(d, now, OPEN_KEPT_SECONDS)}
        self._by_key = {d.key: d for d in self._by_prefix.values()}
        # Looking through all of them is not worth it again before there are twice as many.
        self._forget_above = max(KNOWN_MAX, 2 * len(self._by_prefix))

    def _of_prefix(self, url: str) -> Destination:
        try:
            prefix, _ = split_url(url)
            found = self._by_prefix.get(prefix)
            if found is not None:
                return found
            target = parse_destination(prefix)
        except UrlRefused:
            prefix = name = _NOWHERE
        else:
            host = f"[{target.host}]" if ":" in target.host else target.host
            name = f"{'https' if target.secure else 'http'}://{host}:{target.port}"
        destination = self._by_key.get(key_of(name)) or Destination(name, Breaker(self._rules, self._draw))
        self._by_key[destination.key] = self._by_prefix[prefix] = destination
        return destination


def _is_in_use(destination: Destination, now: float, kept_seconds: float) -> bool:
    if destination.calls or destination.line or destination.is_backed_up:
        return True
    breaker = destination.breaker
    return not breaker.is_closed and now - breaker.changed_at < kept_seconds
