"""Which addresses the page fetcher may connect to.

``ipaddress``'s own ``is_global`` is not enough: Python 3.11.7 calls multicast, NAT64, 6to4, site-local and several
reserved blocks global, and other versions differ. So the IANA special-purpose registries stand here in full.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

WEB_PORTS = frozenset({80, 443})

_SPECIAL_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared (carrier-grade NAT)
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether ``address`` is an ordinary host of the public Internet.

    An IPv6 address that carries an IPv4 address (mapped, NAT64) is as public as the one that it carries.
    """
    if isinstance(address, IPv6Address):
        carried = _carried(address)
        if carried is None:
            return address in _GLOBAL_UNICAST_V6 and not any(address in block for block in _SPECIAL_V6)
        address = carried
    return not any(address in block for block in _SPECIAL_V4)


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped


class AddressPolicy:
    """Public addresses at web ports, and what ``allow`` opens: ``host:port``, the host a name or an address.

    A name opens whatever it resolves to, at that port; an address opens that address, whatever name led to it.
    Raises ``ValueError`` for an entry that is not ``host:port``.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._allowed = frozenset(map(_entry, allow))

    def permits(self, host: str, port: int, address: Address) -> bool:
        """Whether a connection for ``host`` (small letters) may go to ``address`` at ``port``."""
        carried = _carried(address) if isinstance(address, IPv6Address) else None
        names = (host.rstrip("."), str(address), str(carried or address))
        if any((name, port) in self._allowed for name in names):
            return True
        return port in WEB_PORTS and is_public(address)


def _entry(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"An address to allow is written host:port, not {text!r}.")
    try:
        return str(ip_address(host)), int(port)
    except ValueError:
        return host, int(port)
