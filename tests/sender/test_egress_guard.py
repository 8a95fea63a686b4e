"""Which addresses and ports may be called: the guard by itself."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from timer_controller.egress import DENY_PORTS, EgressGuard, parse_ports
from timer_controller.settings import ControllerSettings
from timer_controller.special_addresses import METADATA, Address, is_public
from timer_db.domain.address_ranges import Network, parse_range, parse_ranges

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "223.255.255.255",
    "2001:200::1", "2606:4700::1111", "2a00:1450:4001::200e", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.1.1", "172.16.0.1",
    "172.31.255.255", "192.0.0.8", "192.0.0.9", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "100::1", "2001:2::1", "2001:20::1", "2001:db8::1", "3fff::1", "4000::1", "5f00::1", "fc00::1",
    "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "64:ff9b:1::1",
]  # fmt: skip


def guard(ranges: str = "") -> EgressGuard:
    return EgressGuard(parse_ranges(ranges))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_may_be_called(text: str) -> None:
    assert guard().address_refusal(ip_address(text)) is None


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_others_may_not_and_the_reason_names_the_setting(text: str) -> None:
    assert guard().address_refusal(ip_address(text)) == (
        f"{ip_address(text)} is not a public address; TIMER_EGRESS_ALLOW can open its range"
    )


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_a_range_opens_them(text: str) -> None:
    address = ip_address(text)
    assert guard(str(around(address))).address_refusal(address) is None
    assert guard(str(address)).address_refusal(address) is None
    beside = next(other for other in around(address) if other != address)
    assert guard(str(beside)).address_refusal(address) is not None


def around(address: Address) -> Network:
    """The range of two addresses that this one is in."""
    return ip_network(f"{address}/{address.max_prefixlen - 1}", strict=False)


@given(st.ip_addresses())
@example(ip_address("64:ff9b::1"))
def test_python_calls_global_whatever_is_taken_for_public(address: Address) -> None:
    """Two tables that were made apart. Ours is the narrower one."""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


def of(prefix: str, ipv4: str) -> str:
    """`prefix` with the address in its last 32 bits."""
    return str(IPv6Address(int(IPv6Address(prefix)) | int(IPv4Address(ipv4))))


def of_6to4(ipv4: str) -> str:
    return str(IPv6Address(0x2002 << 112 | int(IPv4Address(ipv4)) << 80 | 1))


def of_teredo(server: str, client: str) -> str:
    """RFC 4380, 4: the client's address is inverted."""
    hidden = int(IPv4Address(client)) ^ 0xFFFFFFFF
    return str(IPv6Address(0x20010000 << 96 | int(IPv4Address(server)) << 64 | hidden))


def of_translator(length: int, ipv4: str) -> str:
    """Behind 64:ff9b:1::/`length` (RFC 6052, 2.2)."""
    raw = bytearray(IPv6Address("64:ff9b:1::").packed)
    place = length // 8
    for byte in IPv4Address(ipv4).packed:
        place += place == 8 and length != 96
        raw[place] = byte
        place += 1
    return str(IPv6Address(bytes(raw)))


def test_the_shapes_are_those_of_the_rfcs() -> None:
    """RFC 6052, 2.4, has examples; RFC 4291, 2.5.5, and RFC 4380, 4, as well."""
    assert of_translator(48, "192.0.2.33") == "64:ff9b:1:c000:2:2100::"
    assert of_translator(64, "192.0.2.33") == "64:ff9b:1:0:c0:2:2100:0"
    assert of_translator(96, "192.0.2.33") == "64:ff9b:1::c000:221"
    assert of("64:ff9b::", "192.0.2.33") == "64:ff9b::c000:221"
    assert of_6to4("192.0.2.33") == "2002:c000:221::1"
    assert of_teredo("65.54.227.120", "192.0.2.45") == "2001:0:4136:e378::3fff:fdd2"


def encodings(ipv4: str) -> list[str]:
    """Every way to dress `ipv4` as IPv6 that is unwrapped, but the mapped one, which is the address itself."""
    return [
        of("::", ipv4),
        of("::ffff:0:0:0", ipv4),
        of("64:ff9b::", ipv4),
        of_6to4(ipv4),
        of_teredo(ipv4, "8.8.8.8"),
        of_teredo("8.8.8.8", ipv4),
        *(of_translator(length, ipv4) for length in (48, 56, 64, 96)),
    ]


INSIDE = ["127.0.0.1", "10.1.2.3", "169.254.1.2", "192.168.3.4", "169.254.169.254", "168.63.129.16"]


