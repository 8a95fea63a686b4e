"""For those who are called: is a call from your timers, and was it here before.

`Receiver` verifies. A `Seen` drops repeats: `SqlSeen` (in `timer_client.receive.sql`) in a transaction of your own
database, `MemorySeen` in one process.
"""

from timer_client.errors import NotVerified, ReceiveError, UnderWay
from timer_client.receive.seen import MemorySeen, Seen
from timer_client.receive.verify import Call, Receiver

__all__ = ["Call", "MemorySeen", "NotVerified", "ReceiveError", "Receiver", "Seen", "UnderWay"]
