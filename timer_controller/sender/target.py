"""Where a call goes: what both senders read from a URL.

A path is sent as it was given, dot segments included: a receiver may have signed it. Only what cannot stand
in a request line is percent-encoded. A fragment is left out. `user:password@` becomes Basic authorization.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote, unquote

import idna

from timer_db.domain.errors import TimerError

_URL = re.compile(r"([A-Za-z]+://[^/?#]*)([^#]*)")
_PREFIX = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:(?P<user>[A-Za-z0-9._~!$&'()*+,;=%:-]*)@)?"
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:@\[\]\\%]+))"
    r"(?::(?P<port>[0-9]{0,5}))?",
    re.IGNORECASE,
)
_HOST = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_~-]{1,63}\.)*[A-Za-z0-9_~-]{1,63}\.?")
_METHOD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TARGET_SAFE = "!$%&'()*+,-./:;=?@[]_~"
SAFE_TARGET = re.compile(r"/[A-Za-z0-9" + re.escape(_TARGET_SAFE) + "]*")
"""A request target that goes on the wire as it is; without '#', which begins the fragment."""


class UrlRefused(TimerError):
    """This URL, or this method, cannot be called; the message says why."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One place to connect to, and what a request says there."""

    secure: bool
    host: str
    """ASCII; an IPv6 address without its brackets."""
    port: int
    host_header: str
    authorization: str | None
    """A whole `Authorization` value, when the URL held a user."""


def split_url(url: str) -> tuple[str, str]:
    """`scheme://authority`, and the request target as it goes on the wire. Raises `UrlRefused`."""
    match = _URL.match(url)
    if match is None:
        raise UrlRefused("the URL is not absolute http or https")
    prefix, target = match.groups()
    if not target.startswith("/"):
        target = "/" + target
    if not SAFE_TARGET.fullmatch(target):
        target = quote(target, safe=_TARGET_SAFE, errors="replace")
    return prefix, target


@lru_cache(maxsize=1024)
def parse_destination(prefix: str) -> Destination:
    """What `scheme://authority` names. Raises `UrlRefused`."""
    match = _PREFIX.fullmatch(prefix)
    if match is None:
        raise UrlRefused("the URL is not absolute http or https with a valid host")
    scheme = match["scheme"].lower()
    host = _ipv6_host(match["ipv6"]) if match["ipv6"] else _ascii_host(match["host"])
    default_port = _DEFAULT_PORTS[scheme]
    port = int(match["port"] or default_port)
    if not 0 < port < 65_536:
        raise UrlRefused(f"the URL's port {port} does not exist")
    shown = f"[{host}]" if match["ipv6"] else host
    return Destination(
        secure=scheme == "https",
        host=host,
        port=port,
        host_header=shown if port == default_port else f"{shown}:{port}",
        authorization=_basic(match["user"]) if match["user"] else None,
    )


def user_of(prefix: str) -> tuple[str, str] | None:
    """User and password of `scheme://user:password@host`."""
    match = _PREFIX.fullmatch(prefix)
    if match is None or not match["user"]:
        return None
    name, _, password = match["user"].partition(":")
    return unquote(name), unquote(password)


@lru_cache(maxsize=64)
def check_method(method: str) -> str:
    """The method itself. Raises `UrlRefused` for what is none, and for CONNECT, which asks for a tunnel."""
    if not _METHOD.fullmatch(method) or method.upper() == "CONNECT":
        raise UrlRefused(f"the method {method[:20]!r} cannot be called")
    return method


def _ipv6_host(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise UrlRefused("the URL's IPv6 address is not valid") from None
    if not isinstance(address, IPv6Address):
        raise UrlRefused("the URL has an IPv4 address in brackets")
    return str(address)


def _ascii_host(text: str) -> str:
    """Lower case, and IDNA 2008 for names that are not ASCII."""
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise UrlRefused(f"the URL's host is no valid name: {error}") from None
    if not _HOST.fullmatch(text):
        raise UrlRefused("the URL's host is no valid name")
    return text.lower()


def _basic(user: str) -> str:
    name, _, password = user.partition(":")
    return "Basic " + b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode("ascii")
