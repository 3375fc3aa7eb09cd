"""A vendor's edits through a whole gateway: from the webhook or the poll to the sync service."""

from __future__ import annotations

import json

from tests.support.gateway_process import Gateway, Studio, open_studio, until
from wedsync.errors import InvalidRequest, NotFound, Unavailable
from wedsync.model.changes import ChangeKind
from wedsync.model.items import ItemKind

_NO_EVENTS = json.dumps(
    {
        "type": "event-collection",
        "meta": {"currentPage": 1, "totalPages": 1, "totalItems": 0, "rows": 100},
        "items": [],
    }
)


async def test_a_webhook_becomes_a_change(slow: Gateway, studio: Studio, wedding_id: str) -> None:
    """A payment's hook makes the gateway read it and send it on, in the trace of the webhook."""
    linked = await studio.link(slow, wedding_id)
    hook = {"url": f"{linked.webhook_url}?event=payment.created", "event": "payment.created"}
    await studio.ui("POST", "/rest-hook", hook)
    payment = {"jobId": studio.job_id, "amount": 1250, "memo": "Deposit"}
    await studio.ui("POST", "/payment", payment)
    item = await until(
        lambda: next((i for i in slow.sync.items.values() if i.kind is ItemKind.PAYMENT), None),
        "the payment arrives",
    )
    assert item.value("memo") == "Deposit"
    [webhook] = await until(lambda: slow.webhooks("processed"), "the webhook is done")
    [change_id] = webhook.change_ids
    async with slow.client() as client:
        journey = await client.get_journey(webhook.webhook_id)
    sent = next(change for change in slow.sync.received if change.change_id == change_id)
    assert sent.trace_parent.split("-")[1] == journey.trace_id
    assert (sent.source.event_id, sent.source.vendor) == (webhook.webhook_id, "tave")


async def test_a_retry_carries_the_same_bytes(gateway: Gateway, studio: Studio, wedding_id: str) -> None:
    """While the sync service is away the change waits, and every retry sends exactly what was committed."""
    linked = await studio.link(gateway, wedding_id)
    gateway.sync.received.clear()
    gateway.sync.refusals += [Unavailable("away") for _ in range(6)]
    await studio.add_event("Vows")
    await until(lambda: "Vows" in gateway.sync.titles(), "the event arrives")
    assert len(gateway.sync.received) == 7
    assert len({change.SerializeToString(deterministic=True) for change in gateway.sync.received}) == 1
    await until(linked.scanned, "the answer is recorded")
    [row] = gateway.sql(
        "SELECT state, attempts FROM gateway.vendor_activities ORDER BY created_at DESC LIMIT 1"
    )
    assert row["state"] == "applied"
    assert row["attempts"] >= 2


async def test_a_change_of_an_unknown_wedding_waits(
    gateway: Gateway, studio: Studio, wedding_id: str
) -> None:
    """NOT_FOUND may be a wedding not restored yet: the change is kept and sent again."""
    await studio.link(gateway, wedding_id)
    gateway.sync.refusals += [NotFound("not yet"), NotFound("not yet")]
    await studio.add_event("Vows")
    await until(lambda: "Vows" in gateway.sync.titles(), "the event arrives")
    assert not gateway.sync.refusals


async def test_a_refused_change_is_corrected_at_the_vendor(
    gateway: Gateway, studio: Studio, wedding_id: str
) -> None:
    """What the sync service refuses for good is recorded with the reason; the next edit passes."""
    linked = await studio.link(gateway, wedding_id)
    gateway.sync.refusals += [InvalidRequest("no such title")]
    await studio.add_event("Forbidden")
    await until(lambda: not gateway.sync.refusals, "the change is refused")
    await until(linked.scanned, "the refusal is recorded")
    [row] = gateway.sql("SELECT reason FROM gateway.vendor_activities WHERE state = 'rejected'")
    assert row["reason"].startswith("INVALID_REQUEST: no such title")
    await studio.add_event("Vows")
    await until(lambda: gateway.sync.titles() == {"Vows"}, "the next edit passes")


async def test_a_deleted_record_is_deleted_once_the_vendor_says_so(
    gateway: Gateway, studio: Studio, wedding_id: str
) -> None:
    """An event deleted in Tave is read, found gone, and becomes one delete of its item."""
    event = await studio.add_event("Vows")
    await studio.add_event("Dinner")
    await studio.link(gateway, wedding_id)
    await studio.ui("DELETE", f"/event/{event}")
    await until(lambda: gateway.sync.titles() == {"Dinner"}, "the delete arrives")
    deletes = [change for change in gateway.sync.applied if change.kind is ChangeKind.DELETE]
    assert len(deletes) == 1


async def test_an_absence_that_a_read_denies_is_no_delete(
    gateway: Gateway, studio: Studio, wedding_id: str
) -> None:
    """An event missing from the list, but still there when asked for, stays."""
    await studio.add_event("Vows")
    linked = await studio.link(gateway, wedding_id)
    reads = studio.count("GET /event/{id}")
    studio.fault(method="GET", path="/event", body=_NO_EVENTS)
    await until(lambda: studio.count("GET /event/{id}") > reads, "the vendor is asked for the event itself")
    await until(linked.scanned, "scanned again")
    assert gateway.sync.titles() == {"Vows"}


async def test_garbage_is_parked_with_its_reason_and_harms_nobody(
    gateway: Gateway, studio: Studio, wedding_id: str
) -> None:
    """An event that makes no sense is parked and listed once; the events around it go through."""
    linked = await studio.link(gateway, wedding_id)
    bad = await studio.add_event("Bad")
    studio.studio.tamper("event", bad, {"startDate": "the day after", "timezoneName": "Moon/Base"})
    await studio.add_event("Vows")
    await until(lambda: "Vows" in gateway.sync.titles(), "the good event arrives")
    [parked] = await until(lambda: gateway.webhooks("parked"), "the bad event is parked")
    assert f"event/{bad}" in parked.reason
    assert "Correct it at the vendor" in parked.reason
    await studio.add_event("Dinner")
    await until(lambda: "Dinner" in gateway.sync.titles(), "edits go on")
    assert (await linked.state()).reason == ""
    assert len(await gateway.webhooks("parked")) == 1


async def test_a_garbled_vendor_does_not_slow_the_others(
    gateway: Gateway, studio: Studio, wedding_id: str
) -> None:
    """While one studio answers nonsense to everything, another's edits go through; then it recovers."""
    linked = await studio.link(gateway, wedding_id)
    async with open_studio() as other:
        await other.link(gateway, wedding_id)
        studio.fault(body="<html>", times=3)
        await other.add_event("Vows")
        await until(lambda: "Vows" in gateway.sync.titles(), "the other's edit arrives")
    await until(lambda: not studio.sandbox.traffic.faults, "the nonsense is over")
    [failed] = gateway.sql(
        "SELECT DISTINCT error FROM gateway.integration_sync_log WHERE link_id = %s AND error <> ''",
        linked.link_id,
    )
    assert "JSON" in failed["error"]
    studio.studio.create("event", {"jobId": studio.job_id, "name": "Dinner", "startDate": "2027-06-12"})
    await until(lambda: "Dinner" in gateway.sync.titles(), "the studio is read again")
