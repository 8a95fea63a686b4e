"""Ranges of addresses, as people write them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


def parse_range(text: str) -> Network:
    """`10.0.0.0/8` as a network. ValueError says what is wrong with it."""
    try:
        network = ip_network(text.strip())
    except ValueError as error:
        raise ValueError(f"{error}; a range looks like 10.0.0.0/8") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError(f"{network} is IPv4 in the dress of IPv6; write it as IPv4")
    return network


def parse_ranges(text: str) -> list[Network]:
    """`10.0.0.0/8, ::1/128` as networks. ValueError names the one that is none."""
    return [parse_range(part) for part in text.split(",") if part.strip()]
