"""REST for people's own scripts, the event stream and the small addresses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.gateway.http.problems import STATUS
from services.gateway.vendors.port import VendorError, VendorRejected, VendorUnavailable
from tests.support.asgi import call
from tests.unit.gateway.http.front import Front
from wedsync import errors
from wedsync.api.sync.v1 import service_pb2
from wedsync.model.ids import new_id
from wedsync.runtime.principal import Principal, Scope

CONNECT = "/api/integrations/vendor/connect"
WEDDING = "00000000-0000-4000-8000-0000000000aa"
SYNC, EVENTS = f"/api/integrations/sync/{WEDDING}", f"/api/weddings/{WEDDING}/events"
ADA = Principal(
    organization_id="studio", role="studio", actor="ada", scopes=frozenset({Scope.WRITE}), key_id="k"
)


def account(**changes: Any) -> dict[str, Any]:
    """Return a good request to connect."""
    return {"request_id": new_id(), "vendor": "desk", "credentials": {"key": "s3cret"}, **changes}


async def test_connecting_answers_with_the_webhook_address_every_time() -> None:
    """A repeated request makes no second account and gets the same answer; no secret is in it."""
    front, wanted = Front(), account()
    first, again = [await front.ask("POST", CONNECT, wanted) for _ in range(2)]
    assert first.status == 201
    assert first.json == again.json
    assert first.json["webhook_path"].startswith("/api/integrations/webhooks/desk/")
    assert b"s3cret" not in first.body
    assert len(front.memory.integrations) == 2


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ([], "WRONG_TYPE", None),
        (account(vendor=5), "WRONG_TYPE", None),
        (account(credentials=["key"]), "WRONG_TYPE", None),
        (account(credentials={"key": 5}), "WRONG_TYPE", None),
        (account(vendor="nobody"), "INVALID_REQUEST", "vendor"),
        (account(request_id="1"), "INVALID_REQUEST", "request_id"),
        (account(credentials={}), "INVALID_REQUEST", "credentials.key"),
        (account(credentials={"key": ""}), "INVALID_REQUEST", "credentials.key"),
        (account(credentials={"key": "k", "pin": "1"}), "INVALID_REQUEST", "credentials.pin"),
    ],
)
async def test_a_bad_request_says_which_field_is_wrong(body: Any, code: str, field: str | None) -> None:
    """Nothing is connected, and the problem names code and field."""
    front = Front()
    answer = await front.ask("POST", CONNECT, body)
    assert (answer.status, answer.json["code"]) == (400, code)
    assert [v["field"] for v in answer.json.get("violations", [])] == ([field] if field else [])
    assert len(front.memory.integrations) == 1


@pytest.mark.parametrize(
    ("key", "method", "path", "status"),
    [
        ("wrong", "GET", SYNC, 401),
        ("none", "GET", SYNC, 403),
        ("read", "POST", SYNC, 403),
        ("read", "POST", CONNECT, 403),
        ("read", "GET", "/api/integrations/sync/x", 400),
        ("read", "GET", "/api/integrations/sync/00000000-0000-4000-8000-0000000000bb", 404),
    ],
)
async def test_who_may_not_is_told_so(key: str, method: str, path: str, status: int) -> None:
    """Every refusal is a problem document with its own status."""
    answer = await Front().ask(method, path, account(), key=key)
    assert answer.status == status == answer.json["status"]


async def test_the_state_of_each_link_is_shown() -> None:
    """Paused or active, and what is still to be delivered."""
    front = Front()
    front.journeys.waiting = {front.link.link_id: 3}
    answer = await front.ask("GET", SYNC, key="read")
    [link] = answer.json["links"]
    assert (link["vendor"], link["state"], link["deliveries_due"]) == ("desk", "active", 3)


async def test_every_active_link_is_looked_at_on_request() -> None:
    """A paused one is left alone."""
    front = Front()
    answer = await front.ask("POST", SYNC)
    assert (answer.status, answer.json) == (202, {"links": [front.link.link_id]})
    await front.accounts.set_active(ADA, front.link.link_id, active=False)
    assert (await front.ask("POST", SYNC)).json == {"links": []}
    with pytest.raises(errors.FailedPrecondition, match="paused by request"):
        await front.accounts.sync_now(ADA, front.link.link_id)
    resumed = await front.accounts.set_active(ADA, front.link.link_id, active=True)
    assert resumed.active
    with pytest.raises(errors.NotFound):
        await front.accounts.find_link(ADA, "x")


async def test_a_wedding_is_linked_after_the_vendor_let_us_in() -> None:
    """The account is tried first, what was opened is closed, and a repetition makes no second link."""
    front, request_id = Front(), new_id()
    first, again = [
        await front.accounts.link(
            ADA,
            request_id=request_id,
            wedding_id=WEDDING,
            integration_id=front.link.integration_id,
            scope={"calendar": "c"},
        )
        for _ in range(2)
    ]
    assert first.link_id == again.link_id
    assert front.desk.closed == 2


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (VendorRejected("no such calendar"), errors.FailedPrecondition),
        (VendorUnavailable("503"), errors.Unavailable),
    ],
)
async def test_a_link_that_would_not_work_is_not_made(failure: VendorError, raised: type[Exception]) -> None:
    """The vendor's own reason is passed on, and nothing is kept."""
    front = Front()
    front.desk.failures = [failure]
    front.memory.links.clear()
    with pytest.raises(raised, match="desk: "):
        await front.accounts.link(
            ADA,
            request_id=new_id(),
            wedding_id=WEDDING,
            integration_id=front.link.integration_id,
            scope={"calendar": "c"},
        )
    assert front.memory.links == {}


