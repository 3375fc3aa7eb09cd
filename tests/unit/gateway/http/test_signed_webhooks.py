"""Signed webhooks at the door: believed on their raw bytes, greeted, and read where the manifest says."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from services.gateway.vendors.inbound import Handshake, Inbound, Place
from services.gateway.vendors.schemes import Signature
from tests.support.asgi import Answer
from tests.support.gateway_vendor import manifest
from tests.unit.gateway.http.front import Front
from tests.unit.gateway.http.test_rest import ADA
from wedsync import errors
from wedsync.clock import FakeClock
from wedsync.model.ids import new_id

SIGNED = Inbound(
    content_types=frozenset({"application/json", "application/x-www-form-urlencoded"}),
    events=frozenset({"message", "click"}),
    event_name=(Place(part="json", name="/event/type"), Place(part="json", name="/type")),
    delivery_id=(Place(part="json", name="/event_id"), Place(part="json", name="/trigger")),
    ignores_other_events=True,
    accepted_status=200,
    form_field="payload",
    signature=Signature(
        algorithm="sha256",
        encoding="hex",
        signed="v0:{timestamp}:{body}",
        header="x-signature",
        prefix="v0=",
        timestamp_header="x-timestamp",
        tolerance_seconds=300,
    ),
    handshake=Handshake(pointer="/type", equals="hello", echo="/word"),
)
MESSAGE = {"type": "callback", "event_id": "E1", "event": {"type": "message"}, "records": ["r1"]}
FORM = "application/x-www-form-urlencoded"


class SignedFront(Front):
    """A front whose vendor signs."""

    def __init__(self) -> None:
        super().__init__()
        vendor = self.ports.vendors["desk"]
        known = {"desk": replace(vendor, manifest=manifest(inbound=SIGNED))}
        self.ports._vendors = known
        self.accounts._vendors = known
        self.secrets.kept = {"first": "s3cret"}

    async def sent(
        self,
        event: Any = None,
        *,
        body: bytes | None = None,
        secret: str = "s3cret",  # noqa: S107
        seconds: int | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a webhook as the vendor signs it."""
        content = orjson.dumps(event) if body is None else body
        at = str(int(FakeClock().now().timestamp()) if seconds is None else seconds)
        made = hmac.digest(secret.encode(), b"v0:" + at.encode() + b":" + content, hashlib.sha256).hex()
        signed = {"x-signature": f"v0={made}", "x-timestamp": at} if headers is None else headers
        return await self.hook(body=content, headers={"content-type": content_type, **signed})


async def test_a_signed_webhook_is_accepted_and_says_what_it_tells_of() -> None:
    """It is answered as the manifest says, and kept with its event and the vendor's id of the delivery."""
    front = SignedFront()
    answer = await front.sent(MESSAGE)
    assert answer.status == 200
    [stored] = front.memory.webhooks
    assert answer.json == {"webhook_id": stored.webhook_id}
    assert (stored.event_name, stored.delivery_key, stored.ignored) == ("message", "E1", "")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"headers": {}}, "SIGNATURE_MISSING"),
        ({"headers": {"x-signature": "v0=", "x-timestamp": "1"}}, "SIGNATURE_MALFORMED"),
        ({"secret": "another tenant's"}, "SIGNATURE_MISMATCH"),
        ({"seconds": 1}, "SIGNATURE_STALE"),
        ({"seconds": 99_999_999_999}, "SIGNATURE_STALE"),
    ],
    ids=["missing", "malformed", "foreign", "stale", "future"],
)
async def test_what_the_vendor_did_not_just_sign_is_refused(request_: dict[str, Any], code: str) -> None:
    """The answer is 401 with a stable code, and nothing is stored."""
    front = SignedFront()
    answer = await front.sent(MESSAGE, **request_)
    assert (answer.status, answer.json["code"]) == (401, code)
    assert front.memory.webhooks == []
    assert front.seen == []


async def test_without_a_secret_nothing_is_believed() -> None:
    """An address that knows no secret fails closed and says what to do."""
    front = SignedFront()
    front.secrets.kept = {}
    answer = await front.sent(MESSAGE)
    assert (answer.status, answer.json["code"]) == (401, "SIGNATURE_NOT_CONFIGURED")
    assert "RotateWebhookSecret" in answer.json["detail"]


