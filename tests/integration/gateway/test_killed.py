"""The gateway as a process, killed where it hurts: what it accepted is neither lost nor doubled."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp

from tests.support.database import MigratedDatabase
from tests.support.fake_sync import FakeSync
from tests.support.gateway_process import Gateway, Secrets, Studio, gateway_process, settings_of, until
from tests.support.gateway_store import leases_end
from wedsync.model.items import ItemKind
from wedsync.runtime.embedded.process import Child

_RARELY = {"vendor_poll_seconds": 3600}
_VOWS = {"title": "Vows", "starts_at": "2027-06-12T15:00:00[America/New_York]"}


async def killed(child: Child) -> None:
    """End the process as a crash does."""
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    assert await asyncio.to_thread(child.exited, 10)


async def accepted(url: str, studio: Studio) -> str:
    """Make a payment in Tave and send its webhook; return the payment once it was accepted."""
    payment = await studio.ui("POST", "/payment", {"jobId": studio.job_id, "amount": 1250, "memo": "Deposit"})
    async with aiohttp.request("POST", f"{url}?event=payment.created", json=payment) as answer:
        assert answer.status == 202
    return str(payment["id"])


def payments(sync: FakeSync) -> int:
    """Say how many payments there are."""
    return len([item for item in sync.items.values() if item.kind is ItemKind.PAYMENT])


async def test_killed_between_accept_and_send(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, studio: Studio, wedding_id: str
) -> None:
    """Killed before the sync service answered: its successor sends the same change, which counts once."""
    async with gateway_process(database, secrets, sync, **_RARELY) as (gateway, child):
        linked = await studio.link(gateway, wedding_id)
        sync.received.clear()
        sync.open.clear()
        await accepted(linked.webhook_url, studio)
        await until(lambda: sync.received, "the change is on its way")
        await killed(child)
    sync.open.set()
    leases_end(database.admin_url)
    async with gateway_process(database, secrets, sync, **_RARELY) as (gateway, _):
        await until(lambda: _applied(gateway), "the successor records the answer")
        [webhook] = await until(lambda: gateway.webhooks("processed"), "the webhook is done")
    assert len(sync.received) >= 2
    assert len({change.SerializeToString(deterministic=True) for change in sync.received}) == 1
    assert list(webhook.change_ids) == [sync.received[0].change_id]
    assert payments(sync) == 1


def _applied(gateway: Gateway) -> bool:
    rows = gateway.sql("SELECT state FROM gateway.vendor_activities WHERE webhook_id IS NOT NULL")
    return [row["state"] for row in rows] == ["applied"]


async def test_killed_while_it_reads_the_vendor(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, studio: Studio, wedding_id: str
) -> None:
    """Killed after 202 but before the record was read: the webhook is read by its successor."""
    async with gateway_process(database, secrets, sync, **_RARELY) as (gateway, child):
        linked = await studio.link(gateway, wedding_id)
        reads = studio.sandbox.traffic
        studio.fault(method="GET", path="/payment/", delay_ms=5_000)
        await accepted(linked.webhook_url, studio)
        await until(lambda: not reads.faults, "the vendor is being asked")
        await killed(child)
    assert payments(sync) == 0
    leases_end(database.admin_url)
    async with gateway_process(database, secrets, sync, **_RARELY) as (gateway, _):
        await until(lambda: _applied(gateway), "the successor reads it")
    assert payments(sync) == 1


async def test_killed_while_the_vendor_writes(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, studio: Studio, wedding_id: str
) -> None:
    """Killed with a create of unknown outcome: the successor finds what it made and does not repeat it."""
    async with gateway_process(database, secrets, sync, **_RARELY) as (gateway, child):
        await studio.link(gateway, wedding_id)
        studio.fault(method="POST", path="/event", apply=True, drop=True)
        studio.fault(method="GET", path="/event", delay_ms=5_000)
        await gateway.accept(await sync.edit(wedding_id, _VOWS))
        await until(lambda: not studio.sandbox.traffic.faults, "it asks what became of its create")
        await killed(child)
    leases_end(database.admin_url)
    async with gateway_process(database, secrets, sync, **_RARELY) as (gateway, _):
        await until(lambda: _quiet(gateway, wedding_id), "the successor settles the delivery")
    assert studio.count("POST /event") == 1
    assert studio.names() == ["Vows"]


async def _quiet(gateway: Gateway, wedding_id: str) -> bool:
    return not await gateway.deliveries(wedding_id, "due")


async def test_told_to_end_it_ends(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, studio: Studio, wedding_id: str
) -> None:
    """SIGTERM lets what runs finish and ends with status 0; no secret is in the log."""
    async with gateway_process(database, secrets, sync) as (gateway, child):
        await studio.link(gateway, wedding_id)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGTERM)
        assert await asyncio.to_thread(child.exited, 15)
        assert child.exit_status == 0
    log = child.launch.log.read_text()
    assert not [key for key in (*secrets.keys.values(), "sandbox-key") if key in log]


async def test_a_missing_setting_is_named(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, tmp_path: Path
) -> None:
    """Started without a setting it needs, it ends with status 2 and says which to set."""
    settings = settings_of(database, secrets, sync)
    del settings["vault_keys_file"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEDSYNC_")}
    environment = inherited | {f"WEDSYNC_{name.upper()}": str(value) for name, value in settings.items()}
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.gateway"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 2
    assert "WEDSYNC_VAULT_KEYS_FILE: is not set" in run.stderr
