"""The Stripe adapter against localstripe: what a link sees of payments, and what it never does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web

from services.gateway.signatures.hmacs import verify
from services.gateway.signatures.webhook import SignatureRefused
from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.manifest import load_manifest
from services.gateway.vendors.port import (
    Account,
    OutOfScope,
    RecordGone,
    VendorAuthFailed,
    VendorError,
    VendorPort,
    VendorRecord,
    VendorRejected,
    VendorUnavailable,
)
from services.gateway.vendors.stripe.adapter import create_adapter
from tests.support.signed import webhook
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind
from wedsync.testing.localstripe.account import SECRET_KEY, WEBHOOK_SECRET, LocalStripe
from wedsync.testing.localstripe.running import running_localstripe

MANIFEST = load_manifest(Path(__file__).parents[2] / "services/gateway/vendors/stripe")
PAYMENT = ItemKind.PAYMENT
ZONE = "America/Los_Angeles"


@dataclass
class Bench:
    """An account, one of its customers, and our adapter."""

    stripe: LocalStripe
    http: VendorHttp
    customer: str

    def adapter(
        self, *, key: str = SECRET_KEY, customer: str = "", url: str = "", **settings: str
    ) -> VendorPort:
        """An adapter for the customer."""
        account = Account(
            integration_id="i",
            base_url=url or self.stripe.url,
            credentials={"secret_key": key},
            settings=settings,
        )
        scope = {"customer_id": customer or self.customer, "time_zone": ZONE}
        return create_adapter(self.http, MANIFEST, account, scope)

    async def asked(self, amount: int = 250000, currency: str = "gbp", **metadata: str) -> str:
        """A payment the customer was asked for."""
        return await self.stripe.make_payment_intent(self.customer, amount, currency, metadata=metadata)

    async def read(self, intent: str) -> VendorRecord:
        """The record as it is now."""
        record = await self.adapter().read(intent)
        assert record is not None
        return record

    async def shows(self, intent: str, *paths: str) -> tuple[Any, ...]:
        """Some fields of a record as they are now."""
        fields = (await self.read(intent)).fields
        return tuple(fields[path] for path in paths)

    async def scanned(self, **settings: str) -> dict[str, VendorRecord]:
        """All a scan shows, page after page."""
        found: dict[str, VendorRecord] = {}
        cursor: Mapping[str, Any] | None = None
        while True:
            scan = await self.adapter(**settings).scan(cursor)
            assert (scan.bad, scan.missing) == ([], ())
            assert not found.keys() & {record.record_id for record in scan.records}
            found |= {record.record_id: record for record in scan.records}
            cursor = scan.cursor
            if not scan.more:
                return found


async def shown(bench: Bench, intent: str) -> tuple[Mapping[str, Any], str]:
    """Fields and version of a record as they are now."""
    record = await bench.read(intent)
    return record.fields, record.version


@dataclass
class Hook:
    """Our webhook address: verifies what comes as the manifest says, and tells what it hints at."""

    port: VendorPort
    answered: asyncio.Queue[tuple[int, list[str]]] = field(default_factory=asyncio.Queue)

    async def take(self, request: web.Request) -> web.Response:
        """Take one event; 401 for one that is not believed."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert MANIFEST.inbound is not None
        assert MANIFEST.inbound.signature is not None
        try:
            sent = webhook(headers, body)
            verify(MANIFEST.inbound.signature, [WEBHOOK_SECRET], sent, datetime.now(UTC))  # noqa: TID251
        except SignatureRefused:
            return web.Response(status=401)
        event = json.loads(body)
        assert event["type"] in MANIFEST.inbound.events
        assert self.port.decisions(event) == ()
        self.answered.put_nowait((200, list(self.port.hints(event))))
        return web.Response()

    async def hints(self) -> list[str]:
        """What the next event hints at."""
        return (await asyncio.wait_for(self.answered.get(), 15))[1]


@pytest.fixture(name="local", scope="module")
def _local() -> Iterator[LocalStripe]:
    with running_localstripe() as running:
        yield running


@pytest.fixture(name="bench")
async def _bench(local: LocalStripe) -> AsyncIterator[Bench]:
    async with VendorHttp(limits=Limits(allow_private=True)) as http:
        yield Bench(local, http, await local.make_customer())


@pytest.fixture(name="fresh")
async def _fresh() -> AsyncIterator[Bench]:
    """A server of its own: events come a second late, and would reach the next test."""
    with running_localstripe() as running:
        async with VendorHttp(limits=Limits(allow_private=True)) as http:
            yield Bench(running, http, await running.make_customer())


