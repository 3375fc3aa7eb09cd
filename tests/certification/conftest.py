"""The suite's one gateway, every vendor's system, and which vendor and kind each test is about.

A test that takes a `world` runs once for each vendor folder; one that takes `each_kind` too, once for each
kind of record in each manifest. No test names a vendor: what one cannot do it says itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from psycopg.rows import dict_row
from yarl import URL

from services.gateway.vendors.manifest import VENDORS, Manifest, ManifestError, load_manifest
from tests.certification.bench import OpenAccount, System
from tests.certification.world import OpenWorld, Site, World
from tests.support.database import MigratedDatabase, copy_of_template
from tests.support.fake_sync import running_sync
from tests.support.gateway_process import built_gateway, make_secrets
from wedsync.client import CommitsClient, GatewayClient, open_channel
from wedsync.model.items import ItemKind
from wedsync.testing.faults import FaultProxy

TIMEOUT_SECONDS = 1.0
"""What the gateway waits for an answer, instead of what the manifests say."""

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the whole suite in one event loop: its gateway lives as long as the session."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its vendors."""
    if "each_kind" in metafunc.fixturenames:
        pairs = [(vendor, kind) for vendor in vendors() for kind in kinds(vendor)]
        ids = [f"{vendor}-{kind}" for vendor, kind in pairs]
        metafunc.parametrize(("vendor", "each_kind"), pairs, ids=ids)
    elif "vendor" in metafunc.fixturenames:
        metafunc.parametrize("vendor", vendors())


def vendors() -> list[str]:
    """Return the vendor folders."""
    return sorted(path.parent.name for path in VENDORS.glob("*/manifest.yaml"))


@cache
def described(vendor: str) -> Manifest:
    """Return a vendor's manifest. Raises `ManifestError`."""
    return load_manifest(VENDORS / vendor)


def kinds(vendor: str) -> list[ItemKind | None]:
    """Return the kinds a manifest names; of one that is not valid, none in particular."""
    try:
        return list(described(vendor).kinds)
    except ManifestError:
        return [None]


@pytest.fixture(scope="session")
def own_database(database_template: MigratedDatabase, postgres_admin_url: str) -> Iterator[MigratedDatabase]:
    """A database of the suite's own."""
    with copy_of_template(database_template, postgres_admin_url) as copy:
        yield copy


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(
    own_database: MigratedDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """A gateway within this process, and a relay before it that vendors take for it."""
    secrets = make_secrets(tmp_path_factory.mktemp("secrets"))
    async with contextlib.AsyncExitStack() as stack:
        sync = await stack.enter_async_context(running_sync(secrets.api_keys))
        relay = await stack.enter_async_context(FaultProxy().running())
        # Nothing is polled but when a test wants it to be: what comes earlier came by webhook.
        gateway = await stack.enter_async_context(
            built_gateway(
                own_database,
                secrets,
                sync,
                public_url=relay.url,
                vendor_poll_seconds=3600,
                vendor_timeout_seconds=TIMEOUT_SECONDS,
            )
        )
        relay.server = gateway.http
        client = await stack.enter_async_context(open_channel(gateway.target, api_key=secrets.keys["studio"]))
        internal = await stack.enter_async_context(
            open_channel(gateway.target, api_key=secrets.keys["internal"])
        )
        tables = await psycopg.AsyncConnection.connect(
            own_database.admin_url, autocommit=True, row_factory=dict_row
        )
        stack.push_async_callback(tables.close)
        yield Site(gateway, GatewayClient(client), CommitsClient(internal), relay, tables)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def systems(scratch: Path) -> AsyncIterator[Systems]:
    """Every vendor's system, started when it is first asked for."""
    async with contextlib.AsyncExitStack() as stack:
        yield Systems(stack, scratch)


class Systems:
    """Vendors' systems that run until the end of the session."""

    def __init__(self, stack: contextlib.AsyncExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._open: dict[str, OpenAccount] = {}

    async def account(self, vendor: str) -> OpenAccount:
        """Return what opens accounts at a vendor."""
        if vendor not in self._open:
            system = _system(vendor)(self._folder / vendor)
            self._open[vendor] = await self._stack.enter_async_context(system)
        return self._open[vendor]


def _system(vendor: str) -> System:
    name = f"tests.certification.vendors.{vendor}"
    if find_spec(name) is None:
        pytest.fail(f"there is no tests/certification/vendors/{vendor}.py: see tests/certification/bench.py")
    system: System = import_module(name).system
    return system


@pytest.fixture
def manifest(vendor: str) -> Manifest:
    """The vendor's manifest."""
    return described(vendor)


@pytest_asyncio.fixture(loop_scope="session")
async def open_world(
    request: pytest.FixtureRequest, site: Site, systems: Systems, vendor: str, manifest: Manifest
) -> AsyncIterator[OpenWorld]:
    """What opens an empty account of the vendor for a wedding, by default one of its own."""
    kind = request.node.callspec.params.get("each_kind") or next(iter(manifest.kinds))
    site.relay.script.clear()
    site.relay.kept_back.clear()
    async with contextlib.AsyncExitStack() as stack:

        async def opened(wedding_id: str = "") -> World:
            account = await systems.account(vendor)
            bench = await stack.enter_async_context(account())
            proxy = await stack.enter_async_context(FaultProxy(str(URL(bench.base_url).origin())).running())
            world = World(site, manifest, kind, bench, proxy, wedding_id)
            stack.push_async_callback(world.disconnect)
            return world

        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def unlinked(open_world: OpenWorld) -> World:
    """An empty account that is not linked to its wedding yet."""
    return await open_world()


@pytest_asyncio.fixture(loop_scope="session")
async def world(unlinked: World) -> World:
    """An empty account that is linked to its wedding."""
    await unlinked.connect()
    return unlinked
