"""Published keys come through the one door to vendors: real requests, guarded addresses, no redirects."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from services.gateway.signatures.documents import KeyDocuments
from services.gateway.vendor_http import Limits, VendorHttp
from wedsync.clock import FakeClock
from wedsync.errors import Unavailable


class Site:
    """A web server on this machine, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Publish keys, and lead elsewhere from another path."""
        self.asked.append(request.path)
        if request.path == "/moved":
            raise web.HTTPFound("/keys")
        return web.Response(body=b"keys")

    def at(self, path: str, scheme: str = "http", host: str = "127.0.0.1") -> str:
        """Return an address of it."""
        return f"{scheme}://{host}:{self.port}{path}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Serve on a free port."""
    site, app = Site(), web.Application()
    app.router.add_get("/{path:.*}", site.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


async def test_keys_are_fetched_as_they_are_published(site: Site) -> None:
    """A document comes as its bytes, once; one that moved is not followed."""
    async with VendorHttp(limits=Limits(allow_private=True)) as http:
        documents = KeyDocuments(http, FakeClock())
        assert [await documents.get(site.at("/keys")) for _ in range(2)] == [b"keys", b"keys"]
        with pytest.raises(Unavailable):
            await documents.get(site.at("/moved"))
    assert site.asked == ["/keys", "/moved"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_nothing_inside_is_ever_asked(site: Site, scheme: str, host: str) -> None:
    """An address or name that leads into a private network is refused before anything is sent."""
    async with VendorHttp() as http:
        with pytest.raises(Unavailable):
            await KeyDocuments(http, FakeClock()).get(site.at("/keys", scheme, host))
    assert site.asked == []