async def test_only_members_link_and_only_what_exists() -> None:
    """Someone else's wedding, an unknown account and an unknown scope are refused."""
    front = Front()
    known: dict[str, Any] = {"request_id": new_id(), "wedding_id": WEDDING}
    with pytest.raises(errors.NotFound):
        await front.accounts.link(ADA, **known, integration_id=new_id(), scope={})
    with pytest.raises(errors.InvalidRequest):
        await front.accounts.link(ADA, **known, integration_id=front.link.integration_id, scope={"x": "y"})
    front.sync.members = ["others"]
    with pytest.raises(errors.UnknownWedding):
        await front.accounts.link(
            ADA, **known, integration_id=front.link.integration_id, scope={"calendar": "c"}
        )


def message(sequence: int, *, change: bool) -> service_pb2.WatchWeddingResponse:
    """Return one message of the log."""
    answer = service_pb2.WatchWeddingResponse(sequence=sequence)
    if change:
        answer.change.SetInParent()
    return answer


@pytest.mark.parametrize(
    ("headers", "query", "after"), [({}, "", None), ({"last-event-id": "7"}, "", 7), ({}, "after=8", 8)]
)
async def test_the_log_is_streamed_from_where_the_reader_was(
    headers: dict[str, str], query: str, after: int | None
) -> None:
    """Each event's id is its sequence, and an error ends the stream with its reason."""
    front = Front()
    front.sync.messages = [message(8, change=False), message(9, change=True)]
    front.sync.ending = errors.Unavailable()
    answer = await front.ask("GET", EVENTS, headers=headers, query=query)
    text = answer.body.decode()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [line for line in text.split("\r\n") if line.startswith(("id", "event"))] == [
        "id: 8",
        "event: start",
        "id: 9",
        "event: change",
        "event: end",
    ]
    assert front.sync.after == [after]
    assert front.sync.keys == [front.keys["write"]]


@pytest.mark.parametrize("given", ["x", "-1", "1" * 19, "\u00b2"])
async def test_a_place_that_is_no_sequence_is_refused(given: str) -> None:
    """Before the stream begins, not in its middle."""
    answer = await Front().ask("GET", EVENTS, headers={"last-event-id": given})
    assert (answer.status, answer.json["code"]) == (400, "WRONG_TYPE")


async def test_refusals_come_before_the_stream() -> None:
    """An unknown wedding is a problem document; so is one reader too many, who may come back later."""
    front = Front(max_streams=1)
    front.sync.error = errors.UnknownWedding()
    assert (await front.ask("GET", EVENTS)).status == 404
    front.sync.error = None
    front.sync.gate.clear()
    reader = asyncio.create_task(front.ask("GET", EVENTS))
    while not front.sync.after:  # noqa: ASYNC110 - until the first reader is being served
        await asyncio.sleep(0)
    refused = await front.ask("GET", EVENTS)
    assert (refused.status, refused.headers["retry-after"]) == (429, "5")
    front.sync.gate.set()
    assert (await reader).status == 200
    assert (await front.ask("GET", EVENTS)).status == 200


async def test_the_small_addresses_answer() -> None:
    """Alive, ready or not, numbers, and the description of the whole surface."""
    front = Front()
    assert (await call(front.app, "GET", "/healthz")).json == {"alive": True}
    assert (await call(front.app, "GET", "/readyz")).json["degraded"] == {"redis": "hints are slower"}
    front.ready = False
    assert (await call(front.app, "GET", "/readyz")).status == 503
    assert b"wedsync_webhooks" in (await call(front.app, "GET", "/metrics")).body
    described = (await call(front.app, "GET", "/openapi.json")).json
    served = {route.path for route in front.app.routes}  # type: ignore[attr-defined]
    assert set(described["paths"]) == served


async def test_every_refusal_is_a_problem_document() -> None:
    """No address and a wrong method too; our own mistakes reach the server's log."""
    front = Front()
    assert (await call(front.app, "GET", "/nowhere")).json["code"] == "NOT_FOUND"
    assert (await call(front.app, "DELETE", "/healthz")).json["code"] == "WRONG_METHOD"
    front.journeys.waiting = None  # type: ignore[assignment]
    answered: list[int] = []
    with pytest.raises(AttributeError):
        answered.append((await front.ask("GET", SYNC)).status)
    assert answered == []


def test_every_error_of_the_family_has_a_status() -> None:
    """Whatever a service raises can be answered over HTTP."""
    assert set(STATUS) == set(errors.ERRORS.values())


@pytest.mark.parametrize(
    "base_url", ["desk.example", "ftp://desk.example", "https://", "https://desk\x00.example", "http://[::1"]
)
async def test_an_address_that_is_none_is_refused(base_url: str) -> None:
    """A base URL that is no web address is named; nothing is kept."""
    front = Front()
    with pytest.raises(errors.InvalidRequest) as refused:
        await front.accounts.connect(
            ADA, request_id=new_id(), vendor="desk", credentials={"key": "s3cret"}, base_url=base_url
        )
    assert [violation.field for violation in refused.value.violations] == ["base_url"]


@pytest.mark.parametrize("key", ["", "two\nlines", "nul\x00", "x" * 2001])
async def test_credentials_are_one_printable_line(key: str) -> None:
    """A credential that could not have been typed in is named, not stored."""
    front = Front()
    with pytest.raises(errors.InvalidRequest) as refused:
        await front.accounts.connect(
            ADA, request_id=new_id(), vendor="desk", credentials={"key": key}, base_url=""
        )
    assert [violation.field for violation in refused.value.violations] == ["credentials.key"]
