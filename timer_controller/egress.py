"""What may be called. Timers name URLs, and a URL can name the machine's own network, or no web server at all.

docs/security.md says what is refused and why.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from copy import copy
from ipaddress import ip_address
from typing import Self

from timer_controller.special_addresses import METADATA, Address, embedded, is_public, literal, plain
from timer_db.domain.address_ranges import Network

_NUMBER_AT_END = re.compile(r"(?:\A|\.)(?:[0-9]+|0x[0-9a-f]*)\Z")
"""Such a host is an IPv4 address to many programs, or nothing (WHATWG URL, "ends in a number")."""
_PORT_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")

DENY_PORTS = (
    "1-79,"  # the old services of the internet: echo, FTP, SSH, Telnet, SMTP, DNS, Gopher, finger
    "110,119,143,465,563,587,993,995,4190,"  # mail and news
    "111,135,137-139,161,179,389,445,636,"  # machines and their directories: RPC, NetBIOS, SNMP, BGP, LDAP, SMB
    "512-515,548,873,2049,3389,9100,"  # remote shells, file shares, printers (which print whatever comes)
    "5060-5061,6665-6669,6697,"  # telephony, chat
    "1433,1521,3306,5432,5672,6379,9042,9092,11211,27017-27019,"  # databases, caches, queues
    "2375-2376,2379-2380,9200,9300,10250"  # HTTP that obeys a POST: Docker, etcd, Elasticsearch, kubelet
)
"""Ports on which a POST does harm, and no receiver listens. Servers of line protocols skip the lines that they do
not know and obey the others, which a body can hold; MySQL shuts a machine out that spoke no MySQL to it a hundred
times (`max_connect_errors`); Docker, etcd and their like do whatever a POST says. Browsers have such a list too
(https://fetch.spec.whatwg.org/#port-blocking).
"""


def parse_ports(text: str) -> frozenset[int]:
    """`25, 6665-6669` as ports. ValueError names the part that is none."""
    ports: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _PORT_RANGE.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 0 < first <= last < 65_536:
            raise ValueError(f"{part!r} is no port; ports look like 25 or 6665-6669, separated by commas")
        ports.update(range(first, last + 1))
    return frozenset(ports)


class EgressGuard:
    """Public addresses may be called, others only within a range of `TIMER_EGRESS_ALLOW`; at no address a port of
    `TIMER_EGRESS_DENY_PORTS`. Each refusal tells why, in words that name the setting; None when it may."""

    def __init__(self, allowed: Sequence[Network] = (), denied_ports: Collection[int] | None = None) -> None:
        """`denied_ports` None is `DENY_PORTS`."""
        self._allowed = tuple(allowed)
        self._exactly = frozenset(
            network.network_address for network in allowed if network.prefixlen == network.max_prefixlen
        )
        self._denied_ports = parse_ports(DENY_PORTS) if denied_ports is None else frozenset(denied_ports)
        self._within: tuple[Network, ...] | None = None

    def narrowed(self, within: tuple[Network, ...] | None) -> Self:
        """One that allows only what lies in these ranges, of what this one allows; None: all of that."""
        if within is None:
            return self
        guard = copy(self)
        guard._within = within
        return guard

    def address_refusal(self, address: Address) -> str | None:
        """About one address: it must be allowed itself, and so must what it embeds."""
        address = plain(address)
        if why := self._why_not(address):
            return f"{address} {why}"
        for inner in embedded(address):
            if why := self._why_not(inner):
                return f"{address} leads to {inner}, which {why}"
        return None

    def port_refusal(self, port: int) -> str | None:
        """About the port of a URL, at whatever address."""
        if port in self._denied_ports:
            return f"port {port} is not called: it is one of TIMER_EGRESS_DENY_PORTS"
        return None

    def host_refusal(self, host: str) -> str | None:
        """About the host of a URL (without brackets) that somebody else will look up: only one that is an address
        in some spelling, or that always means the machine itself, can be judged without that.

        010.0.0.1 is 8.0.0.1 to a C library and 10.0.0.1 to others. So an IPv4 address must be written as usual.
        """
        name = host.removesuffix(".").lower()
        addresses = _addresses_of(name)
        if refusal := next(filter(None, map(self.address_refusal, addresses)), None):
            return refusal
        if self._within is not None and not addresses:
            return "behind a proxy a name cannot be held to the ranges of its collection (egress_allow)"
        if _NUMBER_AT_END.search(name) and name not in map(str, addresses):
            return "the host is no address as one is usually written, and might be read as another by the proxy"
        return None

    def _why_not(self, address: Address) -> str | None:
        if self._within is not None and not any(address in network for network in self._within):
            return "is in none of the ranges of its collection (egress_allow)"
        if address in self._exactly:
            return None
        if (whose := METADATA.get(address)) is not None:
            return f"serves metadata ({whose}); only itself as a range in TIMER_EGRESS_ALLOW opens it"
        if is_public(address) or any(address in network for network in self._allowed):
            return None
        return "is not a public address; TIMER_EGRESS_ALLOW can open its range"


def _addresses_of(name: str) -> list[Address]:
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return [ip_address("127.0.0.1"), ip_address("::1")]
    found = literal(name)
    return [] if found is None else [found]
