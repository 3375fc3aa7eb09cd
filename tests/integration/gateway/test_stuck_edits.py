"""What people can do about stuck edits and before they link, through a whole gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

from tests.support.gateway_process import Gateway, Linked, Studio, until
from wedsync.api.gateway.v1 import delivery_pb2, link_pb2
from wedsync.convert.items import value_from_message
from wedsync.model.ids import new_id
from wedsync.testing.tave import SANDBOX_KEY

Row = TypeVar("Row")
_NOON = "2027-06-12T12:00:00[America/New_York]"


async def rows(found: AsyncIterator[Row]) -> list[Row]:
    """Return all of them."""
    return [row async for row in found]


async def a_parked_payment(gateway: Gateway, studio: Studio, linked: Linked) -> delivery_pb2.Webhook:
    """Have Tave tell of a payment and refuse to show it; return the webhook that is parked."""
    hook = {"url": f"{linked.webhook_url}?event=payment.created", "event": "payment.created"}
    await studio.ui("POST", "/rest-hook", hook)
    studio.fault(method="GET", path="/payment/", status=403)
    await studio.ui("POST", "/payment", {"jobId": studio.job_id, "amount": 1250, "memo": "Deposit"})
    [webhook] = await until(lambda: gateway.webhooks("parked"), "the webhook is parked")
    return webhook


async def test_a_parked_webhook_is_found_previewed_and_replayed(
    slow: Gateway, studio: Studio, wedding_id: str
) -> None:
    """Its dry run shows the edit and makes none; its replay makes it once, in a trace of its own."""
    parked = await a_parked_payment(slow, studio, await studio.link(slow, wedding_id))
    request = new_id()
    async with slow.client() as client:
        assert await rows(client.list_webhooks(cause="auth", reason="CONNECT THE ACCOUNT")) == [parked]
        [preview] = await rows(client.replay_webhooks(cause="auth", dry_run=True))
        [record] = preview.records
        fields = {field.path: value_from_message(field.proposed) for field in record.fields}
        assert (record.change, fields["memo"]) == ("create", "Deposit")
        assert await slow.webhooks("parked") == [parked]
        [replayed] = await rows(client.replay_webhooks(cause="auth", request_id=request))
        assert await rows(client.replay_webhooks(cause="auth", request_id=request)) == []
        [done] = await until(lambda: slow.webhooks("processed"), "the replay is through")
        assert (done.webhook_id, done.parent_id) == (replayed.replay_id, parked.webhook_id)
        [change_id] = done.change_ids
        first, again = [await client.get_journey(one) for one in (parked.webhook_id, done.webhook_id)]
        assert first.trace_id != again.trace_id
        assert f"It was replayed as {done.webhook_id}." in first.summary
        await until(lambda: change_id in {c.change_id for c in slow.sync.received}, "it is sent")
        sent = len(slow.sync.received)
        [once_more] = await rows(client.replay_webhooks([done.webhook_id]))
        second = await until(lambda: _processed(slow, once_more.replay_id), "it is read again")
        assert (list(second.change_ids), second.reason) == ([], "it shows what is known already")
    assert len(slow.sync.received) == sent


async def _processed(gateway: Gateway, webhook_id: str) -> delivery_pb2.Webhook | None:
    found = await gateway.webhooks("processed")
    return next((webhook for webhook in found if webhook.webhook_id == webhook_id), None)


async def test_a_dead_letter_is_tried_again(gateway: Gateway, studio: Studio, wedding_id: str) -> None:
    """What Tave refused is parked with its cause; retried, it goes out."""
    await studio.link(gateway, wedding_id)
    studio.fault(method="POST", path="/event", status=400)
    await gateway.accept(await gateway.sync.edit(wedding_id, {"title": "Vows", "starts_at": _NOON}))
    [parked] = await until(lambda: gateway.deliveries(wedding_id, "parked"), "it is parked")
    assert parked.cause == "rejected"
    async with gateway.client() as client:
        assert await rows(client.retry_deliveries(cause="auth")) == []
        [retried] = await rows(client.retry_deliveries(vendor="tave", cause="rejected"))
    assert retried.delivery_id == parked.delivery_id
    await until(lambda: studio.names() == ["Vows"], "it goes out")


async def test_a_planned_link_doubles_nothing(gateway: Gateway, studio: Studio, wedding_id: str) -> None:
    """What the plan found on both sides is one thing afterwards; what was new crosses over."""
    await studio.add_event("Dinner")
    body = {"jobId": studio.job_id, "name": "Vows", "startDate": "2027-06-12", "startTime": "12:00:00"}
    vows = await studio.ui("POST", "/event", {**body, "timezoneName": "America/New_York"})
    known = await gateway.sync.edit(wedding_id, {"title": "Vows", "starts_at": _NOON, "notes": "rings"})
    await gateway.accept(known)
    async with gateway.client() as client:
        connected = await client.connect_vendor(
            "tave", credentials={"api_key": SANDBOX_KEY}, base_url=studio.url
        )
        account, scope = connected.integration.integration_id, {"job_id": studio.job_id}
        plan = await client.plan_link(wedding_id, account, scope=scope)
        [match] = plan.matches
        assert (match.match.item_id, match.key) == (known.item.item_id, "title, starts_at")
        assert match.match.record_id == f"event/{vows['id']}"
        assert {one.label.split(",")[0] for one in plan.create_in_wedding} >= {"Dinner"}
        assert studio.names() == ["Dinner", "Vows"]
        link = await client.link_wedding(wedding_id, account, scope=scope, matches=[match.match])
        linked = Linked(gateway, wedding_id, link.link_id, "")
        await until(linked.scanned, "the vendor is scanned")
        await until(lambda: gateway.sync.titles() >= {"Dinner", "Vows"}, "what is new comes in")
        await gateway.accept(*gateway.sync.commits)
        await until(lambda: _rings(studio), "what the vendor lacked goes out")
        assert studio.names() == ["Dinner", "Vows"]
        assert [i for i in gateway.sync.items.values() if i.value("title") == "Vows"] == [
            gateway.sync.items[known.item.item_id]
        ]
        shown = (await linked.state()).backfill
        assert shown.HasField("end_time")
        assert shown.records >= 2
        tests = await client.test_integration(account)
        assert [(test.link_id, test.works) for test in tests] == [(link.link_id, True)]
        ended = await client.disconnect_vendor(account)
        assert ended.HasField("disconnect_time")
        [last] = await client.list_links(wedding_id, show_ended=True)
        assert last.state == link_pb2.LINK_STATE_ENDED
    assert studio.names() == ["Dinner", "Vows"]


def _rings(studio: Studio) -> bool:
    return any("rings" in str(e.get("descriptionHtml")) for e in studio.studio.objects["event"].values())
