"""The Partner API's adapter against the running simulator, and both against the contract's own words."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import standardwebhooks
from aiohttp import web

from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.manifest import VENDORS, load_manifest
from services.gateway.vendors.partner_api.adapter import PartnerAdapter, create_adapter
from services.gateway.vendors.port import (
    Account,
    CursorLost,
    OutOfScope,
    RecordGone,
    Scan,
    VendorAuthFailed,
    VendorGarbage,
    VendorRejected,
    VersionMismatch,
)
from tests.support.guarded import guarded
from wedsync.clock import SystemClock
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.runtime.embedded.local import free_port
from wedsync.testing.partner_api import COLLECTION, TOKEN, WEBHOOK_SECRET, Collection, Sandbox, running
from wedsync.testing.partner_api.signing import signed

MANIFEST = load_manifest(VENDORS / "partner_api")
TOAST: Mapping[str, FieldValue] = {
    "title": "Toast",
    "starts_at": "2027-06-12T19:00:00[America/New_York]",
    "ends_at": None,
    "all_day": False,
    "location": "Old Barn",
    "notes": "first line\nsecond",
    "status": "confirmed",
    "tags": ("band", "cake"),
}
PAID: Mapping[str, FieldValue] = {
    "amount": "12500 USD",
    "status": "paid",
    "paid_on": "2027-01-02",
    "method": "card",
    "memo": "Deposit",
    "reference": "42",
    "refunded": None,
}
EVENT, PAYMENT = ItemKind.TIMELINE_EVENT, ItemKind.PAYMENT
THEIRS = {"kind": "task", "fields": {"title": "Order cake", "colour": "red"}}


@dataclass
class World:
    """An account with a collection, our adapter to it, and the people who use it."""

    url: str
    http: VendorHttp
    sandbox: Sandbox

    @property
    def collection(self) -> Collection:
        """What the people see and edit."""
        return self.sandbox.collections[COLLECTION]

    def port(self, *, token: str = TOKEN, collection: str = COLLECTION, **settings: str) -> PartnerAdapter:
        """Our adapter."""
        account = Account(
            integration_id="i", base_url=self.url, credentials={"token": token}, settings=settings
        )
        scope = {"collection_id": collection, "time_zone": "America/New_York"}
        return create_adapter(self.http, MANIFEST, account, scope)

    def make(self, record_id: str, **body: Any) -> None:
        """People make a record."""
        self.collection.put(record_id, {**THEIRS, **body}, match=None, none_match="*")

    def edit(self, record_id: str, **fields: Any) -> None:
        """People write fields."""
        known = self.collection.get(record_id)
        body = {"kind": known["kind"], "fields": fields}
        self.collection.put(record_id, body, match=f'"{known["version"]}"', none_match=None)


@pytest.fixture(name="world")
async def _world() -> AsyncIterator[World]:
    sandbox = Sandbox(SystemClock())
    async with running(sandbox) as url, VendorHttp(limits=Limits(allow_private=True)) as http:
        yield World(url, guarded(http, MANIFEST.with_rate(1000)), sandbox)


async def test_check_accepts_a_collection_that_is_there(world: World) -> None:
    """One that is not, or a token that is not valid, says what to do."""
    await world.port().check()
    with pytest.raises(VendorRejected, match="link another one"):
        await world.port(collection="nothing").check()
    with pytest.raises(VendorAuthFailed):
        await world.port(token="stolen").check()
    with pytest.raises(VendorAuthFailed, match="reconnect"):
        world.port(token="")


@pytest.mark.parametrize(("kind", "values"), [(EVENT, TOAST), (PAYMENT, PAID)])
async def test_what_is_created_is_found_and_read(
    world: World, kind: ItemKind, values: Mapping[str, FieldValue]
) -> None:
    """A record lies under its item's id, comes back as it was, and takes one request to make."""
    item = new_id()
    made = await world.port().create(kind, item, {p: v for p, v in values.items() if v is not None})
    assert (made.record_id, made.marker, made.version, made.fields) == (item, item, "1", values)
    assert world.sandbox.calls == {"PUT record": 1}
    assert await world.port().find(kind, item) == made == await world.port().read(item)
    again = await world.port().create(kind, item, values)
    assert again.existed
    assert again == made


