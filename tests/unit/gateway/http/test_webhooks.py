"""Vendors' webhooks at the door."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from starlette.requests import Request

from services.gateway.http.bodies import MAX_BODY, read_body
from services.gateway.metrics import webhooks_total
from services.gateway.store.links import endpoint_hash
from services.gateway.vendors.inbound import Place
from services.gateway.vendors.port import VendorRejected
from tests.support.asgi import call
from tests.support.gateway_vendor import manifest
from tests.unit.gateway.http.front import HOOK, JSON, KEY, Front

EVENT = {"event": "event.changed", "records": ["r1"]}


def counted(vendor: str, outcome: str) -> float:
    """Return how often this became of a webhook."""
    return float(webhooks_total.labels(vendor, outcome)._value.get())


async def test_a_webhook_is_answered_once_it_is_stored() -> None:
    """The answer is 202 with the id it is followed by, and the raw body is kept."""
    front = Front()
    answer = await front.hook(EVENT)
    assert answer.status == 202
    [stored] = front.memory.webhooks
    assert answer.json == {"webhook_id": stored.webhook_id}
    assert stored.body == b'{"event":"event.changed","records":["r1"]}'
    assert [endpoint.vendor for endpoint in front.seen] == ["desk"]


async def test_a_known_delivery_is_thanked_for_and_ignored() -> None:
    """The same vendor delivery id twice answers 2xx twice and is stored once."""
    front = Front()
    answers = [await front.hook({**EVENT, "id": "d1"}) for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 200]
    assert answers[1].json == {"duplicate": True, "webhook_id": answers[0].json["webhook_id"]}
    assert len(front.memory.webhooks) == 1


async def test_a_ping_without_an_id_is_never_a_duplicate() -> None:
    """Every ping marks its records anew."""
    front = Front()
    assert [(await front.hook(EVENT)).status for _ in range(2)] == [202, 202]


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"path": f"{HOOK}x"}, 404, "UNKNOWN_ENDPOINT"),
        ({"path": f"/api/integrations/webhooks/other/{KEY}"}, 404, "UNKNOWN_ENDPOINT"),
        ({"body": b'"' + b"x" * MAX_BODY + b'"'}, 413, "BODY_TOO_LARGE"),
        ({"body": b"{"}, 400, "NOT_JSON"),
        ({"body": b""}, 400, "NOT_JSON"),
        ({"body": b"\xff\xfe"}, 400, "NOT_JSON"),
        ({"body": b"[" * 5000}, 400, "NOT_JSON"),
        ({"event": ["event.changed"]}, 400, "WRONG_TYPE"),
        ({"event": "event.changed"}, 400, "WRONG_TYPE"),
        ({"event": {"event": ["event.changed"]}}, 400, "WRONG_TYPE"),
        ({"event": {"event": {}}}, 400, "WRONG_TYPE"),
        ({"event": {**EVENT, "records": "r1"}}, 400, "WRONG_SHAPE"),
        ({"event": {**EVENT, "id": "d" * 256}}, 400, "WRONG_SHAPE"),
        ({"event": {**EVENT, "id": "d\0"}}, 400, "WRONG_SHAPE"),
        ({"event": {**EVENT, "event": "event.exploded"}}, 422, "UNKNOWN_EVENT"),
        ({"event": EVENT, "query": "event=event.exploded"}, 422, "UNKNOWN_EVENT"),
        ({"event": EVENT, "headers": {"content-type": "text/plain"}}, 415, "WRONG_CONTENT_TYPE"),
        ({"event": EVENT, "headers": {}}, 415, "WRONG_CONTENT_TYPE"),
    ],
)
async def test_bad_input_is_refused_with_a_stable_code_and_not_stored(
    request_: dict[str, Any], status: int, code: str
) -> None:
    """Each kind of bad input has its status and code, is counted by it, and leaves nothing behind."""
    front = Front()
    label = "other" if "other" in request_.get("path", "") else "desk"
    label = "unknown" if label == "other" else label
    before = counted(label, code)
    answer = await front.hook(**request_)
    assert (answer.status, answer.json["code"], answer.json["status"]) == (status, code, status)
    assert answer.json["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert front.memory.webhooks == []
    assert counted(label, code) == before + 1


async def test_a_vendor_without_webhooks_has_no_address() -> None:
    """A key of a vendor that is only polled leads nowhere."""
    front = Front()
    vendors = {"desk": replace(front.ports.vendors["desk"], manifest=manifest(inbound=None))}
    front.ports._vendors = vendors
    answer = await front.hook(EVENT)
    assert (answer.status, answer.json["code"]) == (404, "UNKNOWN_ENDPOINT")


async def test_an_event_is_stored_although_nobody_can_read_it_yet() -> None:
    """Without a link, or with an account that is gone, the hint cannot be checked and is kept."""
    front = Front()
    front.memory.links.clear()
    assert (await front.hook({"records": 5})).status == 202
    front = Front()
    front.memory.integrations.clear()
    assert (await front.hook({"records": 5})).status == 202
    assert str(VendorRejected("gone")) == "gone"


async def test_when_the_log_fails_the_vendor_is_asked_to_come_back() -> None:
    """No 2xx without a commit: 503 with a retry time."""
    front = Front()
    front.inbound.failing = OSError("no database")
    answer = await front.hook(EVENT)
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "UNAVAILABLE", "1")
    assert front.memory.webhooks == []


async def test_too_many_at_once_are_refused_early() -> None:
    """Beyond the bound the answer is 429 with a retry time, and the slot is free again afterwards."""
    front = Front(max_webhooks=1)
    first = asyncio.create_task(call(front.app, "POST", HOOK, chunks=(b'{"records":[]}',), headers=JSON))
    await asyncio.sleep(0.01)
    refused = await call(front.app, "POST", HOOK, chunks=(b'{"records":[]}',), headers=JSON)
    assert (refused.status, refused.json["code"]) == (429, "OVERLOADED")
    assert refused.headers["retry-after"] == "1"
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await front.hook(EVENT)).status == 202


def test_the_address_is_kept_as_a_digest_only() -> None:
    """What is stored of an endpoint key is not the key."""
    assert KEY.encode() not in endpoint_hash(KEY)


async def test_an_event_that_trips_the_adapter_is_kept() -> None:
    """It may be the adapter's fault: the vendor is thanked, and the event is parked for a person later."""
    front = Front()
    assert (await front.hook({**EVENT, "decisions": [{}]})).status == 202
    assert len(front.memory.webhooks) == 1


