"""Stripe on this machine, as the vendor's own library sees it: payments, refunds, events and restarts."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe
from aiohttp import web

from tests.support.processes import eventually
from wedsync.testing.localstripe.account import SECRET_KEY, WEBHOOK_SECRET, LocalStripe, Refused
from wedsync.testing.localstripe.running import running_localstripe


@dataclass
class Endpoint:
    """A webhook endpoint that verifies each event with the library."""

    url: str = ""
    received: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    async def take(self, request: web.Request) -> web.Response:
        """Take one event; 400 for one that is not believed."""
        body, proof = await request.read(), request.headers.get("Stripe-Signature", "")
        try:
            self.received.put_nowait(stripe.Webhook.construct_event(body, proof, WEBHOOK_SECRET))
        except stripe.SignatureVerificationError:
            return web.Response(status=400)
        return web.Response()

    async def next(self) -> Any:
        """The next event."""
        return await asyncio.wait_for(self.received.get(), 15)


@pytest.fixture(name="local", scope="module")
def _local() -> Iterator[LocalStripe]:
    with running_localstripe() as running:
        yield running


@pytest.fixture(name="endpoint")
async def _endpoint(local: LocalStripe) -> AsyncIterator[Endpoint]:
    endpoint, app = Endpoint(), web.Application()
    app.router.add_post("/hook", endpoint.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield endpoint
    await local.set_webhook(endpoint.url, events=["none"])
    local.endpoint = None
    await runner.cleanup()


async def test_a_payment_is_made_and_refunded_and_the_endpoint_is_told(
    local: LocalStripe, endpoint: Endpoint
) -> None:
    """The library believes localstripe's own events, and ours where it has none."""
    await local.set_webhook(endpoint.url, events=["payment_intent.succeeded"])
    customer = await local.make_customer()
    intent = await local.make_payment_intent(customer, 250000, "gbp", metadata={"room": "7"})
    paid = await local.pay(intent)
    assert (paid["status"], paid["customer"], paid["metadata"]) == ("succeeded", customer, {"room": "7"})
    told = await endpoint.next()
    assert (told.type, told.data.object.id) == ("payment_intent.succeeded", intent)
    part = await local.refund(intent, 500)
    assert (part["amount_refunded"], part["refunded"]) == (500, False)
    assert (await local.refund(intent, 249500))["refunded"] is True
    for amount in (500, 250000):
        told = await endpoint.next()
        shown = told.data.object
        assert (told.type, shown.payment_intent, shown.amount_refunded) == ("charge.refunded", intent, amount)


async def test_a_declined_card_may_be_followed_by_another(local: LocalStripe, endpoint: Endpoint) -> None:
    """A payment that failed can still be made; one that was made cannot be made again."""
    await local.set_webhook(endpoint.url)
    intent = await local.make_payment_intent(await local.make_customer(), 100)
    failed = await local.fail(intent)
    assert (failed["status"], failed["last_payment_error"]["code"]) == (
        "requires_payment_method",
        "card_declined",
    )
    assert (await local.pay(intent))["status"] == "succeeded"
    for again in (local.pay, local.fail):
        with pytest.raises(Refused) as refused:
            await again(intent)
        assert refused.value.status == 400
    types = {(await endpoint.next()).type for _ in range(3)}
    assert types == {"customer.created", "payment_intent.payment_failed", "payment_intent.succeeded"}


async def test_an_event_can_come_twice_late_and_badly_signed(local: LocalStripe, endpoint: Endpoint) -> None:
    """What the network does to events can be done on purpose; the answer's status comes back."""
    await local.set_webhook(endpoint.url, events=["none"])
    shown = {"id": "pi_1", "object": "payment_intent"}
    for _ in range(2):
        assert await local.deliver("payment_intent.created", shown, event_id="evt_twice") == 200
    assert [(await endpoint.next()).id for _ in range(2)] == ["evt_twice"] * 2
    assert await local.deliver("payment_intent.created", shown, at=int(time.time()) - 3600) == 400
    assert endpoint.received.empty()


async def test_without_an_endpoint_nobody_is_told(local: LocalStripe) -> None:
    """A refund works all the same, and a payment can be given up."""
    intent = await local.make_payment_intent(await local.make_customer(), 100)
    await local.pay(intent)
    assert (await local.refund(intent))["refunded"] is True
    given_up = await local.make_payment_intent(await local.make_customer(), 100)
    assert (await local.cancel(given_up))["status"] == "canceled"


async def test_the_vendors_library_lists_one_customers_payments(local: LocalStripe) -> None:
    """The newest come first, page after page, and nobody else's."""
    one, other = await local.make_customer(), await local.make_customer()
    made = [await local.make_payment_intent(one, amount) for amount in (1, 2, 3)]
    await local.make_payment_intent(other, 4)

    def listed() -> list[str]:
        door = stripe.RequestsClient()
        root = local.url.removesuffix("/v1")
        try:
            client = stripe.StripeClient(SECRET_KEY, base_addresses={"api": root}, http_client=door)
            page = client.v1.payment_intents.list({"customer": one, "limit": 2})
            return [intent.id for intent in page.auto_paging_iter()]
        finally:
            door.close()  # type: ignore[no-untyped-call]

    assert await asyncio.to_thread(listed) == made[::-1]


async def test_a_key_that_is_none_may_not_call(local: LocalStripe) -> None:
    """A wrong key is refused as Stripe refuses it."""
    with pytest.raises(Refused) as refused:
        await LocalStripe(url=local.url, key="wrong").make_customer()
    assert refused.value.status == 401


async def test_a_restart_finds_the_data_of_the_file(tmp_path: Path) -> None:
    """Payments survive in the file; without one each start is from scratch."""
    data = tmp_path / "stripe.data"
    with running_localstripe(data=data) as first:
        intent = await first.make_payment_intent(await first.make_customer(), 100)
        await first.pay(intent)
    assert not _open(first.url)
    with running_localstripe(data=data) as second:
        assert (await second.intent(intent))["status"] == "succeeded"
    with running_localstripe() as scratch:
        with pytest.raises(Refused) as refused:
            await scratch.intent(intent)
        assert refused.value.status == 404


def test_a_program_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Data that are none are an error with the program's own words, not a wait."""
    (tmp_path / "stripe.data").write_text("no pickle")
    with (
        pytest.raises(RuntimeError, match="localstripe ended at once"),
        running_localstripe(data=tmp_path / "stripe.data"),
    ):
        raise AssertionError


def test_the_program_ends_when_it_is_told() -> None:
    """A signal ends it at once and well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "wedsync.testing.localstripe", "--port", port])
    try:
        eventually(lambda: _open(f"http://127.0.0.1:{port}"), 20, "it listens")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def _open(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0
