"""Which network addresses may be called: checked on what a name resolves to, when it is connected to."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from services.gateway.vendors.port import VendorRejected

# Addresses that carry an IPv4 address in their last 32 bits, by which a private one could be reached.
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):
    """The name leads to an address inside a private network."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is not a public address: vendors are called on public addresses only")


class GuardedResolver(AbstractResolver):
    """Resolves names, and keeps only addresses that may be called.

    The connection is made to exactly the addresses returned here, so a name that changes its
    answer between check and use gains nothing.
    """

    def __init__(self, *, allow_private: bool, inner: AbstractResolver | None = None) -> None:
        self._allow_private, self._inner = allow_private, inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the permitted addresses of the host. Raises `AddressRefused` if none is."""
        found = await self._inner.resolve(host, port, family)
        allowed = [entry for entry in found if self._allow_private or is_public(entry["host"])]
        if not allowed:
            raise AddressRefused(host)
        return allowed

    async def close(self) -> None:
        """Close the resolver behind this one."""
        await self._inner.close()


def refuse_literal(host: str, *, allow_private: bool) -> None:
    """Raise `VendorRejected` if the host is a literal address that may not be called."""
    # Literal addresses are connected to without asking any resolver.
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return
    if not allow_private and not is_public(host):
        raise VendorRejected(str(AddressRefused(host)))


def is_public(text: str) -> bool:
    """Say whether a literal address belongs to the public internet."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        address = _embedded(address) or address
    return address.is_global and not address.is_multicast


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
