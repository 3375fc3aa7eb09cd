"""Who is believed without asking is data, and applies only where just one side is of the kind it prefers."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError

from services.conflicts.conflict import Choice, Claim, Collision
from services.conflicts.policies import PolicyError, decide, read_policies
from services.conflicts.wiring import load_policies
from wedsync.model.changes import Source
from wedsync.model.ids import new_id
from wedsync.model.items import CATALOGUE, LIFE, ItemKind

_ENTRY: dict[str, Any] = {
    "name": "till_first",
    "version": 2,
    "kind": "payment",
    "fields": ["status"],
    "prefers": "payment_processor",
    "reason": "The till knows.",
}


def _collision(current: str | None, proposed: str | None, **but: Any) -> Collision:
    def claim(value: str, category: str | None) -> Claim:
        return Claim(value=value, source=Source(organization_id="o", actor="a", category=category))

    values = {
        "wedding_id": new_id(),
        "sequence": 3,
        "item_id": new_id(),
        "item_kind": ItemKind.PAYMENT,
        "path": "status",
        "current": claim("pending", current),
        "proposed": claim("paid", proposed),
        "committed_at": datetime(2027, 1, 1, tzinfo=UTC),
        "organization_ids": ("o",),
        **but,
    }
    return Collision(**values)


@pytest.mark.parametrize(
    ("current", "proposed", "choice"),
    [
        ("payment_processor", "crm", Choice.CURRENT),
        ("crm", "payment_processor", Choice.PROPOSED),
        (None, "payment_processor", Choice.PROPOSED),
        ("payment_processor", "payment_processor", None),
        ("crm", "calendar", None),
        (None, None, None),
    ],
)
def test_the_preferred_side_wins(current: str | None, proposed: str | None, choice: Choice | None) -> None:
    """One preferred side wins; with two, or none, a person must decide."""
    decision = decide(read_policies({"policies": [_ENTRY]}), _collision(current, proposed))
    assert (decision.choice if decision else None) == choice
    if decision is not None:
        assert decision.value == ("pending" if choice is Choice.CURRENT else "paid")
        assert (decision.policy, decision.policy_version, decision.reason) == (
            "till_first",
            2,
            "The till knows.",
        )
        assert (decision.source, decision.request_id) == (None, None)


@pytest.mark.parametrize("but", [{"path": "memo"}, {"item_kind": ItemKind.TASK, "path": "title"}])
def test_a_policy_is_for_its_fields_only(but: dict[str, Any]) -> None:
    """Another field, or another kind of item, is left to people."""
    assert (
        decide(read_policies({"policies": [_ENTRY]}), _collision("crm", "payment_processor", **but)) is None
    )


def test_the_policies_that_come_with_it_are_about_facts_of_payment() -> None:
    """The first policy covers every fact about money, and whether the payment is there at all."""
    [policy] = load_policies()
    facts = {path for path, spec in CATALOGUE[ItemKind.PAYMENT].items() if spec.fact}
    assert policy.kind is ItemKind.PAYMENT
    assert policy.fields == frozenset(facts | {LIFE})


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([{**_ENTRY, "kind": "party"}], "'party' is no kind of item"),
        ([{**_ENTRY, "fields": ["statue"]}], "no field of a payment: statue"),
        ([_ENTRY, _ENTRY], "named twice: till_first"),
    ],
)
def test_policies_that_make_no_sense_are_refused(entries: list[dict[str, Any]], says: str) -> None:
    """An unknown kind or field, and a name used twice, are found when the service starts."""
    with pytest.raises(PolicyError, match=says):
        read_policies({"policies": entries})


def test_a_file_that_is_no_policies_is_refused(tmp_path: Path) -> None:
    """The schema finds what is missing."""
    path = tmp_path / "policies.yaml"
    path.write_text("policies: [{name: x}]")
    with pytest.raises(ValidationError, match="version"):
        load_policies(path)
