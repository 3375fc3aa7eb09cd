"""A payment intent as a payment, in both shapes Stripe shows its charge in."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from services.gateway.vendors.manifest import load_manifest
from services.gateway.vendors.port import Account, OutOfScope, VendorGarbage
from services.gateway.vendors.stripe.payments import Context, is_intent_id, record
from wedsync.model.items import CATALOGUE, ItemKind

MANIFEST = load_manifest(Path(__file__).parents[4] / "services/gateway/vendors/stripe")
ITEM = "0190b2a4-6c1e-7b1a-9d3f-5a1c2b3d4e5f"
# 2027-02-01T06:30:00Z: still January in Los Angeles.
PAID_AT = 1801463400
CHARGE: Mapping[str, Any] = {
    "id": "ch_1",
    "object": "charge",
    "amount": 250000,
    "amount_refunded": 0,
    "created": PAID_AT,
    "refunded": False,
    "payment_method_details": {"type": "us_bank_account"},
}


def context(zone: str = "UTC") -> Context:
    """The context of the couple's payments."""
    return Context(
        customer_id="cus_Q1",
        fields=MANIFEST.kinds[ItemKind.PAYMENT].fields,
        conversion=MANIFEST.conversion(Account(integration_id="i1", base_url=""), {"time_zone": zone}),
        item_key="wedsync_item",
        memo_key="wedsync_memo",
    )


def intent(**changes: Any) -> dict[str, Any]:
    """A payment that was made, as today's API shows it."""
    made = {
        "id": "pi_3QwTk",
        "object": "payment_intent",
        "amount": 250000,
        "amount_received": 250000,
        "currency": "gbp",
        "customer": "cus_Q1",
        "status": "succeeded",
        "metadata": {},
        "created": PAID_AT - 86400 * 30,
        "latest_charge": dict(CHARGE),
    }
    return {**made, **changes}


def fields(**changes: Any) -> Mapping[str, Any]:
    """The fields of such a payment."""
    return record(intent(**changes), context()).fields


def test_a_payment_shows_what_happened_to_the_money() -> None:
    """Every field the manifest maps is there, and only those."""
    seen = record(intent(metadata={"wedsync_item": ITEM, "wedsync_memo": " Deposit \n"}), context())
    assert seen.fields == {
        "amount": "250000 GBP",
        "status": "paid",
        "paid_on": "2027-02-01",
        "method": "us_bank_account",
        "memo": "Deposit",
        "reference": "pi_3QwTk",
        "refunded": None,
    }
    assert set(seen.fields) == set(MANIFEST.kinds[ItemKind.PAYMENT].fields)
    assert (seen.record_id, seen.kind, seen.marker, seen.writable) == (
        "pi_3QwTk",
        ItemKind.PAYMENT,
        ITEM,
        True,
    )


@pytest.mark.parametrize(("zone", "day"), [("UTC", "2027-02-01"), ("America/Los_Angeles", "2027-01-31")])
def test_the_day_of_a_payment_is_the_weddings(zone: str, day: str) -> None:
    """The same moment is another day elsewhere."""
    assert record(intent(), context(zone)).fields["paid_on"] == day


@pytest.mark.parametrize(
    "shape",
    [
        {"latest_charge": dict(CHARGE)},
        {"latest_charge": "ch_1", "charges": {"data": [{"id": "ch_0", "created": 1}, dict(CHARGE)]}},
        {"latest_charge": None, "charges": {"data": [dict(CHARGE), {"id": "ch_0", "created": 1}]}},
    ],
    ids=["today", "before 2022-11-15", "charges only"],
)
def test_both_shapes_of_the_api_say_the_same(shape: dict[str, Any]) -> None:
    """Whether the charge is the latest or the first of a list, the payment reads the same."""
    assert fields(**shape) == fields()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "requires_payment_method"}, "planned"),
        ({"status": "requires_payment_method", "last_payment_error": {"code": "card_declined"}}, "failed"),
        ({"status": "requires_confirmation"}, "planned"),
        ({"status": "requires_action"}, "pending"),
        ({"status": "requires_capture"}, "pending"),
        ({"status": "processing"}, "pending"),
        ({"status": "succeeded"}, "paid"),
        ({"status": "canceled"}, "failed"),
        ({"status": "succeeded", "latest_charge": {**CHARGE, "refunded": True}}, "refunded"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(str(v)[:40] for v in value.values()),
)
def test_each_status_of_stripes_is_one_of_ours(changes: dict[str, Any], status: str) -> None:
    """What is paid has a day and a method; what is not has neither."""
    seen = fields(**changes)
    paid = status in {"paid", "refunded"}
    assert seen["status"] == status
    assert (seen["paid_on"] is not None, seen["method"] is not None) == (paid, paid)


