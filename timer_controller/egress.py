"""Which addresses may be called. Timers name URLs, and a URL can name the machine's own network."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def parse_ranges(text: str) -> list[Network]:
    """`10.0.0.0/8, ::1/128` as networks. ValueError names the one that is none."""
    try:
        return [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ValueError(f"{error}; ranges look like 10.0.0.0/8, separated by commas") from None


class EgressGuard:
    """Public addresses may be called; any other only when a range of `TIMER_EGRESS_ALLOW` holds it."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = tuple(allowed)

    def refusal(self, address: Address) -> str | None:
        """Why this address may not be called; None when it may."""
        if address.is_global and not address.is_multicast:
            return None
        if any(address in network for network in self._allowed):
            return None
        return f"{address} is not a public address; TIMER_EGRESS_ALLOW can open its range"
