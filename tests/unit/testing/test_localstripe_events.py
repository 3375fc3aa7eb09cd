"""The sandbox's Stripe events, as the vendor's own library verifies them, and how its program keeps data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe
from localstripe import resources  # type: ignore[import-untyped]
from localstripe.errors import UserError  # type: ignore[import-untyped]

from wedsync.testing.localstripe.account import LocalStripe, Refused
from wedsync.testing.localstripe.differences import prepare
from wedsync.testing.localstripe.events import event, signed

SECRET = "whsec_unit"
NOW = int(time.time())


def test_an_event_is_believed_by_stripes_own_library() -> None:
    """Body and headers verify, and show the object as it was given, under a fresh id each time."""
    shown = {"id": "ch_1", "object": "charge", "memo": "Añejo\n"}
    first, second = (event("charge.refunded", shown, at=NOW) for _ in range(2))
    body, headers = signed(first, SECRET, at=NOW)
    read = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], SECRET)
    assert (read.type, read.id, read.created) == ("charge.refunded", first["id"], NOW)
    assert read.data.object.to_dict() == shown
    assert first["id"] != second["id"]
    assert event("x", {}, at=0, event_id="evt_1")["id"] == "evt_1"


def test_a_late_event_or_anothers_is_not_believed() -> None:
    """The time of the signature and the secret count."""
    told = event("charge.refunded", {}, at=NOW)
    for secret, at in (("whsec_other", NOW), (SECRET, NOW - 301)):
        body, headers = signed(told, secret, at=at)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body, headers["Stripe-Signature"], SECRET)


async def test_nobody_is_told_without_an_endpoint() -> None:
    """A forgotten set_webhook is said, not passed over."""
    with pytest.raises(Refused, match="set_webhook"):
        await LocalStripe(url="http://127.0.0.1:1/v1").deliver("charge.refunded", {})


@pytest.fixture(name="pristine")
def _pristine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package as it was, after the test."""
    monkeypatch.setattr(resources.Store, "dump_to_disk", resources.Store.dump_to_disk)
    monkeypatch.setattr(resources, "schedule_webhook", lambda _: None)
    had = resources.PaymentIntent.__dict__.get("_api_list_all")
    yield
    resources.store.clear()
    if had is None:
        del resources.PaymentIntent._api_list_all


def ids(**query: Any) -> list[str]:
    """The ids of a page of payments."""
    page = resources.PaymentIntent._api_list_all("/v1/payment_intents", **query)
    return [shown["id"] for shown in page.data]


@pytest.mark.usefixtures("pristine")
def test_data_are_kept_in_the_file_and_nowhere_else(tmp_path: Path) -> None:
    """What was made is there after a restart on the file, and gone after one from scratch."""
    data = tmp_path / "stripe.data"
    prepare(data)
    customer = resources.Customer(name="Ana").id
    made = [resources.PaymentIntent(amount=5, currency="usd", customer=customer).id for _ in range(3)]
    other = resources.PaymentIntent(amount=5, currency="usd").id
    assert ids(customer=customer) == made[::-1]
    assert ids(customer=customer, limit="1", starting_after=made[2]) == [made[1]]
    assert ids()[0] == other
    with pytest.raises(UserError):
        ids(colour="red")
    # As the program does behind every call.
    resources.store.dump_to_disk()
    prepare(data)
    assert ids(customer=customer) == made[::-1]
    assert [path.name for path in tmp_path.iterdir()] == ["stripe.data"]
    prepare(None)
    assert ids() == []
    resources.Customer(name="Bea")
    prepare(data)
    assert ids(customer=customer) == made[::-1]
