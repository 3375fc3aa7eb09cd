"""Which addresses may be called."""

import socket
from datetime import UTC, datetime

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from services.gateway.vendor_address import AddressRefused, GuardedResolver, is_public, refuse_literal
from services.gateway.vendor_http import VendorHttp, retry_after
from services.gateway.vendors.port import VendorRejected


class _Answers(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses, self.closed = addresses, False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("17.253.144.10", True),
        ("2620:149:af0::10", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - it is refused
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:17.253.144.10", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_addresses_of_the_public_internet_are_public(address: str, public: bool) -> None:
    """Private, loopback, link-local, shared and multicast addresses are not public, however written."""
    assert is_public(address) is public


async def test_a_name_that_leads_inside_is_refused() -> None:
    """A public name that resolves to a private address is refused at connect time."""
    with pytest.raises(AddressRefused, match=r"vendor\.example is not a public address"):
        await GuardedResolver(allow_private=False, inner=_Answers("10.0.0.1", "::1")).resolve(
            "vendor.example"
        )


async def test_private_answers_are_left_out() -> None:
    """Of several addresses only the public ones are connected to."""
    resolver = GuardedResolver(allow_private=False, inner=_Answers("10.0.0.1", "17.253.144.10"))
    assert [entry["host"] for entry in await resolver.resolve("vendor.example")] == ["17.253.144.10"]


async def test_the_sandbox_may_call_this_machine() -> None:
    """With private addresses allowed nothing is refused, and the inner resolver is closed with ours."""
    inner = _Answers("127.0.0.1")
    resolver = GuardedResolver(allow_private=True, inner=inner)
    assert len(await resolver.resolve("localhost")) == 1
    await resolver.close()
    assert inner.closed


def test_literal_addresses_are_checked_too() -> None:
    """A literal private address is refused; a public one and a name are not."""
    refuse_literal("vendor.example", allow_private=False)
    refuse_literal("17.253.144.10", allow_private=False)
    refuse_literal("127.0.0.1", allow_private=True)
    with pytest.raises(VendorRejected, match="not a public address"):
        refuse_literal("127.0.0.1", allow_private=False)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://vendor.example/", "absolute https URL"),
        ("ftp://vendor.example/", "absolute https URL"),
        ("/only/a/path", "absolute https URL"),
        ("https://vendor.example:99999/", "malformed"),
        ("https://user:secret@vendor.example/", "must not contain credentials"),
        ("https://127.0.0.1/", "not a public address"),
        ("https://[::1]/", "not a public address"),
    ],
)
async def test_an_address_that_must_not_be_called_is_refused(url: str, says: str) -> None:
    """Plain http, odd schemes, credentials in the address and private literals are refused unsent."""
    async with VendorHttp() as http:
        with pytest.raises(VendorRejected, match=says) as caught:
            await http.request("GET", url)
    assert "secret" not in str(caught.value)


_NOW = datetime(2027, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("99999999999999", 86400.0),
        ("Fri, 01 Jan 2027 12:01:30 GMT", 90.0),
        ("Fri, 01 Jan 2027 12:01:30 -0000", 90.0),
        ("Fri, 01 Jan 2027 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    """Both forms are understood, bounded to a day, never negative, and nonsense is no wish at all."""
    assert retry_after({"retry-after": text}, _NOW) == seconds
