"""Requests to the conflicts service: what is wrong is named by its field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import timestamp_pb2
from google.type import date_pb2

from services.conflicts import rpc_requests as requests
from services.conflicts.conflict import State
from wedsync.api.common.v1 import item_pb2, source_pb2, value_pb2
from wedsync.api.conflicts.v1 import service_pb2
from wedsync.errors import InvalidRequest
from wedsync.model.ids import new_id

_SOURCE = source_pb2.Source(organization_id="studio", actor="ada")


def a_claim(**value: Any) -> service_pb2.Claim:
    """Return a claim to a value."""
    return service_pb2.Claim(value=value_pb2.FieldValue(**value), source=_SOURCE)


def a_collision(**but: Any) -> service_pb2.Collision:
    """Return a collision of which only what is said differs."""
    fields: dict[str, Any] = {
        "wedding_id": new_id(),
        "sequence": 1,
        "item_id": new_id(),
        "item_kind": item_pb2.ITEM_KIND_BOOKING,
        "path": "title",
        "current": a_claim(text="one"),
        "proposed": a_claim(text="other"),
        "commit_time": timestamp_pb2.Timestamp(seconds=1_800_000_000),
        "organization_ids": ["studio"],
    }
    return service_pb2.Collision(**{**fields, **but})


def refused(question: Callable[[], object]) -> list[str]:
    """Return the fields a request was refused for."""
    with pytest.raises(InvalidRequest) as error:
        question()
    return [violation.field for violation in error.value.violations]


def violations(*collisions: service_pb2.Collision) -> list[str]:
    """Return the fields a batch of collisions was refused for."""
    return refused(lambda: requests.told(service_pb2.AdjudicateRequest(collisions=collisions)))


@pytest.mark.parametrize(
    ("but", "field"),
    [
        ({"wedding_id": "w1"}, "wedding_id"),
        ({"item_id": ""}, "item_id"),
        ({"sequence": 0}, "sequence"),
        ({"item_kind": 0}, "item_kind"),
        ({"item_kind": 99}, "item_kind"),
        ({"path": "starts_at"}, "path"),
        ({"organization_ids": []}, "organization_ids"),
        ({"organization_ids": [""]}, "organization_ids"),
        ({"organization_ids": ["a,b"]}, "organization_ids"),
        ({"organization_ids": ["a\x00"]}, "organization_ids"),
        ({"organization_ids": [str(i) for i in range(101)]}, "organization_ids"),
        ({"commit_time": None}, "commit_time"),
        ({"commit_time": timestamp_pb2.Timestamp(seconds=1 << 50)}, "commit_time"),
        ({"current": None}, "current.source"),
        ({"proposed": a_claim(integer=3)}, "proposed.value"),
        ({"path": "date", "current": a_claim(text="2027-13-01")}, "current.value"),
        (
            {"path": "deleted_at", "current": a_claim(text="yes"), "proposed": a_claim(flag=True)},
            "current.value",
        ),
    ],
)
def test_what_is_wrong_with_a_collision_is_named(but: dict[str, Any], field: str) -> None:
    """Each malformed field of a collision is named with its place in the batch."""
    if but.get("path") == "date":
        but = {**but, "proposed": a_claim(date=date_pb2.Date(year=2027, month=6, day=12))}
    assert violations(a_collision(), a_collision(**but)) == [f"collisions[1].{field}"]


def test_everything_wrong_is_said_at_once() -> None:
    """A caller learns of all malformed fields of all collisions in one answer."""
    found = violations(a_collision(sequence=0, item_kind=0), a_collision(wedding_id="w"))
    assert found == ["collisions[0].sequence", "collisions[0].item_kind", "collisions[1].wedding_id"]


def test_a_batch_has_one_to_five_hundred_collisions() -> None:
    """An empty and an oversize batch are refused as a whole."""
    assert violations() == ["collisions"]
    assert violations(*[a_collision()] * 501) == ["collisions"]


def test_a_good_collision_is_read_whole() -> None:
    """Values, sources and members arrive as they were sent."""
    message = a_collision(trace_parent="00-1-2-01", organization_ids=["studio", "florist"])
    ([collision], _) = requests.told(service_pb2.AdjudicateRequest(collisions=[message]))
    assert (collision.current.value, collision.proposed.value) == ("one", "other")
    assert collision.current.source.actor == "ada"
    assert collision.organization_ids == ("studio", "florist")
    assert collision.trace_parent == "00-1-2-01"


def test_states_are_filters() -> None:
    """An unset state means any; one that does not exist is refused."""
    assert requests.state_from(service_pb2.CONFLICT_STATE_UNSPECIFIED) is None
    assert requests.state_from(service_pb2.CONFLICT_STATE_OPEN) is State.OPEN
    assert refused(lambda: requests.state_from(77)) == ["state"]  # type: ignore[arg-type]


def test_tokens_are_checked() -> None:
    """A bad token is named; none means the first page."""
    assert refused(lambda: requests.page_start("x")) == ["page_token"]
    assert requests.page_start("") is None