async def test_a_write_names_its_version_and_leaves_the_rest(world: World) -> None:
    """What we do not map stays, null empties a field, and over another version nothing is written."""
    world.make("p1", fields={**THEIRS["fields"], "notes": "two tiers"})  # type: ignore[dict-item]
    seen = await world.port().read("p1")
    assert seen is not None
    after = await world.port().update(seen, {"title": "Order a cake", "notes": None})
    assert (after.version, after.fields["title"], after.fields["notes"]) == ("2", "Order a cake", None)
    assert world.collection.get("p1")["fields"] == {"title": "Order a cake", "colour": "red"}
    with pytest.raises(VersionMismatch):
        await world.port().update(seen, {"title": "late"})
    with pytest.raises(VersionMismatch):
        await world.port().delete(seen)
    await world.port().delete(after)
    await world.port().delete(after)
    with pytest.raises(RecordGone):
        await world.port().update(after, {"title": "too late"})
    assert await world.port().read("p1") is None


async def test_an_id_that_is_used_again_goes_on_with_its_versions(world: World) -> None:
    """So that what was shown of its first life is never news of its second."""
    item = new_id()
    made = await world.port().create(EVENT, item, TOAST)
    await world.port().delete(made)
    assert (await world.port().create(EVENT, item, TOAST)).version == "3"


async def test_without_its_collection_no_record_is_gone(world: World) -> None:
    """A record that is not there may be hidden with all others: that is no delete."""
    assert await world.port().read("never") is None
    del world.sandbox.collections[COLLECTION]
    with pytest.raises(VendorRejected, match="no such collection"):
        await world.port().read("never")


async def test_a_scan_tells_of_everything_and_then_of_what_moved(world: World) -> None:
    """Page by page; deletes are suspicions; a kind that is not kept is left alone."""
    for number in range(5):
        world.make(f"p{number}")
    world.collection.delete("p4", '"1"')
    first = await scanned(world, None)
    assert (len(first.records), len(first.missing)) == (4, 0)
    assert first.present == frozenset(("p0", "p1", "p2", "p3"))
    world.edit("p0", title="Order two cakes")
    world.collection.delete("p1", '"1"')
    second = await scanned(world, first.cursor)
    assert [record.version for record in second.records] == ["2"]
    assert (second.missing, second.present) == (["p1"], None)
    world.sandbox.forget_cursors()
    with pytest.raises(CursorLost):
        await scanned(world, second.cursor)
    assert len((await scanned(world, None)).records) == 3


async def scanned(world: World, cursor: Mapping[str, Any] | None) -> Scan:
    """Return all pages as one."""
    port, pages = world.port(page_size="2"), list[Scan]()
    while not pages or pages[-1].more:
        pages.append(await port.scan(cursor))
        cursor = pages[-1].cursor
    missing = [gone for page in pages for gone in page.missing]
    return Scan(
        records=[record for page in pages for record in page.records],
        missing=missing or (),
        present=pages[-1].present,
        cursor=pages[-1].cursor,
    )


def event(record: Any, kind: str = "record.updated", collection: str = COLLECTION) -> dict[str, Any]:
    """Return a webhook's event."""
    return {"type": kind, "collection": collection, "record": record}