@pytest.mark.parametrize("inner", INSIDE)
def test_what_an_address_embeds_is_judged_as_well(inner: str) -> None:
    """Even where the outer one is opened; and the reason tells the inner one."""
    everything = guard("::/0")
    for outer in encodings(inner):
        assert guard().address_refusal(ip_address(outer)) is not None
        refusal = everything.address_refusal(ip_address(outer))
        assert refusal is not None, outer
        assert f"leads to {inner}, which " in refusal
        assert "TIMER_EGRESS_ALLOW" in refusal
        assert guard(f"::/0,0.0.0.0/0,{inner}/32").address_refusal(ip_address(outer)) is None
    mapped = ip_address(f"::ffff:{inner}")
    assert everything.address_refusal(mapped) == everything.address_refusal(ip_address(inner)) is not None


@pytest.mark.parametrize("inner", ["8.8.8.8", "93.184.215.14"])
def test_what_embeds_a_public_address_is_judged_by_itself(inner: str) -> None:
    """Only the well-known prefix of NAT64 is public: where there is no IPv4, it is the way to all receivers."""
    refused = {outer for outer in encodings(inner) if guard().address_refusal(ip_address(outer))}
    assert set(encodings(inner)) - refused == {of("64:ff9b::", inner)}
    assert all(guard("::/0").address_refusal(ip_address(outer)) is None for outer in refused)


def test_loopback_embeds_nothing_though_it_looks_so() -> None:
    assert guard("::1/128").address_refusal(ip_address("::1")) is None
    assert guard("::/128").address_refusal(ip_address("::")) is None


@pytest.mark.parametrize("address", METADATA, ids=str)
def test_metadata_is_opened_by_its_own_address_only(address: Address) -> None:
    for ranges in ("", "0.0.0.0/0,::/0", str(around(address))):
        refusal = guard(ranges).address_refusal(address)
        assert refusal is not None
        assert "serves metadata" in refusal
        assert "TIMER_EGRESS_ALLOW" in refusal
    assert guard(f"10.0.0.0/8,{address}").address_refusal(address) is None


def test_the_metadata_addresses_that_everybody_asks_about_are_known() -> None:
    asked = "169.254.169.254 fd00:ec2::254 169.254.170.2 100.100.100.200 168.63.129.16 fd20:ce::254"
    assert {ip_address(text) for text in asked.split()} <= set(METADATA)


@given(st.ip_addresses(v=4), st.sampled_from(list(METADATA)))
def test_no_reason_is_too_long_to_be_kept(inner: IPv4Address, metadata: Address) -> None:
    """A reason is cut at 200 letters: the name of the setting must stand before that."""
    longest = IPv6Address(2**128 - 1 - 2**100 + 2**77)
    for address in (inner, metadata, longest, ip_address(of("64:ff9b::", str(inner)))):
        assert len(guard().address_refusal(address) or "") <= 200


WEB_PORTS = [80, 81, 88, 443, 591, 3000, 4000, 4443, 5000, 7001, 8000, 8008, 8080, 8081, 8088, 8443, 8888, 9000,
             9080, 9090, 9443, 10000, 18080]  # fmt: skip
HARMFUL_PORTS = [7, 19, 21, 22, 23, 25, 53, 70, 110, 143, 389, 445, 465, 514, 587, 2375, 3306, 5432, 6379, 6667,
                 9100, 9200, 11211, 27017]  # fmt: skip


@pytest.mark.parametrize("port", HARMFUL_PORTS)
def test_a_port_on_which_a_post_does_harm_is_not_called(port: int) -> None:
    assert guard().port_refusal(port) == f"port {port} is not called: it is one of TIMER_EGRESS_DENY_PORTS"


@pytest.mark.parametrize("port", WEB_PORTS)
def test_the_ports_of_web_servers_are(port: int) -> None:
    assert guard().port_refusal(port) is None


def test_none_from_8000_to_8999_is_denied() -> None:
    assert not parse_ports(DENY_PORTS) & set(range(8000, 9000))


def test_no_port_is_denied_that_a_system_hands_out_by_itself() -> None:
    """Linux gives servers that ask for any port one from 32,768 on; IANA's own range begins higher."""
    assert max(parse_ports(DENY_PORTS)) < 32_768


def test_ports_are_read_as_written() -> None:
    assert parse_ports(" 25, 6665-6667 ,6667,") == {25, 6665, 6666, 6667}
    assert parse_ports("") == parse_ports(" , ") == frozenset()