async def test_whoever_sends_slowly_is_no_rush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who waits for our own database counts: else a few slow senders could hold up everybody's work."""
    front, during_body = Front(), list[int]()
    store, accept = list[int](), front.inbound.accept

    async def body_of(request: Request) -> bytes:
        during_body.append(front.rush.waiting)
        return await read_body(request)

    async def accepted(*args: Any, **but: Any) -> Any:
        store.append(front.rush.waiting)
        return await accept(*args, **but)

    monkeypatch.setattr("services.gateway.http.webhooks.read_body", body_of)
    monkeypatch.setattr(front.inbound, "accept", accepted)
    assert (await front.hook(EVENT)).status == 202
    assert (during_body, store, front.rush.waiting) == ([0], [1], 0)


@pytest.mark.parametrize(
    ("value", "scope"), [("w1", ("wedding_id", "w1")), ("w\0", None), (7, None), (None, None)]
)
def test_what_no_scope_can_be_is_not_asked_for(value: object, scope: tuple[str, str] | None) -> None:
    """PostgreSQL refuses a NUL, and all that are asked for at the same time would be refused with it."""
    inbound = manifest().inbound
    assert inbound is not None
    inbound = replace(inbound, scope_at=("wedding_id", Place(part="json", name="/wedding")))
    assert inbound.scope_of({"wedding": value}) == scope
