"""Proofs that need more than headers: our own address, published keys, a secret that is handed over."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from services.gateway.vendors.inbound import Inbound
from tests.support.asgi import Answer
from tests.support.gateway_vendor import manifest
from tests.support.signed import NOW
from tests.support.signers import (
    BASIC,
    GOOGLE,
    KEYS,
    PLAIN,
    SQUARE,
    TEAMS,
    TWILIO,
    Signer,
    inbound,
    key_document,
)
from tests.unit.gateway.http.front import HOOK, Front
from tests.unit.gateway.http.test_rest import ADA
from wedsync import errors
from wedsync.model.ids import new_id

_BODY = json.dumps({"event": "any", "records": ["r1"]}).encode()
_PUBLIC = "https://hooks.wedsync.test/studio/"
_HERE = f"{_PUBLIC.rstrip('/')}{HOOK}"
_ASANA = inbound(f"{PLAIN.section}  handshake: {{header: X-Hook-Secret}}\n")


def a_front(section: Inbound, *secrets: str, public_url: str | None = _PUBLIC) -> Front:
    """Return a front whose vendor has this inbound section."""
    front = Front(public_url=public_url)
    known = {"desk": replace(front.ports.vendors["desk"], manifest=manifest(inbound=section))}
    front.ports._vendors = front.accounts._vendors = known
    front.clock.advance((NOW - front.clock.now()).total_seconds())
    front.secrets.kept = {str(number): secret for number, secret in enumerate(secrets)}
    return front


async def sent(front: Front, signer: Signer, url: str, query: str = "") -> Answer:
    """Send what the signer makes for an address."""
    headers = {"content-type": "application/json", **signer.sign(signer.secret, _BODY, url, NOW)}
    return await front.hook(body=_BODY, headers=headers, query=query)


@pytest.mark.parametrize("query", ["", "portal=7&name=a%20b"])
async def test_a_signed_address_is_the_public_one(query: str) -> None:
    """Behind a proxy the vendor signs what it was told, with its query as written, not what reaches us."""
    front = a_front(SQUARE.inbound, SQUARE.secret)
    assert (await sent(front, SQUARE, f"{_HERE}?{query}" if query else _HERE, query)).status == 202
    for other in ("http://gateway:8080", "https://hooks.wedsync.test"):
        answer = await sent(front, SQUARE, f"{other}{HOOK}", query)
        assert (answer.status, answer.json["code"]) == (401, "SIGNATURE_MISMATCH")


async def test_without_a_public_address_no_signed_one_is_believed() -> None:
    """The refusal names the setting."""
    answer = await sent(a_front(SQUARE.inbound, SQUARE.secret, public_url=None), SQUARE, _HERE)
    assert (answer.status, answer.json["code"]) == (401, "SIGNATURE_NOT_CONFIGURED")
    assert "WEDSYNC_PUBLIC_URL" in answer.json["detail"]


async def test_a_token_is_checked_with_the_keys_the_vendor_publishes() -> None:
    """While they cannot be had the vendor is asked to come back; then it is believed."""
    front = a_front(GOOGLE.inbound, GOOGLE.secret)
    answer = await sent(front, GOOGLE, _HERE)
    assert (answer.status, answer.headers["retry-after"]) == (503, "60")
    front.published.documents[KEYS] = key_document()
    assert (await sent(front, GOOGLE, _HERE)).status == 202
    assert front.published.asked == [KEYS, KEYS]


async def test_a_name_and_password_prove_the_sender() -> None:
    """HTTP Basic is checked like any other secret."""
    assert (await sent(a_front(BASIC.inbound, BASIC.secret), BASIC, _HERE)).status == 202
    assert (await sent(a_front(BASIC.inbound, "vendor:another"), BASIC, _HERE)).status == 401


async def test_garbage_is_refused_for_its_signature_first() -> None:
    """What nobody has proved is not read: no parser is shown it."""
    front = a_front(PLAIN.inbound, PLAIN.secret)
    answer = await front.hook(body=b"{", headers={"content-type": "application/json"})
    assert (answer.status, answer.json["code"]) == (401, "SIGNATURE_MISSING")


async def test_a_secret_is_handed_over_once() -> None:
    """The vendor's secret is said back and kept; what it signs is believed, and no other secret is taken."""
    front = a_front(_ASANA)
    for _ in range(2):
        answer = await front.hook(body=b"", headers={"x-hook-secret": PLAIN.secret})
        assert (answer.status, answer.headers["x-hook-secret"], answer.body) == (200, PLAIN.secret, b"")
    other = await front.hook(body=b"", headers={"x-hook-secret": "mallory's"})
    assert (other.status, other.json["code"]) == (401, "HANDSHAKE_REFUSED")
    assert "x-hook-secret" not in other.headers
    assert (await sent(front, PLAIN, _HERE)).status == 202
    assert len(front.memory.webhooks) == 1


@pytest.mark.parametrize("secret", ["", "a\tb", "x" * 1025, "ü"], ids=["empty", "tab", "long", "accent"])
async def test_an_odd_secret_is_not_taken(secret: str) -> None:
    """What could not stand in a header, or be entered by hand, is refused and not kept."""
    front = a_front(_ASANA)
    answer = await front.hook(body=b"", headers={"x-hook-secret": secret})
    assert (answer.status, answer.json["code"]) == (400, "WRONG_SHAPE")
    assert front.secrets.kept == {}


async def test_only_a_vendor_that_hands_secrets_over_can() -> None:
    """Another vendor's address takes no secret from outside, and its handshake proves nothing."""
    front = a_front(PLAIN.inbound)
    answer = await front.hook(
        body=b"{}", headers={"content-type": "application/json", "x-hook-secret": "mine"}
    )
    assert (answer.status, front.secrets.kept) == (401, {})


@pytest.mark.parametrize(
    ("signer", "secret", "says"),
    [(TEAMS, "not base64!", "must be base64"), (BASIC, "no colon", "must be name:password")],
    ids=["base64", "basic"],
)
async def test_a_secret_of_no_use_is_refused_where_it_is_entered(
    signer: Signer, secret: str, says: str
) -> None:
    """Whoever enters it is told, instead of every webhook being refused later."""
    front = a_front(signer.inbound)
    with pytest.raises(errors.InvalidRequest) as refused:
        await front.accounts.rotate_webhook_secret(
            ADA,
            request_id=new_id(),
            integration_id=front.link.integration_id,
            secret=secret,
            overlap_seconds=0,
        )
    assert says in refused.value.violations[0].description
    assert front.secrets.kept == {}


async def test_a_form_is_signed_field_by_field() -> None:
    """A form is checked by its fields and our address; it is read only then."""
    front = a_front(TWILIO.inbound, TWILIO.secret)
    headers = TWILIO.sign(TWILIO.secret, TWILIO.body, _HERE, NOW)
    answer = await front.hook(body=TWILIO.body, headers=headers)
    assert (answer.status, answer.json["code"]) == (400, "NOT_JSON")
    answer = await front.hook(body=TWILIO.body + b"&To=x", headers=headers)
    assert (answer.status, answer.json["code"]) == (401, "SIGNATURE_MISMATCH")