async def test_an_event_shows_its_record_whole(world: World) -> None:
    """As a read would; but not what is deleted, makes no sense or belongs elsewhere."""
    world.make("p1")
    port, record = world.port(), world.collection.get("p1")
    assert list(port.shown(event(record))) == [await port.read("p1")]
    assert port.hints(event(record)) == ["p1"]
    assert (port.hints(event(record, "record.deleted")), port.shown(event(record, "record.deleted"))) == (
        ["p1"],
        (),
    )
    for odd in ({**record, "version": "7"}, {**record, "version": 0}, {**record, "fields": []}):
        assert (port.hints(event(odd)), port.shown(event(odd))) == (["p1"], ())
    for elsewhere in (event(record, collection="another"), event({**record, "kind": "invoice"})):
        assert (port.hints(elsewhere), port.shown(elsewhere)) == ([], ())
    for nonsense in ({}, event(None), event({"id": 5}), event({"id": ""})):
        with pytest.raises(VendorGarbage):
            port.hints(nonsense)


async def test_a_record_that_makes_no_sense_is_set_apart(world: World) -> None:
    """It holds up no other in a list, and says what is wrong when it is read."""
    world.make("p1", fields={"title": 5})
    world.make("p2")
    found = await world.port().scan(None)
    assert ([bad.record_id for bad in found.bad], len(found.records)) == (["p1"], 1)
    with pytest.raises(VendorGarbage, match="title"):
        await world.port().read("p1")
    world.collection.records["p2"]["kind"] = "invoice"
    with pytest.raises(OutOfScope):
        await world.port().read("p2")


async def test_webhooks_are_signed_as_the_convention_says(world: World) -> None:
    """Its own library believes what the simulator posts, for each write, and refuses one changed byte."""
    library, came = standardwebhooks.Webhook(WEBHOOK_SECRET), asyncio.Queue[Any]()

    async def take(request: web.Request) -> web.Response:
        body, headers = await request.read(), dict(request.headers)
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            library.verify(body.replace(b"p1", b"p2"), headers)
        came.put_nowait(library.verify(body, headers))
        return web.Response(status=202)

    server = web.Application()
    server.router.add_post("/", take)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    world.sandbox.deliveries.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    world.make("p1")
    world.edit("p1", title="Order two cakes")
    world.collection.delete("p1", '"2"')
    told = [await asyncio.wait_for(came.get(), 10) for _ in range(3)]
    await runner.cleanup()
    assert {each["type"]: each["record"]["version"] for each in told} == {
        "record.created": 1,
        "record.updated": 2,
        "record.deleted": 3,
    }


def test_a_signature_is_the_librarys() -> None:
    """Byte for byte, whether the secret has its prefix or not."""
    now, secret = SystemClock().now(), base64.b64encode(b"0123456789abcdef" * 2).decode()
    for written in (secret, f"whsec_{secret}"):
        ours = signed(written, "msg_1", b'{"a":1}', at=int(now.timestamp()))
        assert ours["webhook-signature"] == standardwebhooks.Webhook(written).sign("msg_1", now, '{"a":1}')


async def test_the_program_serves_and_is_steered() -> None:
    """`python -m wedsync.testing.partner_api` serves any collection until SIGTERM, as slowly as told."""
    port = free_port()
    program = [sys.executable, "-m", "wedsync.testing.partner_api", "--port", str(port), "--open"]
    process = await asyncio.create_subprocess_exec(*program)
    base = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            await _listens(session, f"{base}/_sandbox/calls")
            async with session.post(f"{base}/_sandbox/answer-delay", json={"ms": 20}) as steered:
                assert steered.status == 200
            async with session.put(
                f"{base}/api/collections/anything/records/p1",
                data=json.dumps(THEIRS),
                headers={"Authorization": f"Bearer {TOKEN}", "If-None-Match": "*"},
            ) as made:
                assert (made.status, made.headers["etag"]) == (201, '"1"')
            async with session.get(f"{base}/_sandbox/calls") as counted:
                assert (await counted.json())["calls"] == {"PUT record": 1}
            async with session.get(f"{base}/api/account") as refused:
                assert refused.status == 401
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def _listens(session: aiohttp.ClientSession, url: str) -> None:
    """Ask until somebody answers; the caller limits the time."""
    while True:
        try:
            async with session.get(url):
                return
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)
