"""What the Stripe adapter makes of answers that no sandbox gives, through a door that is a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from services.gateway.vendor_http import Response
from services.gateway.vendors.manifest import load_manifest
from services.gateway.vendors.port import (
    Account,
    CursorLost,
    RecordGone,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorPort,
    VendorRecord,
    VendorRejected,
    VendorUnavailable,
)
from services.gateway.vendors.stripe.adapter import create_adapter
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind

MANIFEST = load_manifest(Path(__file__).parents[4] / "services/gateway/vendors/stripe")
MEMO = {"memo": "Deposit"}


def intent(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A payment that was asked for."""
    made = {"id": f"pi_{number}", "amount": 500, "currency": "usd", "customer": "cus_1"}
    return {**made, "status": "requires_payment_method", "metadata": {}, **changes}


@dataclass
class Door:
    """Gives prepared answers, and keeps what was asked."""

    answers: list[Response] = field(default_factory=list)
    asked: list[tuple[str, str, Mapping[str, str], bytes | None]] = field(default_factory=list)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as the port has it
        returns: frozenset[int] = frozenset(),
    ) -> Response:
        """Give the next answer."""
        self.asked.append((method, url, headers or {}, body))
        return self.answers.pop(0)

    def answer(self, body: Any, status: int = 200, **headers: str) -> None:
        """Prepare an answer."""
        held = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(Response(status=status, headers=named, body=held))

    def query(self) -> list[tuple[str, str]]:
        """The parameters of the last call."""
        return parse_qsl(urlsplit(self.asked[-1][1]).query)


@pytest.fixture(name="door")
def _door() -> Door:
    return Door()


def adapter(
    door: Door, *, customer: str = "cus_1", key: str = "sk_1", zone: str = "UTC", **settings: str
) -> VendorPort:
    """The adapter at the door."""
    account = Account(
        integration_id="i",
        base_url="https://api.stripe.example/v1/",
        credentials={"secret_key": key},
        settings=settings,
    )
    return create_adapter(door, MANIFEST, account, {"customer_id": customer, "time_zone": zone})


async def read(door: Door) -> VendorRecord:
    """A payment that was just read."""
    door.answer(intent())
    record = await adapter(door).read("pi_1")
    assert record is not None
    return record


async def test_a_read_asks_for_the_charge_in_a_pinned_version(door: Door) -> None:
    """Whatever version the account is at, we are answered in one we know, with the key as a bearer's."""
    await read(door)
    method, url, headers, _ = door.asked[0]
    assert (method, url.partition("?")[0]) == ("GET", "https://api.stripe.example/v1/payment_intents/pi_1")
    assert door.query() == [("expand[]", "latest_charge"), ("expand[]", "payment_method")]
    assert (headers["Authorization"], headers["Stripe-Version"]) == ("Bearer sk_1", "2024-06-20")
    assert "Idempotency-Key" not in headers


async def test_every_write_has_a_key_of_its_own(door: Door) -> None:
    """The network cannot carry a write out twice, and Stripe never answers a later one from memory."""
    record = await read(door)
    for _ in range(2):
        door.answer(intent(metadata={"wedsync_memo": "Deposit"}))
        await adapter(door).update(record, MEMO)
    first, second = ((headers, body) for _, _, headers, body in door.asked[1:])
    assert first[1] == second[1]
    assert dict(parse_qsl((first[1] or b"").decode()))["metadata[wedsync_memo]"] == "Deposit"
    keys = {headers["Idempotency-Key"] for headers, _ in (first, second)}
    assert len(keys) == 2
    assert all(0 < len(key) <= 255 for key in keys)


BUSY = {"error": {"type": "api_error", "message": "Try later"}}


