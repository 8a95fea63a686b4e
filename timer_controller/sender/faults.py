"""Why a connection failed, in a few words for a person."""

from __future__ import annotations

import socket
import ssl

WITHHELD = "withheld: this controller may not send now"
TIMED_OUT = "no whole answer within the timeout"
TIMED_OUT_BEFORE_SENDING = "the timeout passed before anything was sent"


def describe(error: BaseException) -> str:
    """The first cause that has a plain name, outermost last."""
    link: BaseException | None = error
    while link is not None:
        known = _known(link)
        if known is not None:
            return known
        link = link.__cause__ or link.__context__
    return f"{type(error).__name__}: {error}".rstrip(": ")[:200]


def _known(error: BaseException) -> str | None:
    match error:
        case socket.gaierror():
            return f"the host's name cannot be looked up: {error.strerror}"
        case ssl.SSLCertVerificationError():
            return f"TLS: the certificate is refused: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error.strerror or error}"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError() | BrokenPipeError():
            return "connection reset"
        case OSError() if error.errno is not None and error.strerror:
            return error.strerror[:1].lower() + error.strerror[1:]
        case _:
            return None
