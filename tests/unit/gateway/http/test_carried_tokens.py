"""Webhooks that carry a secret in each item, and addresses that are tried out by a query parameter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from services.gateway.vendors.inbound import Inbound, Place
from tests.support.asgi import Answer
from tests.support.gateway_vendor import manifest
from tests.unit.gateway.http.front import Front
from tests.unit.gateway.http.test_rest import ADA
from wedsync.model.ids import new_id

CARRIED = Inbound(
    content_types=frozenset({"application/json"}),
    events=frozenset({"updated"}),
    event_name=(Place(part="json", name="/event"),),
    delivery_id=(),
    token=Place(part="json", name="/value/*/secret"),
    echoed_parameter="validationToken",
)


class CarryingFront(Front):
    """A front whose vendor sends its secret along."""

    def __init__(self, *secrets: str) -> None:
        super().__init__()
        known = {"desk": replace(self.ports.vendors["desk"], manifest=manifest(inbound=CARRIED))}
        self.ports._vendors = self.accounts._vendors = known
        self.secrets.kept = {str(number): secret for number, secret in enumerate(secrets)}

    async def sent(self, *secrets: Any) -> Answer:
        """Send a batch whose items carry these."""
        return await self.hook({"records": ["r1"], "value": [{"secret": secret} for secret in secrets]})


async def test_a_batch_is_believed_if_every_item_carries_a_secret() -> None:
    """During a rotation either of two secrets counts, and the batch is kept as it came."""
    front = CarryingFront("old", "new")
    assert (await front.sent("new", "old", "new")).status == 202
    [stored] = front.memory.webhooks
    assert orjson.loads(stored.body)["value"][1] == {"secret": "old"}


@pytest.mark.parametrize(
    ("secrets", "code"),
    [
        (["s3cret", "guessed"], "SIGNATURE_MISMATCH"),
        (["s3cret", ""], "SIGNATURE_MISSING"),
        (["s3cret", None], "SIGNATURE_MISSING"),
        (["ü"], "SIGNATURE_MISMATCH"),
        ([["s3cret"]], "SIGNATURE_MISSING"),
        ([], "SIGNATURE_MISSING"),
    ],
    ids=str,
)
async def test_one_item_without_the_secret_refuses_the_batch(secrets: list[Any], code: str) -> None:
    """The answer is 401 with a stable code, and nothing is stored."""
    front = CarryingFront("s3cret")
    answer = await front.sent(*secrets)
    assert (answer.status, answer.json["code"]) == (401, code)
    assert (front.memory.webhooks, front.seen) == ([], [])


async def test_without_a_secret_no_batch_is_believed() -> None:
    """An address that knows no secret fails closed; one can be given, as to a vendor that signs."""
    front = CarryingFront()
    answer = await front.sent("s3cret")
    assert (answer.status, answer.json["code"]) == (401, "SIGNATURE_NOT_CONFIGURED")
    await front.accounts.rotate_webhook_secret(
        ADA,
        request_id=new_id(),
        integration_id=front.link.integration_id,
        secret="s3cret",
        overlap_seconds=0,
    )
    assert (await front.sent("s3cret")).status == 202


async def test_a_trial_of_the_address_gets_its_word_back_as_text() -> None:
    """The decoded word alone, as plain text that no browser takes for a page; nothing is stored."""
    front = CarryingFront("s3cret")
    answer = await front.hook(
        body=b"",
        headers={"content-type": "text/plain; charset=utf-8"},
        query="validationToken=Validation%3a+a%2Bb+50%25",
    )
    assert (answer.status, answer.body) == (200, b"Validation: a+b 50%")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (front.memory.webhooks, len(front.seen)) == ([], 1)


@pytest.mark.parametrize("word", ["%3Cscript%3E", "a%0Ab", "x" * 1025], ids=["markup", "lines", "long"])
async def test_a_word_that_could_do_harm_is_not_said_back(word: str) -> None:
    """What a browser would run, and what no vendor sends, is refused."""
    front = CarryingFront("s3cret")
    answer = await front.hook(body=b"", query=f"validationToken={word}")
    assert (answer.status, answer.json["code"]) == (400, "WRONG_SHAPE")
    assert front.seen == []


async def test_a_trial_of_an_unknown_address_is_refused() -> None:
    """Only an address of ours answers, and only to the parameter that its vendor's manifest names."""
    front = CarryingFront("s3cret")
    path = "/api/integrations/webhooks/desk/another-key"
    assert (await front.hook(body=b"", path=path, query="validationToken=a")).status == 404
    assert (await Front().hook(body=b"", query="validationToken=a")).status == 400