@pytest.mark.parametrize(
    ("status", "body", "headers", "pause", "unknown"),
    [
        (429, BUSY, {}, None, False),
        (429, BUSY, {"retry_after": "7"}, 7.0, False),
        (429, {"error": {"code": "lock_timeout"}}, {"stripe_should_retry": "true"}, None, False),
        (500, BUSY, {"stripe_should_retry": "false"}, 60.0, True),
        (500, BUSY, {"stripe_should_retry": "false", "retry_after": "90"}, 90.0, True),
        (502, b"<html>", {}, None, True),
        (503, b"[]", {"retry_after": "2"}, 2.0, False),
        (409, {"error": {"code": "idempotency_key_in_use"}}, {}, None, False),
        (400, {"error": {"type": "idempotency_error"}}, {}, None, False),
        (400, {"error": "odd"}, {"stripe_should_retry": "true"}, None, False),
        (200, b"<html>", {}, None, True),
        (200, [], {}, None, True),
        (200, intent(status="dreaming"), {}, None, True),
        (200, intent(customer="cus_2"), {}, None, True),
    ],
    ids=str,
)
async def test_a_write_that_may_be_repeated_says_when_and_whether_it_was_carried_out(
    door: Door, status: int, body: Any, headers: dict[str, str], pause: float | None, *, unknown: bool
) -> None:
    """Busy, broken, held by another call, or answered with nonsense: look, wait, and write again."""
    record = await read(door)
    door.answer(body, status, **headers)
    with pytest.raises(VendorUnavailable) as failed:
        await adapter(door).update(record, MEMO)
    assert (failed.value.retry_after, failed.value.unknown_outcome) == (pause, unknown)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (302, b"", "base URL"),
        (
            400,
            {"error": {"code": "parameter_invalid", "message": "Metadata is odd"}},
            "parameter_invalid Meta",
        ),
        (402, {"error": {"message": "Declined"}}, "Declined"),
        (418, b"teapot", r"status 418\)$"),
    ],
)
async def test_a_refused_write_is_final_and_says_why(door: Door, status: int, body: Any, said: str) -> None:
    """What Stripe understood and refused needs a human, who reads Stripe's words."""
    record = await read(door)
    door.answer(body, status)
    with pytest.raises(VendorRejected, match=said):
        await adapter(door).update(record, MEMO)


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (429, BUSY, VendorUnavailable),
        (500, BUSY, VendorUnavailable),
        (400, {"error": {"message": "No"}}, VendorRejected),
        (200, "pi_1", VendorGarbage),
        (200, intent(amount=None), VendorGarbage),
    ],
    ids=str,
)
async def test_a_failed_read_changed_nothing(
    door: Door, status: int, error: Any, expected: type[VendorError]
) -> None:
    """A read that failed may simply be repeated, or needs a human."""
    door.answer(error, status)
    with pytest.raises(expected) as failed:
        await adapter(door).read("pi_1")
    assert not getattr(failed.value, "unknown_outcome", False)


async def test_a_payment_that_vanished_is_gone(door: Door) -> None:
    """Stripe says so by the status or by its word; a write then has nothing to write to."""
    record = await read(door)
    missing = {"error": {"code": "resource_missing", "type": "invalid_request_error"}}
    for status in (404, 400):
        door.answer(missing, status)
        door.answer({"id": "cus_1"})
        assert await adapter(door).read("pi_1") is None
        door.answer(missing, status)
        with pytest.raises(RecordGone):
            await adapter(door).update(record, MEMO)


async def test_with_another_accounts_key_nothing_is_gone(door: Door) -> None:
    """Where the customer is unknown too, the absence of a payment is a wrong key and no delete."""
    for _ in range(2):
        door.answer({"error": {"code": "resource_missing"}}, 404)
    with pytest.raises(VendorRejected, match="no such customer"):
        await adapter(door).read("pi_1")


async def test_a_list_is_read_page_after_page(door: Door) -> None:
    """Each page goes on behind the last payment of the one before; the end begins the next scan anew."""
    stripe = adapter(door, page_size="2")
    door.answer({"data": [intent(4), intent(3)], "has_more": True})
    first = await stripe.scan(None)
    assert door.query()[:2] == [("customer", "cus_1"), ("limit", "2")]
    assert ("expand[]", "data.latest_charge") in door.query()
    door.answer({"data": [intent(2)], "has_more": False})
    second = await stripe.scan(first.cursor)
    assert ("starting_after", "pi_3") in door.query()
    assert [r.record_id for r in [*first.records, *second.records]] == ["pi_4", "pi_3", "pi_2"]
    assert (first.more, second.more, second.cursor, second.present) == (True, False, {}, None)
    door.answer({"data": [], "has_more": False})
    await stripe.scan(second.cursor)
    assert "starting_after" not in dict(door.query())