@pytest.mark.parametrize(
    "text",
    ["smtp", "0", "65536", "25-", "-25", "30-20", "1-65536", "+25", "2 5", "1_0", "25;26", "２５", "25-26-27"],
)
def test_what_is_no_port_is_a_fault_of_the_setting(text: str) -> None:
    with pytest.raises(ValidationError, match="is no port; ports look like 25 or 6665-6669") as caught:
        ControllerSettings(db_url="mysql://u:p@db/timer", egress_deny_ports=f"80,{text}")
    assert [error["loc"] for error in caught.value.errors()] == [("egress_deny_ports",)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.0", None),
        ("10.0.0.1/8", "has host bits set"),
        ("10.0.0.0/33", "a range looks like"),
        ("localhost", "a range looks like"),
        ("::ffff:10.0.0.0/104", "write it as IPv4"),
    ],
)
def test_ranges_are_checked_at_the_start(text: str, words: str | None) -> None:
    if words is None:
        assert ControllerSettings(db_url="mysql://u:p@db/timer", egress_allow=text).egress_allow == text
        return
    with pytest.raises(ValidationError, match=words) as caught:
        ControllerSettings(db_url="mysql://u:p@db/timer", egress_allow=text)
    assert [error["loc"] for error in caught.value.errors()] == [("egress_allow",)]


def test_the_guard_is_on_without_any_setting() -> None:
    settings = ControllerSettings(db_url="mysql://u:p@db/timer")
    assert (settings.egress_allow, settings.egress_deny_ports) == ("", DENY_PORTS)


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("127.0.0.1", "127.0.0.1 "),
        ("127.0.0.1.", "127.0.0.1 "),
        ("127.1", "127.0.0.1 "),
        ("2130706433", "127.0.0.1 "),
        ("0x7f000001", "127.0.0.1 "),
        ("0177.0.0.1", "127.0.0.1 "),
        ("::1", "::1 "),
        ("::ffff:7f00:1", "127.0.0.1 "),
        ("64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe leads to 169.254.169.254"),
        ("localhost", "127.0.0.1 "),
        ("Localhost.", "127.0.0.1 "),
        ("a.localhost", "127.0.0.1 "),
        ("010.0.0.1", "the host is no address as one is usually written"),
        ("8.8.2056", "the host is no address as one is usually written"),
        ("134744072", "the host is no address as one is usually written"),
        ("0x08080808", "the host is no address as one is usually written"),
        ("127.0.0.08", "the host is no address as one is usually written"),
        ("10.0.0.09.", "the host is no address as one is usually written"),
        ("receiver.0x", "the host is no address as one is usually written"),
        ("8.8.8.8", None),
        ("8.8.8.8.", None),
        ("2606:4700::1111", None),
        ("example.com", None),
        ("17.example.com", None),
        ("notlocalhost", None),
        ("127.0.0.1.nip.io", None),
    ],
)
def test_a_host_that_is_an_address_is_judged_without_a_look_up(host: str, refused: str | None) -> None:
    refusal = guard().host_refusal(host)
    assert (refusal is None) if refused is None else str(refusal).startswith(refused)


# The ranges of a collection


@given(
    st.ip_addresses() | st.sampled_from(list(map(ip_address, [*PUBLIC, *NOT_PUBLIC]))),
    st.sampled_from(["", "10.0.0.0/8,fd00::/8"]),
    st.sampled_from(["0.0.0.0/0,::/0", "10.0.0.0/8", "8.8.8.8/32,2000::/3"]),
)
def test_narrowing_opens_nothing_and_closes_what_lies_outside(address: Address, allowed: str, ranges: str) -> None:
    wide = guard(allowed)
    narrow = wide.narrowed(tuple(parse_ranges(ranges)))
    if narrow.address_refusal(address) is None:
        assert wide.address_refusal(address) is None
        mapped = getattr(address, "ipv4_mapped", None)
        assert any((mapped or address) in network for network in parse_ranges(ranges))
    elif wide.address_refusal(address) is None and ranges == "0.0.0.0/0,::/0":
        pytest.fail("everything narrows nothing")


def test_what_an_address_embeds_is_held_to_the_ranges_as_well() -> None:
    wide = guard("10.0.0.0/8")
    through = ip_address("64:ff9b::10.0.0.1")
    assert wide.address_refusal(through) is None
    assert wide.narrowed(tuple(parse_ranges("64:ff9b::/96,10.0.0.0/8"))).address_refusal(through) is None
    for ranges in ("64:ff9b::/96", "10.0.0.0/8"):
        refusal = wide.narrowed(tuple(parse_ranges(ranges))).address_refusal(through)
        assert refusal is not None
        assert "egress_allow" in refusal


def test_no_ranges_narrow_nothing() -> None:
    wide = guard("10.0.0.0/8")
    assert wide.narrowed(None) is wide


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "a", "", "::ffff:10.0.0.0/104"])
def test_what_is_no_range_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match=r"a range looks like 10\.0\.0\.0/8|write it as IPv4"):
        parse_range(text)
