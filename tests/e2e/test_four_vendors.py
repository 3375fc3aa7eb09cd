"""Money from Stripe and questions in Slack beside Tave and the calendar: one wedding in four systems."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest

from tests.e2e.conftest import Wedding, until
from tests.support.stack import Stack
from wedsync.api.conflicts.v1 import service_pb2 as conflicts_pb2
from wedsync.client.sync import CALLER
from wedsync.convert import item_from_message
from wedsync.model.changes import Change, ChangeKind
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind
from wedsync.testing.localstripe.account import SECRET_KEY, WEBHOOK_SECRET, LocalStripe
from wedsync.testing.slack.sandbox import SIGNING_SECRET, TOKEN
from wedsync.testing.slack.workspace import CHANNEL

_TOLD = ["payment_intent.payment_failed"]
"""What localstripe tells by itself; the rest the tests deliver, as often and as late as they like."""


class Slack:
    """The wedding's channel, and people in it."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self._address, self._session = address, session

    async def messages(self) -> list[dict[str, Any]]:
        """Return what stands in the channel."""
        found: list[dict[str, Any]] = (await self.control("GET", "messages"))["messages"]
        return found

    async def control(self, verb: str, path: str, /, **told: Any) -> dict[str, Any]:
        """Do something in the workspace."""
        url = f"{self._address}/_sandbox/{path}"
        async with self._session.request(verb, url, json=told) as answer:
            assert answer.status < 300, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found


@dataclass(frozen=True)
class Till:
    """The photographer's account at Stripe, and the couple as its customer."""

    account: LocalStripe
    customer: str
    integration_id: str

    async def paid(self, amount: int, currency: str = "usd") -> dict[str, Any]:
        """Let the couple pay; return the payment intent, of which Stripe has told nobody yet."""
        intent = await self.account.make_payment_intent(self.customer, amount, currency)
        return await self.account.pay(intent)


@pytest.fixture
async def till(wedding: Wedding, stack: Stack) -> Till:
    """Stripe, linked to the wedding; its webhooks lead to the gateway."""
    account = LocalStripe(url=stack.run["sandbox"]["stripe"])
    connected = await wedding.clients.gateway.connect_vendor(
        "stripe",
        credentials={"secret_key": SECRET_KEY, "webhook_secret": WEBHOOK_SECRET},
        base_url=account.url,
    )
    await account.set_webhook(stack.run["http"] + connected.webhook_path, events=_TOLD)
    customer = await account.make_customer()
    integration_id = connected.integration.integration_id
    scope = {"customer_id": customer}
    await wedding.clients.gateway.link_wedding(wedding.wedding_id, integration_id, scope=scope)
    return Till(account, customer, integration_id)


@pytest.fixture
async def slack(wedding: Wedding, stack: Stack, session: aiohttp.ClientSession) -> Slack:
    """Slack, linked to the wedding; events and clicks lead to the gateway."""
    address = stack.run["sandbox"]["slack"]
    connected = await wedding.clients.gateway.connect_vendor(
        "slack",
        credentials={"bot_token": TOKEN, "webhook_secret": SIGNING_SECRET},
        base_url=f"{address}/api",
    )
    workspace = Slack(address, session)
    await workspace.control("POST", "subscribe", url=stack.run["http"] + connected.webhook_path)
    integration_id = connected.integration.integration_id
    await wedding.clients.gateway.link_wedding(
        wedding.wedding_id, integration_id, scope={"channel_id": CHANNEL}
    )
    return workspace


async def in_tave(wedding: Wedding) -> list[dict[str, Any]]:
    """Return the payments of the Tave job."""
    job = wedding.photographer.job_id
    found: list[dict[str, Any]] = (await wedding.photographer.call("GET", f"/job/{job}/payment"))["items"]
    return found


async def canonical_payments(wedding: Wedding) -> list[dict[str, Any]]:
    """Return the wedding's payments, each as its fields."""
    items = [item_from_message(item) async for item in wedding.clients.sync.list_items(wedding.wedding_id)]
    payments = [item for item in items if item.kind is ItemKind.PAYMENT]
    return [{path: state.value for path, state in item.fields.items()} for item in payments]


async def test_a_payment_is_posted_to_the_job_once(wedding: Wedding, till: Till) -> None:
    """Told three times, and of its past at the end, a payment in Stripe is one payment in Tave."""
    paid = await till.paid(250_000)
    before = {**paid, "status": "processing"}
    answers = [
        await till.account.deliver("payment_intent.succeeded", paid, event_id="evt_three_times")
        for _ in range(3)
    ]
    assert answers == [202, 200, 200]
    assert await till.account.deliver("payment_intent.processing", before, at=None) == 202

    async def posted() -> list[dict[str, Any]]:
        return await in_tave(wedding)

    await until(posted, "Tave shows the payment")
    await wedding.quiet()
    [payment] = await in_tave(wedding)
    assert paid["id"] in str(payment)
    [known] = await canonical_payments(wedding)
    assert (known["amount"], known["status"], known["reference"]) == ("250000 USD", "paid", paid["id"])
    hooks = [hook async for hook in wedding.clients.gateway.list_webhooks(vendor="stripe", page_size=10)]
    mine = [hook for hook in hooks if hook.integration_id == till.integration_id]
    assert {hook.event: hook.repeats for hook in mine}["payment_intent.succeeded"] == 2