async def test_a_handshake_is_answered_and_not_stored() -> None:
    """A vendor that tries the address out gets its word back; an unsigned or odd one does not."""
    front = SignedFront()
    answer = await front.sent({"type": "hello", "word": "w1"})
    assert (answer.status, answer.json) == (200, {"word": "w1"})
    assert (await front.sent({"type": "hello", "word": 5})).status == 400
    assert (await front.sent({"type": "hello", "word": "w1"}, headers={})).status == 401
    assert front.memory.webhooks == []


async def test_a_click_is_a_form_signed_as_it_is_sent() -> None:
    """The JSON within the form is what is kept; the form itself is what was signed."""
    front = SignedFront()
    click = {"type": "click", "trigger": 12, "records": []}
    body = urlencode({"payload": orjson.dumps(click).decode()}).encode()
    assert (await front.sent(body=body, content_type=FORM)).status == 200
    [stored] = front.memory.webhooks
    assert (orjson.loads(stored.body), stored.delivery_key) == (click, "12")


@pytest.mark.parametrize(
    "body",
    [b"other=1", b"payload=%7B%7D&payload=%7B%7D", b"payload", b"\xff\xfe"],
    ids=["other", "two", "none", "bytes"],
)
async def test_a_form_that_holds_no_payload_is_refused(body: bytes) -> None:
    """A form without the field, or with two of it, makes no sense."""
    answer = await SignedFront().sent(body=body, content_type=FORM)
    assert (answer.status, answer.json["code"]) == (400, "WRONG_SHAPE")


async def test_an_event_of_no_interest_is_thanked_for_and_logged() -> None:
    """Refusing it would make the vendor turn its webhooks off; it is kept as processed, with the reason."""
    front = SignedFront()
    answer = await front.sent({**MESSAGE, "event": {"type": "reaction"}, "records": "odd"})
    assert answer.status == 200
    [stored] = front.memory.webhooks
    assert (stored.event_name, bool(stored.ignored)) == ("reaction", True)


async def test_a_repetition_whose_first_attempt_was_lost_is_accepted() -> None:
    """That it is called a repetition means nothing: only a delivery we know is one."""
    front = SignedFront()
    first, again = await front.sent(MESSAGE), await front.sent(MESSAGE)
    assert first.json == {"webhook_id": front.memory.webhooks[0].webhook_id}
    assert again.json == {"duplicate": True, **first.json}
    assert len(front.memory.webhooks) == 1


async def test_a_secret_is_changed_without_refusing_anything() -> None:
    """After a rotation what either secret signed is believed; with no overlap only the new one is."""
    front = SignedFront()

    async def given(secret: str, overlap: int) -> int:
        return await front.accounts.rotate_webhook_secret(
            ADA,
            request_id=new_id(),
            integration_id=front.link.integration_id,
            secret=secret,
            overlap_seconds=overlap,
        )

    assert await given("new", 3600) == 2
    assert [(await front.sent(MESSAGE, secret=secret)).status for secret in ("new", "s3cret")] == [200, 200]
    assert await given("newer", 0) == 1
    assert (await front.sent(MESSAGE, secret="s3cret")).status == 401


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        ({"request_id": "1"}, ["request_id"]),
        ({"secret": ""}, ["secret.secret"]),
        ({"overlap_seconds": -1}, ["overlap_seconds"]),
        ({"overlap_seconds": 10_000_000}, ["overlap_seconds"]),
    ],
)
async def test_a_bad_rotation_says_which_field_is_wrong(wanted: dict[str, Any], fields: list[str]) -> None:
    """Nothing is changed, and the violation names the field."""
    front = SignedFront()
    request = {"request_id": new_id(), "secret": "n", "overlap_seconds": 5, **wanted}
    with pytest.raises(errors.InvalidRequest) as refused:
        await front.accounts.rotate_webhook_secret(ADA, integration_id=front.link.integration_id, **request)
    assert [violation.field for violation in refused.value.violations] == fields
    assert front.secrets.kept == {"first": "s3cret"}


async def test_a_secret_is_refused_where_there_is_none_to_give() -> None:
    """An unknown integration is not found; a vendor that signs nothing has no secret."""
    request = {"request_id": new_id(), "secret": "n", "overlap_seconds": 5}
    signed, plain = SignedFront(), Front()
    with pytest.raises(errors.NotFound):
        await signed.accounts.rotate_webhook_secret(ADA, integration_id=new_id(), **request)  # type: ignore[arg-type]
    with pytest.raises(errors.FailedPrecondition, match="signs no webhooks"):
        await plain.accounts.rotate_webhook_secret(
            ADA,
            integration_id=plain.link.integration_id,
            **request,  # type: ignore[arg-type]
        )