def test_a_payment_rises_and_never_goes_back() -> None:
    """An answer from before is told from news by the rank of its status."""
    rule = MANIFEST.kinds[ItemKind.PAYMENT].fields["status"]
    steps = ["planned", "pending", "paid", "refunded"]
    for before, after in pairwise(steps):
        assert rule.goes_back(after, before)
        assert not rule.goes_back(before, after)
    assert not rule.goes_back("failed", "pending")
    assert not rule.goes_back("pending", "failed")
    assert rule.goes_back("paid", "failed")
    assert {name for step in rule.rising for name in step} == set(
        CATALOGUE[ItemKind.PAYMENT]["status"].values
    )


def test_a_part_that_is_given_back_leaves_the_payment_paid() -> None:
    """The part is told as such; only when all is back it is refunded."""
    part = fields(latest_charge={**CHARGE, "amount_refunded": 500})
    assert (part["status"], part["refunded"], part["amount"]) == ("paid", "500 GBP", "250000 GBP")
    whole = fields(latest_charge={**CHARGE, "amount_refunded": 250000, "refunded": True})
    assert (whole["status"], whole["refunded"]) == ("refunded", "250000 GBP")
    icelandic = fields(currency="isk", latest_charge={**CHARGE, "amount_refunded": 500})
    assert (icelandic["amount"], icelandic["refunded"]) == ("2500 ISK", "5 ISK")


def test_the_amount_is_what_was_received() -> None:
    """Of a sum that was taken only in part, the part counts; until then, what was asked for."""
    assert fields(amount_received=200000)["amount"] == "200000 GBP"
    assert fields(status="processing", amount_received=0)["amount"] == "250000 GBP"


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({"latest_charge": {**CHARGE, "payment_method_details": None}}, None),
        (
            {
                "latest_charge": {**CHARGE, "payment_method_details": None},
                "payment_method": {"type": "card"},
            },
            "card",
        ),
        ({"latest_charge": {**CHARGE, "payment_method_details": None}, "payment_method": "pm_1"}, None),
        ({"payment_method": {"type": "card"}}, "us_bank_account"),
    ],
    ids=["not told", "told by the payment", "an id only", "both: the charge knows"],
)
def test_the_method_is_the_charges(changes: dict[str, Any], method: str | None) -> None:
    """The charge says by what was paid; the payment is asked where it does not."""
    assert fields(**changes)["method"] == method


@pytest.mark.parametrize("customer", ["cus_Q2", None, {"id": "cus_Q2"}, {}, 5])
def test_another_customers_payment_is_out_of_scope(customer: object) -> None:
    """A payment belongs to a link only while its customer does."""
    with pytest.raises(OutOfScope):
        record(intent(customer=customer), context())


def test_a_customer_may_be_shown_as_a_whole() -> None:
    """An expanded customer is the same customer."""
    assert record(intent(customer={"id": "cus_Q1", "name": "Ana"}), context()).fields == fields()


@pytest.mark.parametrize("mark", ["", "42", None, 7, f"{ITEM} "], ids=str)
def test_metadata_of_others_is_no_mark(mark: object) -> None:
    """Only an id of ours marks a payment as an item of ours."""
    assert record(intent(metadata={"wedsync_item": mark}), context()).marker is None


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": "../customers"},
        {"status": "dreaming"},
        {"status": None},
        {"amount": "12", "amount_received": None},
        {"currency": None},
        {"latest_charge": "ch_1"},
        {"latest_charge": "ch_1", "charges": {"data": "none"}},
        {"latest_charge": None},
        {"latest_charge": {**CHARGE, "created": "today"}},
        {"latest_charge": {**CHARGE, "created": 10**18}},
        {"latest_charge": {**CHARGE, "amount_refunded": "all"}},
        {"latest_charge": {**CHARGE, "payment_method_details": {"type": 5}}},
        {"metadata": "none"},
        {"metadata": {"wedsync_memo": 5}},
    ],
    ids=str,
)
def test_a_payment_that_makes_no_sense_is_garbage(changes: dict[str, Any]) -> None:
    """Nothing is guessed about money."""
    with pytest.raises(VendorGarbage):
        record(intent(**changes), context())


def test_a_charge_without_a_time_has_no_day() -> None:
    """What Stripe does not say is empty."""
    assert fields(latest_charge={"id": "ch_1"})["paid_on"] is None


def test_the_version_changes_with_what_is_shown_only() -> None:
    """Fresh ids of things within a payment are no change; its metadata and its status are."""
    version = record(intent(), context()).version
    same = intent(client_secret="new", latest_charge={**CHARGE, "receipt_url": "new"})
    assert record(same, context()).version == version
    for changes in ({"metadata": {"a": "b"}}, {"amount_received": 1}, {"status": "processing"}):
        assert record(intent(**changes), context()).version != version


def test_only_plain_ids_are_ids() -> None:
    """What goes into an address is looked at first."""
    assert is_intent_id("pi_3QwTkL2eZv")
    assert not any(is_intent_id(i) for i in ("", "pi_", "ch_1", "pi_1/confirm", "pi_1?x", "pi_1\n", None, 1))