async def test_a_refund_follows_where_it_can_be_held(wedding: Wedding, till: Till) -> None:
    """A refund told before its payment is no error; the record has it, and the journey says who cannot."""
    paid = await till.paid(90_000)
    await till.account.refund(paid["id"])
    await till.account.deliver("payment_intent.succeeded", paid)

    async def refunded() -> bool:
        return [p.get("status") for p in await canonical_payments(wedding)] == ["refunded"]

    await until(refunded, "the payment is refunded")
    [known] = await canonical_payments(wedding)
    assert known["refunded"] == "90000 USD"

    async def explained() -> list[str]:
        deliveries = wedding.clients.gateway.list_deliveries(wedding.wedding_id)
        ids = {d.change_id async for d in deliveries if d.vendor == "tave" and d.change_id}
        said = [(await wedding.clients.gateway.get_journey(change_id)).summary for change_id in ids]
        return [text for text in said if "refunded" in text and "tave" in text]

    assert await until(explained, "a journey says what Tave cannot hold")


async def test_money_of_another_currency_is_not_made_into_ours(wedding: Wedding, till: Till) -> None:
    """A payment in yen is kept in yen; a studio that bills in dollars is not written to, and why is said."""
    paid = await till.paid(5_000, "jpy")
    await till.account.deliver("payment_intent.succeeded", paid)

    async def parked() -> list[str]:
        found = wedding.clients.gateway.list_deliveries(wedding.wedding_id, state="parked")
        return [delivery.reason async for delivery in found if delivery.vendor == "tave"]

    reasons = await until(parked, "the delivery is parked")
    assert any("amount is kept in USD there" in reason for reason in reasons)
    assert [known["amount"] for known in await canonical_payments(wedding)] == ["5000 JPY"]
    assert await in_tave(wedding) == []


async def test_what_was_not_signed_is_not_believed(
    wedding: Wedding, till: Till, session: aiohttp.ClientSession
) -> None:
    """A webhook without, or with another's, signature is refused and leaves no trace."""
    paid = await till.paid(1_000)
    stolen = LocalStripe(url=till.account.url)
    endpoint = till.account.endpoint
    assert endpoint is not None
    stolen.endpoint = replace(endpoint, secret="whsec_of_another_tenant")
    assert await stolen.deliver("payment_intent.succeeded", paid) == 401
    async with session.post(endpoint.url, json={"id": "evt_1", "type": "payment_intent.succeeded"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "SIGNATURE_MISSING")
    hooks = [hook async for hook in wedding.clients.gateway.list_webhooks(vendor="stripe", page_size=10)]
    assert [hook for hook in hooks if hook.integration_id == till.integration_id] == []


async def test_a_message_is_said_once_although_the_line_was_cut(wedding: Wedding, slack: Slack) -> None:
    """Slack took the message but its answer never came: it is found, and not said again."""
    await slack.control("POST", "faults", method="chat.postMessage", cut="after", times=1)
    text = f"The florist moved to 10:30 ({new_id()})"
    message = Change(
        change_id=new_id(),
        item_id=new_id(),
        item_kind=ItemKind.MESSAGE,
        kind=ChangeKind.CREATE,
        source=CALLER,
        values={"text": text},
    )
    await wedding.clients.sync.apply_changes(wedding.wedding_id, [message])

    async def delivered() -> bool:
        due = wedding.clients.gateway.list_deliveries(wedding.wedding_id)
        states = [d.state async for d in due if d.item_id == message.item_id and d.vendor == "slack"]
        # The channel was looked at before the next try: then nothing was left to be done.
        return states in (["delivered"], ["nothing_to_do"])

    await until(delivered, "the message counts as said")
    assert len([m for m in await slack.messages() if text in m["text"]]) == 1


async def test_a_conflict_is_decided_by_a_button_in_slack(wedding: Wedding, slack: Slack) -> None:
    """The same title edited in Tave and the calendar is asked about in Slack; a click brings both to it."""
    event_id = await wedding.photographer.plan("Cake", "20:00", "20:30")
    await wedding.in_calendar("Cake")
    await wedding.quiet()
    await wedding.paused(paused=True)
    await wedding.photographer.change(event_id, name="Cake cutting")
    await wedding.couple.change("Cake", summary="Dessert")
    await wedding.paused(paused=False)

    async def opened() -> list[conflicts_pb2.Conflict]:
        found = wedding.clients.conflicts.list_conflicts(wedding_id=wedding.wedding_id)
        return [conflict async for conflict in found]

    [conflict] = await until(opened, "a conflict is open")
    shown = await wedding.clients.conflicts.get_conflict(conflict.conflict_id)
    assert shown.current.HasField("set_time")
    stays = shown.current.value.text

    async def asked() -> bool:
        return any(conflict.conflict_id in str(message) for message in await slack.messages())

    await until(asked, "Slack shows the question")
    clicked = await slack.control(
        "POST", "click", value=conflict.conflict_id, choice="current", user="U061F7AUR"
    )
    assert clicked["status"] == 200
    await wedding.in_calendar(stays)
    await wedding.in_tave(stays)

    async def over() -> conflicts_pb2.Conflict | None:
        found = await wedding.clients.conflicts.get_conflict(conflict.conflict_id)
        return found if found.state == conflicts_pb2.CONFLICT_STATE_RESOLVED else None

    ended = await until(over, "the conflict is over")
    assert ended is not None
    assert ended.decision.source.actor == "U061F7AUR"

    async def told() -> bool:
        return any(f"settled: {stays}" in message["text"] for message in await slack.messages())

    await until(told, "Slack says how it ended")
    assert not await asked()