@pytest.fixture(name="hook")
async def _hook(fresh: Bench) -> AsyncIterator[Hook]:
    assert MANIFEST.inbound is not None
    hook, app = Hook(fresh.adapter()), web.Application()
    app.router.add_post("/hook", hook.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await fresh.stripe.set_webhook(url, events=sorted(MANIFEST.inbound.events))
    yield hook
    await runner.cleanup()


async def test_a_payment_is_followed_from_the_question_to_the_refund(bench: Bench) -> None:
    """Asked, declined, paid, given back in part and then all: each is told as it is."""
    intent = await bench.asked()
    assert (await bench.read(intent)).fields == {
        "amount": "250000 GBP",
        "status": "planned",
        "paid_on": None,
        "method": None,
        "memo": None,
        "reference": intent,
        "refunded": None,
    }
    await bench.stripe.fail(intent)
    assert await bench.shows(intent, "status", "paid_on") == ("failed", None)
    charge = (await bench.stripe.pay(intent))["latest_charge"]
    day = datetime.fromtimestamp(charge["created"], ZoneInfo(ZONE)).date().isoformat()
    assert await bench.shows(intent, "status", "paid_on", "method") == ("paid", day, "card")
    await bench.stripe.refund(intent, 500)
    assert await bench.shows(intent, "status", "refunded", "amount") == ("paid", "500 GBP", "250000 GBP")
    await bench.stripe.refund(intent, 249500)
    assert await bench.shows(intent, "status", "refunded", "paid_on") == ("refunded", "250000 GBP", day)


@pytest.mark.parametrize(
    ("amount", "currency", "ours"),
    [(50000, "jpy", "50000 JPY"), (12340, "kwd", "12340 KWD"), (500, "isk", "5 ISK")],
)
async def test_an_amount_is_the_currencys(bench: Bench, amount: int, currency: str, ours: str) -> None:
    """Currencies with other digits than two arrive right."""
    assert await bench.shows(await bench.asked(amount, currency), "amount") == (ours,)


async def test_a_cancelled_payment_has_failed(bench: Bench) -> None:
    """What the merchant gave up is not waited for."""
    intent = await bench.asked()
    await bench.stripe.cancel(intent)
    assert await bench.shows(intent, "status") == ("failed",)


async def test_a_scan_shows_the_customers_payments_as_reads_do(bench: Bench) -> None:
    """Every payment is seen once, whatever the size of a page, like alone, and nobody else's."""
    made = [await bench.asked(amount) for amount in (1, 2, 3, 4, 5)]
    await bench.stripe.pay(made[2])
    other = await bench.stripe.make_customer()
    await bench.stripe.make_payment_intent(other, 6)
    for size in ("2", "5", "100"):
        found = await bench.scanned(page_size=size)
        assert sorted(found) == sorted(made)
    for intent, listed in found.items():
        alone = await bench.read(intent)
        assert (alone.fields, alone.version) == (listed.fields, listed.version)
    assert await bench.scanned(customer=await bench.stripe.make_customer()) == {}


async def test_a_version_moves_with_the_payment(bench: Bench) -> None:
    """Reading twice changes nothing; a payment does."""
    intent = await bench.asked()
    before = await bench.read(intent)
    assert (await bench.read(intent)).version == before.version
    await bench.stripe.pay(intent)
    assert (await bench.read(intent)).version != before.version


async def test_a_memo_goes_into_the_metadata_and_comes_back(bench: Bench) -> None:
    """What others keep there stays; clearing the memo takes it out; what stands there is not written."""
    item = new_id()
    intent = await bench.asked(room="7", wedsync_item=item)
    record = await bench.read(intent)
    written = await bench.adapter().update(record, {"memo": " Deposit & Añejo for two ", "status": "paid"})
    assert (written.fields["memo"], written.fields["status"]) == ("Deposit & Añejo for two", "planned")
    assert (written.fields, written.version) == await shown(bench, intent)
    metadata = (await bench.stripe.intent(intent))["metadata"]
    assert metadata == {"room": "7", "wedsync_item": item, "wedsync_memo": "Deposit & Añejo for two"}
    same = {"memo": "Deposit & Añejo for two ", "amount": "1 USD"}
    assert await bench.adapter().update(written, same) is written
    cleared = await bench.adapter().update(written, {"memo": None})
    assert (cleared.fields["memo"], cleared.marker) == (None, item)
    long = await bench.adapter().update(cleared, {"memo": "x" * 600})
    assert long.fields["memo"] == "x" * 500


async def test_facts_are_never_written(bench: Bench) -> None:
    """What happened to the money is Stripe's to say: such values cause no call."""
    record = await bench.read(await bench.asked())
    facts = {"amount": "1 USD", "status": "paid", "paid_on": "2027-01-01", "method": "cash", "refunded": None}
    nowhere = bench.adapter(url="http://127.0.0.1:1/v1")
    assert await nowhere.update(record, facts) is record


async def test_nobody_is_asked_for_money(bench: Bench) -> None:
    """Payments are neither made nor deleted."""
    with pytest.raises(VendorRejected, match="do it there"):
        await bench.adapter().create(PAYMENT, new_id(), {"amount": "1 USD"})
    record = await bench.read(await bench.asked())
    with pytest.raises(VendorRejected, match="refund or cancel"):
        await bench.adapter().delete(record)
    assert await bench.scanned() == {record.record_id: record}


async def test_a_payment_that_carries_our_item_is_found(bench: Bench) -> None:
    """Whoever asked for the money may say for which item of ours."""
    item = new_id()
    await bench.asked()
    intent = await bench.asked(wedsync_item=item)
    await bench.asked()
    found = await bench.adapter(page_size="1").find(PAYMENT, item)
    assert found == await bench.read(intent)
    assert found.marker == item
    assert await bench.adapter().find(PAYMENT, new_id()) is None


async def test_another_customers_payment_is_out_of_scope(bench: Bench) -> None:
    """It exists, and is none of this link's; what does not exist is gone."""
    other = await bench.stripe.make_customer()
    theirs = await bench.stripe.make_payment_intent(other, 100)
    with pytest.raises(OutOfScope):
        await bench.adapter().read(theirs)
    assert await bench.adapter().read("pi_nobodys") is None
    record = await bench.adapter(customer=other).read(theirs)
    assert record is not None
    with pytest.raises(VendorRejected):
        await bench.adapter().read("../customers")
    gone = VendorRecord(record_id="pi_nobodys", kind=PAYMENT, version="", fields={})
    with pytest.raises(RecordGone):
        await bench.adapter().update(gone, {"memo": "Late"})


@pytest.mark.parametrize(
    ("changes", "error", "cure"),
    [
        ({"key": "wrong"}, VendorAuthFailed, "reconnect"),
        ({"customer": "cus_nobody"}, VendorRejected, "link another"),
        ({"url": "http://127.0.0.1:1/v1"}, VendorUnavailable, "cannot be reached"),
    ],
    ids=["wrong key", "no customer", "nobody there"],
)
async def test_what_does_not_work_is_said_with_its_cure(
    bench: Bench, changes: dict[str, str], error: type[VendorError], cure: str
) -> None:
    """A link is refused with what to do about it; one that works is not."""
    await bench.adapter().check()
    with pytest.raises(error, match=cure):
        await bench.adapter(**changes).check()


async def test_an_event_leads_to_what_is_so_now(fresh: Bench, hook: Hook) -> None:
    """The events of localstripe itself are believed and lead to the payment; others' events lead nowhere."""
    intent = await fresh.asked()
    await fresh.stripe.fail(intent)
    assert await hook.hints() == [intent]
    await fresh.stripe.pay(intent)
    assert await hook.hints() == [intent]
    assert await fresh.shows(intent, "status") == ("paid",)
    other = await fresh.stripe.make_payment_intent(await fresh.stripe.make_customer(), 100)
    await fresh.stripe.pay(other)
    assert await hook.hints() == []


async def test_order_repetition_and_age_of_events_do_not_matter(fresh: Bench, hook: Hook) -> None:
    """A refund told twice, and then what was before it, all lead to the one state that is so now."""
    intent = await fresh.asked()
    asked = await fresh.stripe.intent(intent)
    paid = await fresh.stripe.pay(intent)
    assert await hook.hints() == [intent]
    charge = await fresh.stripe.refund(intent)
    refund = {"object": "refund", "id": "re_1", "payment_intent": intent, "charge": charge["id"]}
    for event_type, shown, event_id in (
        ("refund.created", refund, "evt_a"),
        ("charge.refunded", charge, "evt_b"),
        ("charge.refunded", charge, "evt_b"),
        ("payment_intent.succeeded", paid, "evt_c"),
        ("payment_intent.created", asked, "evt_d"),
    ):
        assert await fresh.stripe.deliver(event_type, shown, event_id=event_id) == 200
    for _ in range(6):
        (hinted,) = await hook.hints()
        assert await fresh.shows(hinted, "status", "refunded") == ("refunded", "250000 GBP")


async def test_an_event_signed_long_ago_is_not_believed(fresh: Bench, hook: Hook) -> None:
    """A recorded delivery cannot be played again later, nor one that pretends to come from the future."""
    intent = await fresh.stripe.intent(await fresh.asked())
    now = int(datetime.now(UTC).timestamp())  # noqa: TID251
    for at in (now - 400, now + 400):
        assert await fresh.stripe.deliver("payment_intent.created", intent, at=at) == 401
    assert hook.answered.empty()
    await fresh.adapter().aclose()
