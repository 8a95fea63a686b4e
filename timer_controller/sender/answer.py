"""What an answer says, in the words of `Result`."""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from timer_controller.sender.faults import WITHHELD
from timer_controller.sender.protocol import ANSWER_BYTES_KEPT, Result
from timer_db.domain.states import Outcome

BODY_BYTES_READ = 65_536
"""An answer's body is read up to here. One that goes on is taken as whole, and its connection is dropped: the
receiver has said what it thinks of the call, and nobody reads the rest."""
HEAD_BYTES_READ = 65_536
"""An answer's status line and headers may be this long; one that goes on is no answer."""

_REASON_LETTERS = 200
"""Some reasons quote the receiver."""
_SECONDS = re.compile(r"[0-9]{1,10}")


def _verdict(status: int, phrase: str = "") -> tuple[Outcome, str]:
    outcome = Outcome.delivered if 200 <= status < 300 else Outcome.rejected
    return outcome, f"answered {status} {phrase}".rstrip()


_VERDICTS = {status.value: _verdict(status, status.phrase) for status in HTTPStatus}


def answered(status: int, retry_after: str | None, body: bytes, first_byte_at: float) -> Result:
    """The result of a call that got a whole answer."""
    outcome, reason = _VERDICTS.get(status) or _verdict(status)
    wait_seconds = None
    if retry_after is not None and outcome is not Outcome.delivered:
        wait_seconds = retry_after_seconds(retry_after, time.time())
    return Result(outcome, reason, status, wait_seconds, body[:ANSWER_BYTES_KEPT], first_byte_at, time.monotonic())


def unanswered(reason: str, first_byte_at: float | None) -> Result:
    """The result of a call without a whole answer: `not_sent` when no byte left, else `unknown`."""
    outcome = Outcome.not_sent if first_byte_at is None else Outcome.unknown
    return Result(outcome, reason[:_REASON_LETTERS], first_byte_at=first_byte_at, finished_at=time.monotonic())


def forbidden(reason: str) -> Result:
    """The result of a call that cannot be made, or may not be."""
    result = unanswered(reason, None)
    result.forbidden = True
    return result


def withheld() -> Result:
    """The result of a call that `may_send` forbade."""
    return Result(Outcome.not_sent, WITHHELD, finished_at=time.monotonic(), withheld=True)


def retry_after_seconds(value: str, now: float) -> float | None:
    """A `Retry-After` header as seconds from `now` (Unix time); None when it is neither number nor date."""
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            # "-0000", and asctime's form without a zone: HTTP dates are UTC (RFC 9110, 5.6.7).
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, OverflowError):
        return None
