"""A whole gateway between a scripted sync service and real vendors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import aiohttp

from services.gateway.settings import GatewaySettings
from services.gateway.wiring import build
from tests.support.database import MigratedDatabase
from tests.support.fake_sync import FakeSync
from tests.support.gateway_store import run_sql
from wedsync.api.gateway.v1 import commit_pb2, delivery_pb2, link_pb2
from wedsync.client import CommitsClient, GatewayClient, open_channel
from wedsync.clock import SystemClock
from wedsync.model.ids import new_id
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.process import Child, Launch, tail
from wedsync.runtime.principal import Scope, mint_key, write_keys
from wedsync.runtime.telemetry import Telemetry
from wedsync.runtime.vault import create_keys_file
from wedsync.testing.tave import SANDBOX_KEY, Sandbox, TaveStudio, running

ORGANIZATION = "studio"
POLL_SECONDS = 0.2
_START_SECONDS = 45.0

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Secrets:
    """The files a gateway reads at its start, and the keys in them."""

    directory: Path
    keys: Mapping[str, str]
    """By name: `studio` and `florist` may write, `reader` may read, `internal` is a service's."""

    @property
    def api_keys(self) -> Path:
        """Return where the keys' digests are."""
        return self.directory / "api_keys.json"


@dataclass(frozen=True)
class Gateway:
    """A running gateway and how to reach it."""

    http: str
    target: str
    secrets: Secrets
    sync: FakeSync
    admin_url: str

    @contextlib.asynccontextmanager
    async def client(self, key: str = "studio") -> AsyncIterator[GatewayClient]:
        """Yield a client with one of the keys."""
        async with open_channel(self.target, api_key=self.secrets.keys[key]) as channel:
            yield GatewayClient(channel)

    async def accept(self, *commits: commit_pb2.Commit) -> None:
        """Hand commits over as the sync service does."""
        async with open_channel(self.target, api_key=self.secrets.keys["internal"]) as channel:
            await CommitsClient(channel).accept_commits(commits)

    async def webhooks(self, state: str = "") -> list[delivery_pb2.Webhook]:
        """List what came in."""
        async with self.client() as client:
            return [webhook async for webhook in client.list_webhooks(state=state)]

    async def deliveries(self, wedding_id: str, state: str = "") -> list[delivery_pb2.Delivery]:
        """List what goes out."""
        async with self.client() as client:
            return [delivery async for delivery in client.list_deliveries(wedding_id, state=state)]

    def sql(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Ask the database as the superuser."""
        return run_sql(self.admin_url, query, *values)

    async def connect(
        self,
        wedding_id: str,
        vendor: str,
        *,
        base_url: str,
        credentials: Mapping[str, str],
        scope: Mapping[str, str],
    ) -> Linked:
        """Connect an account and link it; return once the vendor was scanned for the first time."""
        async with self.client() as client:
            connected = await client.connect_vendor(vendor, credentials=credentials, base_url=base_url)
            integration = connected.integration.integration_id
            link = await client.link_wedding(wedding_id, integration, scope=scope)
            linked = Linked(self, wedding_id, link.link_id, self.http + connected.webhook_path)
            await until(linked.scanned, f"{vendor} is scanned")
        return linked


@dataclass(frozen=True)
class Linked:
    """A link that works."""

    gateway: Gateway
    wedding_id: str
    link_id: str
    webhook_url: str

    async def state(self) -> link_pb2.Link:
        """Return how the link is doing."""
        async with self.gateway.client() as client:
            links = await client.list_links(self.wedding_id)
        return next(link for link in links if link.link_id == self.link_id)

    async def scanned(self) -> bool:
        """Say whether a scan has ended and everything it found has been answered."""
        link = await self.state()
        return link.HasField("scan_time") and not self.gateway.sql(
            "SELECT 1 FROM gateway.vendor_activities WHERE link_id = %s AND state = 'pending'", self.link_id
        )


@dataclass
class Studio:
    """A Tave studio with one job, and the person who works in it."""

    sandbox: Sandbox
    url: str
    browser: aiohttp.ClientSession
    job_id: str = ""

    @property
    def studio(self) -> TaveStudio:
        """Return what the studio keeps."""
        return self.sandbox.studio

    async def ui(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Do what a person does in Tave."""
        async with self.browser.request(method, f"{self.url}{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return {} if answer.status == 204 else dict(await answer.json())

    async def add_event(self, name: str) -> str:
        """Add an event to the job; return its id."""
        body = {"jobId": self.job_id, "name": name, "startDate": "2027-06-12", "startTime": "15:00:00"}
        return str((await self.ui("POST", "/event", body))["id"])

    def fault(self, **fault: Any) -> None:
        """Let the next matching requests fail."""
        self.sandbox.traffic.add_fault(fault)

    def names(self) -> list[str]:
        """Return the names of the job's events."""
        return sorted(event["name"] for event in self.studio.objects["event"].values())

    def count(self, request: str) -> int:
        """Return how often a request (`POST /event`) was seen."""
        return self.sandbox.traffic.counts[request]

    async def link(self, gateway: Gateway, wedding_id: str) -> Linked:
        """Link the job to a wedding."""
        return await gateway.connect(
            wedding_id,
            "tave",
            base_url=self.url,
            credentials={"api_key": SANDBOX_KEY},
            scope={"job_id": self.job_id},
        )


def make_secrets(directory: Path) -> Secrets:
    """Write the files a gateway needs."""
    scopes = {
        "studio": (ORGANIZATION, {Scope.READ, Scope.WRITE}),
        "florist": ("florist", {Scope.READ, Scope.WRITE}),
        "reader": (ORGANIZATION, {Scope.READ}),
        "internal": ("wedsync", {Scope.INTERNAL}),
    }
    minted = {
        name: mint_key(organization_id=organization, role="planner", actor=name, scopes=wanted)
        for name, (organization, wanted) in scopes.items()
    }
    secrets = Secrets(directory, {name: key for name, (key, _) in minted.items()})
    write_keys(secrets.api_keys, [entry for _, entry in minted.values()])
    (directory / "internal_key").write_text(secrets.keys["internal"])
    create_keys_file(directory / "vault.json")
    return secrets


def settings_of(database: MigratedDatabase, secrets: Secrets, sync: FakeSync, **but: Any) -> dict[str, Any]:
    """Return the settings of a gateway under test."""
    return {
        "database_url": database.app_url("gateway"),
        "worker_database_url": database.worker_url("gateway"),
        "api_keys_file": secrets.api_keys,
        "internal_key_file": secrets.directory / "internal_key",
        "vault_keys_file": secrets.directory / "vault.json",
        "sync_target": sync.target,
        "health_target": f"127.0.0.1:{free_port()}",
        "grpc_port": 0,
        "metrics_port": 0,
        "http_port": 0,
        "drain_seconds": 2,
        "vendor_private_addresses": True,
        "vendor_poll_seconds": POLL_SECONDS,
        "vendor_requests_per_second": 1000,
        **but,
    }


@contextlib.asynccontextmanager
async def built_gateway(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, **but: Any
) -> AsyncIterator[Gateway]:
    """Build the gateway within this process."""
    settings = GatewaySettings.model_validate(settings_of(database, secrets, sync, **but))
    async with build(settings, telemetry=Telemetry()) as app:
        http, target = f"http://127.0.0.1:{app.http_port}", f"127.0.0.1:{app.server.port}"
        yield Gateway(http, target, secrets, sync, database.admin_url)


@contextlib.asynccontextmanager
async def gateway_process(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, **but: Any
) -> AsyncIterator[tuple[Gateway, Child]]:
    """Run `python -m services.gateway`; whatever became of it is gone at the end."""
    grpc_port, http_port = free_port(), free_port()
    settings = settings_of(database, secrets, sync, grpc_port=grpc_port, http_port=http_port, **but)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEDSYNC_")}
    environment = {f"WEDSYNC_{name.upper()}": str(value) for name, value in settings.items()}
    log = secrets.directory / f"gateway-{new_id()}.log"
    child = Child(
        Launch(
            name="gateway",
            argv=[sys.executable, "-m", "services.gateway"],
            log=log,
            env={**inherited, **environment},
        )
    )
    child.start()
    gateway = Gateway(
        f"http://127.0.0.1:{http_port}", f"127.0.0.1:{grpc_port}", secrets, sync, database.admin_url
    )
    try:
        await until(lambda: _ready(gateway, child), "the gateway is ready", _START_SECONDS)
        yield gateway, child
    except BaseException as error:
        error.add_note(tail(log))
        raise
    finally:
        await asyncio.to_thread(child.stop)


@contextlib.asynccontextmanager
async def open_studio() -> AsyncIterator[Studio]:
    """Run a studio with one booked job."""
    sandbox = Sandbox(TaveStudio(SystemClock()))
    async with running(sandbox) as url, aiohttp.ClientSession(headers={"X-API-KEY": SANDBOX_KEY}) as browser:
        studio = Studio(sandbox, url, browser)
        job = await studio.ui("POST", "/job", {"name": "Okafor-Lindqvist", "stage": "booked"})
        studio.job_id = job["id"]
        yield studio


@overload
async def until(
    condition: Callable[[], Awaitable[_Found | None]], what: str, seconds: float = ...
) -> _Found: ...
@overload
async def until(condition: Callable[[], _Found | None], what: str, seconds: float = ...) -> _Found: ...
async def until(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Return the condition's answer once it is true; fail, saying what was waited for, if it takes longer."""
    clock = asyncio.get_running_loop()
    deadline = clock.time() + seconds
    while True:
        found = condition()
        answer = await found if isinstance(found, Awaitable) else found
        if answer:
            return answer
        assert clock.time() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.03)


async def _ready(gateway: Gateway, child: Child) -> bool:
    child.require_running()
    try:
        async with aiohttp.request("GET", f"{gateway.http}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
