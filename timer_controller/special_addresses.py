"""What kind of address one is: public or not, what other address it stands for, whose metadata it serves.

Tables of our own, and not `ipaddress.is_global`: what that says has changed between releases of Python, and this
must not depend on which one runs.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# What is not globally reachable by the IANA IPv4 Special-Purpose Address Registry (RFC 6890 and what updates it,
# https://www.iana.org/assignments/iana-ipv4-special-registry), and multicast. The few addresses inside that it
# calls reachable are anycast of network gear, and nobody's receiver.
_NOT_PUBLIC_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network (RFC 791); Linux takes 0.0.0.0 for the machine itself
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # shared by a carrier's customers (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "169.254.0.0/16",  # link-local (RFC 3927)
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.88.99.0/24",  # 6to4 relays, given up (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112), and the broadcast address
    )
)

# IPv6 the other way round: only global unicast is handed out to anybody (RFC 4291, 2.4;
# https://www.iana.org/assignments/ipv6-address-space), so that loopback, fc00::/7, fe80::/10, ff00::/8 and
# whatever will be reserved there is not public. In it, these are not
# (https://www.iana.org/assignments/iana-ipv6-special-registry).
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments (RFC 2928): Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056)
        "3fff::/20",  # documentation (RFC 9637)
    )
)

_COMPATIBLE = IPv6Network("::/96")  # IPv4-compatible, given up (RFC 4291, 2.5.5.1)
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")  # IPv4-translated (RFC 2765)
_NAT64 = IPv6Network("64:ff9b::/96")  # well-known prefix (RFC 6052); public by itself
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")  # for a network's own translators (RFC 8215)
_NOT_EMBEDDING = frozenset({IPv6Address("::"), IPv6Address("::1")})  # they lie in ::/96
_THIS_NETWORK = _NOT_PUBLIC_IPV4[0]

METADATA = {
    ip_address(text): whose
    for text, whose in (
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html; the IPv4 address is
        # that of Azure, Google, Oracle, OpenStack, DigitalOcean, Hetzner and most others as well.
        ("169.254.169.254", "most clouds"),
        ("fd00:ec2::254", "AWS"),
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
        ("169.254.170.2", "AWS ECS"),
        # https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
        ("169.254.170.23", "AWS EKS"),
        ("fd00:ec2::23", "AWS EKS"),
        # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16; public by its looks
        ("168.63.129.16", "Azure"),
        # https://cloud.google.com/compute/docs/metadata/querying-metadata (machines with IPv6 only)
        ("fd20:ce::254", "Google Cloud"),
        # https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
        ("100.100.100.200", "Alibaba Cloud"),
        ("fd00:100::100:200", "Alibaba Cloud"),
        # https://www.tencentcloud.com/document/product/213/4934 (metadata.tencentyun.com)
        ("169.254.0.23", "Tencent Cloud"),
        # https://docs.oracle.com/iaas/Content/Compute/Tasks/gettingmetadata.htm
        ("fd00:c1::a9fe:a9fe", "Oracle Cloud"),
        # https://docs.oracle.com/en/cloud/iaas/compute-iaas-cloud/stcsg/retrieving-instance-metadata.html
        ("192.0.0.192", "Oracle Cloud Classic"),
        # https://docs.openstack.org/nova/latest/user/metadata.html
        ("fe80::a9fe:a9fe", "OpenStack"),
        # https://docs.cloud-init.io/en/latest/reference/datasources/scaleway.html
        ("169.254.42.42", "Scaleway"),
        ("fd00:42::42", "Scaleway"),
        # https://docs.cloud-init.io/en/latest/reference/datasources/akamai.html
        ("fd00:a9fe:a9fe::1", "Akamai"),
    )
}
"""Addresses at which clouds tell a machine its secrets, and whose they are."""


def literal(host: str) -> Address | None:
    """The address that the host of a URL (without brackets) is, in whatever spelling; None for a name."""
    host = host.removesuffix(".")
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        # What C libraries, and so proxies, take for an address as well: 127.1, 0x7f000001, 2130706433, 0177.0.0.1.
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def plain(address: Address) -> Address:
    """An IPv4-mapped address (`::ffff:127.0.0.1`) as the IPv4 address that a connection to it goes to."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_public(address: Address) -> bool:
    """Whether anybody on the internet may have it. What it embeds is not looked at."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_IPV4)
    if address in _GLOBAL_UNICAST:
        return not any(address in network for network in _NOT_PUBLIC_IPV6)
    return address in _NAT64


def embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that translators and tunnels may send on to, when `address` is called."""
    if isinstance(address, IPv4Address) or address in _NOT_EMBEDDING:
        return
    if address in _COMPATIBLE or address in _TRANSLATED or address in _NAT64:
        yield _bits(address, 96)
    elif address in _NAT64_LOCAL:
        yield from _of_local_translator(address)
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo  # the server and the client


def _of_local_translator(address: IPv6Address) -> Iterator[IPv4Address]:
    """Each way to read it (RFC 6052, 2.2): how long its network's prefix is, only the network knows.

    A reading in 0.0.0.0/8 is one with the wrong length, since no translator sends there; so ::8.8.8.8 behind a
    prefix of 96 bits is not taken for 0.0.0.0 behind one of 48.
    """
    for length in (48, 56, 64, 96):
        read = _bits(address, length)
        if read not in _THIS_NETWORK:
            yield read


def _bits(address: IPv6Address, length: int) -> IPv4Address:
    """The IPv4 address behind a prefix of `length` bits. The ninth byte is none of it (RFC 6052, 2.2)."""
    raw = address.packed if length == 96 else address.packed[:8] + address.packed[9:]
    return IPv4Address(raw[length // 8 : length // 8 + 4])
