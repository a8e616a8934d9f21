from __future__ import annotations

from ipaddress import ip_address

import pytest

from tools_runtime.search.addresses import AddressPolicy, is_public

PUBLIC = """
    1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 169.253.255.255 172.15.255.255
    172.32.0.1 192.0.1.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 223.255.255.255
    2606:4700::1111 2001:4860:4860::8888 2a00:1450::1 2400:cb00::1 2001:200::1 ::ffff:8.8.8.8 64:ff9b::808:808
"""

NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.1.2.3 127.255.255.255
    169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.0.200 192.0.2.1 192.31.196.1
    192.52.193.1 192.88.99.1 192.168.0.1 192.168.255.255 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1
    203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::7f00:1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:7f00:1
    64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::
    2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 2620:4f:8000::1 3fff::1 4000::1 5f00::1
    fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_special_addresses_are_not(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    ("host", "port", "address", "permitted"),
    [
        ("wiki.corp", 8080, "10.0.0.5", True),
        ("wiki.corp.", 8080, "10.0.0.6", True),
        ("wiki.corp", 8081, "10.0.0.5", False),
        ("wiki.corp", 80, "10.0.0.5", False),
        ("sub.wiki.corp", 8080, "10.0.0.5", False),
        ("any.name", 9000, "127.0.0.1", True),
        ("any.name", 9000, "::ffff:127.0.0.1", True),
        ("any.name", 9000, "127.0.0.2", False),
        ("any.name", 9001, "::1", True),
        ("any.name", 443, "8.8.8.8", True),
        ("any.name", 22, "8.8.8.8", False),
        ("any.name", 443, "127.0.0.1", False),
    ],
)
def test_what_is_allowed_is_allowed_for_exactly_that_port(host: str, port: int, address: str, permitted: bool) -> None:
    policy = AddressPolicy(["Wiki.corp:8080", "127.0.0.1:9000", "[0:0::1]:9001"])
    assert policy.permits(host, port, ip_address(address)) is permitted


@pytest.mark.parametrize("entry", ["host", "host:", ":80", "host:0", "host:99999", "host:http", "http://host/", ""])
def test_malformed_entries_are_refused_at_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        AddressPolicy([entry])
