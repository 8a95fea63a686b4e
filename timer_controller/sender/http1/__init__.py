"""HTTP/1.1 of our own: the hot path of delivery.

`sender` takes a call, `pool` finds or makes a connection, `connection` carries one exchange at a time, `resolver`
turns names into addresses, and `sweeper` ends what took too long.
"""

from timer_controller.sender.http1.sender import Http1Sender

__all__ = ["Http1Sender"]