async def test_one_payment_that_makes_no_sense_is_parked_alone(door: Door) -> None:
    """The others of the page are taken, and another customer's is left out."""
    door.answer({"data": [intent(3), intent(2, status="odd"), intent(1, customer=None)], "has_more": False})
    scan = await adapter(door).scan({})
    assert [record.record_id for record in scan.records] == ["pi_3"]
    assert [(bad.record_id, bad.reason) for bad in scan.bad] == [
        ("pi_2", "the payment has a field status that is unknown")
    ]
    assert json.loads(scan.bad[0].raw)["id"] == "pi_2"


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"data": [1], "has_more": False},
        {"data": [], "has_more": "no"},
        {"data": [], "has_more": True},
        {"data": [{"id": 5}], "has_more": True},
    ],
    ids=str,
)
async def test_a_list_that_makes_no_sense_is_garbage(door: Door, page: dict[str, Any]) -> None:
    """A scan never takes half a list for the whole."""
    door.answer(page)
    with pytest.raises(VendorGarbage):
        await adapter(door).scan(None)


async def test_a_place_in_the_list_that_is_lost_begins_anew(door: Door) -> None:
    """A payment from which to go on may be unknown; a customer who is makes the link useless."""
    missing = {"error": {"code": "resource_missing"}}
    for cursor in ({"after": "nobody"}, {"after": 5}):
        with pytest.raises(CursorLost):
            await adapter(door).scan(cursor)
    door.answer(missing, 400)
    with pytest.raises(CursorLost):
        await adapter(door).scan({"after": "pi_1"})
    door.answer(missing, 400)
    with pytest.raises(VendorRejected, match="no such customer"):
        await adapter(door).scan(None)


async def test_a_search_has_an_end(door: Door) -> None:
    """It finds what lies behind the first page, and gives up on a customer with more than any wedding has."""
    item = new_id()
    door.answer({"data": [intent(2, metadata=None)], "has_more": True})
    door.answer({"data": [intent(1, metadata={"wedsync_item": item})], "has_more": False})
    found = await adapter(door).find(ItemKind.PAYMENT, item)
    assert found is not None
    assert (found.record_id, found.marker) == ("pi_1", item)
    for _ in range(50):
        door.answer({"data": [intent()], "has_more": True})
    with pytest.raises(VendorRejected, match="more than 5000"):
        await adapter(door).find(ItemKind.PAYMENT, item)
    door.answer({"error": {"code": "resource_missing"}}, 400)
    with pytest.raises(VendorRejected, match="no such customer"):
        await adapter(door).find(ItemKind.PAYMENT, item)
    assert await adapter(door).find(ItemKind.TASK, item) is None


async def test_a_deleted_customer_is_none(door: Door) -> None:
    """Stripe still answers for a customer who was deleted; nothing can be linked to them."""
    door.answer({"id": "cus_1", "deleted": True})
    with pytest.raises(VendorRejected, match="no such customer"):
        await adapter(door).check()


@pytest.mark.parametrize(
    ("changes", "error", "cure"),
    [
        ({"customer": "Ana"}, VendorRejected, "copy it"),
        ({"customer": "cus_1/sources"}, VendorRejected, "copy it"),
        ({"key": ""}, VendorAuthFailed, "reconnect"),
        ({"zone": "Mars/Olympus"}, VendorRejected, "time zone"),
        ({"zone": "../etc/passwd"}, VendorRejected, "time zone"),
        ({"currency_digits": "ISK"}, VendorRejected, "ISK=2"),
    ],
    ids=str,
)
def test_a_link_that_cannot_work_is_refused_with_its_cure(
    door: Door, changes: dict[str, str], error: type[VendorError], cure: str
) -> None:
    """What is wrong with scope, key or settings is said before any call."""
    with pytest.raises(error, match=cure):
        adapter(door, **changes)
    assert door.asked == []
