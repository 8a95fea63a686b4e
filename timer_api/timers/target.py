"""Where the call goes and what it carries: which URLs, methods and headers a client may choose.

Strict, because what is accepted here is sent years later, by another program: a URL is RFC 3986 in ASCII, so
that no two readers see different hosts in it, and a header can neither end the request nor pose as ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from timer_api.errors import FieldError

URL_MAX = 2083
HEADERS_MAX = 64
HEADERS_CHARACTERS_MAX = 8192

# RFC 3986 without userinfo and fragment; square brackets and bars are common in queries, and do no harm.
URL_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9._\-\[\]:]+([/?][!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z|~]*)?$"
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.DOTALL,
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]@]*\]|[^:\[\]@]*)(?P<port>:.*)?", re.DOTALL)
# Possessive (++): a long path with one bad character must not be tried in every split.
_TARGET = re.compile(r"(?:[!$&'()*+,\-./0-9:;=?@A-Z\[\]_a-z|~]++|%[0-9A-Fa-f]{2})*+")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
# A host whose last part looks like a number is an address to some programs (WHATWG URL, "ends in a number").
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")

# RFC 9110, 5.6.2: what method and header names are made of.
TOKEN_PATTERN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
METHOD_PATTERN = r"^[!#$%&'*+.^_`|~0-9A-Z-]+$"
# RFC 9110, 5.5, without the bytes beyond ASCII, which have no agreed meaning: no control character, and no
# white space at either end.
VALUE_PATTERN = r"^([!-~]([\t -~]*[!-~])?)?$"

_METHODS_REFUSED = {
    "CONNECT": "it asks a proxy for a tunnel, and is no call",
    "TRACE": "it must not carry a body (RFC 9110, 9.3.8), and every call does",
}
# Set by the service itself, or about the connection, which is the service's own.
_HEADERS_RESERVED = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "idempotency-key",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_PREFIXES_RESERVED = ("proxy-", "timer-", "webhook-")


# Cached, since many timers call few URLs; what is refused raises, and is not kept.
@lru_cache(maxsize=1024)
def check_url(url: str) -> str:
    """The URL, its scheme in lower case. ValueError says what is wrong with it."""
    if len(url) > URL_MAX:
        raise ValueError(f"it has {len(url):,} characters; {URL_MAX:,} are possible")
    match = _URL.fullmatch(url)
    if not match:
        raise ValueError("it must be an absolute URL, such as https://example.com/hook")
    scheme = match["scheme"].lower()
    if scheme not in ("http", "https"):
        raise ValueError("it must begin with http:// or https://")
    if not url.isascii():
        raise ValueError("it must be ASCII: percent-encode the path, and write the host as xn--…")
    if match["fragment"] is not None:
        raise ValueError("the part behind # is never sent; leave it out")
    _check_authority(match["authority"])
    if not _TARGET.fullmatch(match["path"] + (match["query"] or "")):
        raise ValueError("its path or query has a character that must be percent-encoded")
    return scheme + url[len(scheme) :]


# Cached as well: with something of the timer's own in each URL, there are still few hosts.
@lru_cache(maxsize=4096)
def _check_authority(authority: str) -> None:
    if "@" in authority:
        raise ValueError("it holds credentials; send them in an Authorization header")
    match = _AUTHORITY.fullmatch(authority)
    if not match:
        raise ValueError("its host does not parse")
    port = match["port"]
    if port is not None and not (re.fullmatch(r":[0-9]{1,5}", port) and 0 < int(port[1:]) < 65_536):
        raise ValueError("its port must be 1 to 65535")
    _check_host(match["host"])


def _check_host(host: str) -> None:
    if not host:
        raise ValueError("it names no host")
    try:
        if host.startswith("["):
            # A zone (%eth0) means something on one machine only.
            if "%" in host:
                raise AddressValueError
            IPv6Address(host[1:-1])
            return
        labels = host.removesuffix(".").split(".")
        if _NUMERIC.fullmatch(labels[-1]):
            IPv4Address(host)
            return
    except AddressValueError:
        raise ValueError("its host is no IP address, though it looks like one") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("its host is no name: letters, digits, hyphens and dots")


def check_method(method: str) -> str:
    """The method, when a call can be made with it."""
    if method in _METHODS_REFUSED:
        raise ValueError(_METHODS_REFUSED[method])
    return method


def header_faults(headers: Mapping[str, str]) -> Iterator[FieldError]:
    """What is wrong with headers whose names and values are well-formed by themselves."""
    if len(headers) > HEADERS_MAX:
        yield FieldError("headers", f"there are {len(headers)}; {HEADERS_MAX} are possible")
    if sum(len(name) + len(value) for name, value in headers.items()) > HEADERS_CHARACTERS_MAX:
        yield FieldError("headers", f"together they may have {HEADERS_CHARACTERS_MAX:,} characters")
    seen: set[str] = set()
    for name in headers:
        lower = name.lower()
        if lower in _HEADERS_RESERVED or lower.startswith(_PREFIXES_RESERVED):
            yield FieldError(f"headers.{name}", "this header belongs to the service")
        if lower in seen:
            yield FieldError(f"headers.{name}", "it is given twice, in other capitals")
        seen.add(lower)
