"""A change that makes no sense is refused, every problem named by its exact field."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import field_mask_pb2
from google.type import date_pb2

from wedsync.api.common.v1 import item_pb2, source_pb2, value_pb2
from wedsync.api.sync.v1 import change_pb2
from wedsync.convert import change_from_message
from wedsync.errors import FieldViolation
from wedsync.model.changes import Change, ChangeKind, Source
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind

PROVEN = Source(organization_id="studio", actor="ada")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def event(**fields: Any) -> item_pb2.ItemContent:
    """Return a timeline event's content."""
    return item_pb2.ItemContent(timeline_event=item_pb2.TimelineEvent(**fields))


def payment(**fields: Any) -> item_pb2.ItemContent:
    """Return a payment's content."""
    return item_pb2.ItemContent(payment=item_pb2.Payment(**fields))


def a_change(*mask: str, **but: Any) -> change_pb2.Change:
    """Return an update of an event's title, of which only what is said differs."""
    fields: dict[str, Any] = {
        "change_id": new_id(),
        "item_id": new_id(),
        "kind": change_pb2.CHANGE_KIND_UPDATE,
        "content": event(title="First dance"),
        "update_mask": field_mask_pb2.FieldMask(paths=mask or ("title",)),
    }
    return change_pb2.Change(**{**fields, **but})


def read(message: change_pb2.Change) -> tuple[Change | None, list[FieldViolation]]:
    """Return the change and what is wrong with it."""
    problems: list[FieldViolation] = []
    change = change_from_message(message, at="changes[2]", source=PROVEN, trace_parent="", problems=problems)
    return change, problems


def read_well(message: change_pb2.Change) -> Change:
    """Return a change nothing is wrong with."""
    change, problems = read(message)
    assert problems == []
    assert change is not None
    return change


_BAD: list[tuple[str, change_pb2.Change, str]] = [
    (
        "a value seen of no field",
        a_change(base_values={"begins_at": value_pb2.FieldValue(text="x")}),
        "base_values[begins_at]",
    ),
    (
        "a seen value of another type",
        a_change(base_values={"title": value_pb2.FieldValue(flag=True)}),
        "base_values[title]",
    ),
    (
        "too many seen values",
        a_change(base_values={f"f{i}": value_pb2.FieldValue() for i in range(65)}),
        "base_values",
    ),
    ("no change id", a_change(change_id=""), "change_id"),
    ("an upper-case id", a_change(change_id=new_id().upper()), "change_id"),
    ("an item id that is none", a_change(item_id="first-dance"), "item_id"),
    ("no kind", a_change(kind=0), "kind"),
    ("an unknown kind", a_change(kind=99), "kind"),
    ("no content", a_change(content=None), "content"),
    ("an empty content", a_change(content=item_pb2.ItemContent()), "content"),
    ("an update without mask", a_change(update_mask=None, content=event(title="x")), "update_mask.paths"),
    ("a mask of no field", a_change("title", "begins_at"), "update_mask.paths"),
    ("a set field outside the mask", a_change(content=event(title="a", notes="b")), "update_mask.paths"),
    ("an oversize mask", a_change(*[f"f{i}" for i in range(65)]), "update_mask.paths"),
    ("a required field cleared", a_change(content=event()), "content.timeline_event.title"),
    ("two lines as a title", a_change(content=event(title="a\nb")), "content.timeline_event.title"),
    ("a control character", a_change(content=event(title="a\x00")), "content.timeline_event.title"),
    ("a long title", a_change(content=event(title="a" * 2001)), "content.timeline_event.title"),
    ("an unknown choice", a_change("status", content=event(status="maybe")), "content.timeline_event.status"),
    (
        "a moment without zone",
        a_change("starts_at", content=event(starts_at={"local_time": "2027-06-12T15:00:00"})),
        "content.timeline_event.starts_at",
    ),
    (
        "a zone that is none",
        a_change(
            "starts_at",
            content=event(starts_at={"local_time": "2027-06-12T15:00:00", "time_zone": "Mars/Olympus"}),
        ),
        "content.timeline_event.starts_at",
    ),
    (
        "a moment off the clock",
        a_change(
            "ends_at",
            content=event(ends_at={"local_time": "2027-06-12T25:00:00", "time_zone": "Europe/Paris"}),
        ),
        "content.timeline_event.ends_at",
    ),
    (
        "a moment the clocks skip",
        a_change(
            "starts_at",
            content=event(starts_at={"local_time": "2027-03-14T02:30:00", "time_zone": "America/New_York"}),
        ),
        "content.timeline_event.starts_at",
    ),
    (
        "a caller's own address that is none",
        a_change("email", content=item_pb2.ItemContent(contact=item_pb2.Contact(email="ask Ada"))),
        "content.contact.email",
    ),
    (
        "too many labels",
        a_change("tags", content=event(tags={"tags": [str(i) for i in range(65)]})),
        "content.timeline_event.tags",
    ),
    (
        "money without currency",
        a_change("amount", content=payment(amount=value_pb2.Money(minor_units=5))),
        "content.payment.amount",
    ),
    (
        "a day off the calendar",
        a_change("paid_on", content=payment(paid_on=date_pb2.Date(year=2027, month=2, day=30))),
        "content.payment.paid_on",
    ),
    (
        "a creation without what is required",
        a_change("status", kind=change_pb2.CHANGE_KIND_CREATE, content=payment(status="paid")),
        "content.payment.amount",
    ),
    ("a negative base", a_change(base_revisions={"title": -1}), "base_revisions"),
    ("a negative default base", a_change(default_base_revision=-1), "base_revisions"),
    ("a base of no field", a_change(base_revisions={"titel": 3}), "base_revisions"),
    ("a traceparent that is none", a_change(trace_parent="abc"), "trace_parent"),
]


@pytest.mark.parametrize(("message", "field"), [bad[1:] for bad in _BAD], ids=[bad[0] for bad in _BAD])
def test_what_is_wrong_is_named(message: change_pb2.Change, field: str) -> None:
    """A malformed field is named with the change's place in the request, and no change comes out."""
    change, problems = read(message)
    assert change is None
    assert [problem.field for problem in problems] == [f"changes[2].{field}"]
    assert all(problem.description for problem in problems)


def test_everything_wrong_with_a_change_is_said_at_once() -> None:
    """Problems of several fields are all reported."""
    content = event(title="a\nb", status="maybe")
    _, problems = read(
        a_change("title", "status", change_id="", kind=change_pb2.CHANGE_KIND_UPDATE, content=content)
    )
    assert [problem.field.removeprefix("changes[2].") for problem in problems] == [
        "change_id",
        "content.timeline_event.title",
        "content.timeline_event.status",
    ]


def test_too_many_bases_are_refused_without_repeating_them() -> None:
    """A map of thousands of made-up fields is refused in a few words."""
    _, problems = read(a_change(base_revisions={"f" * 100 + str(i): 1 for i in range(5000)}))
    assert {problem.field for problem in problems} == {"changes[2].base_revisions"}
    assert all(len(problem.description) < 500 for problem in problems)


def test_the_source_is_what_the_caller_proved() -> None:
    """A source inside the message is not believed."""
    change = read_well(a_change(source={"organization_id": "someone", "actor": "else"}))
    assert change.source == PROVEN


def test_a_masked_field_that_is_unset_is_cleared() -> None:
    """A field named by the mask and left out of the content becomes empty; a repeated path counts once."""
    change = read_well(a_change("notes", "tags", "notes", content=event()))
    assert change.values == {"notes": None, "tags": None}


def test_a_creation_without_mask_means_all_set_fields() -> None:
    """A create takes every set field; false and zero are set, unset is not."""
    content = item_pb2.ItemContent(task=item_pb2.Task(title="Call venue", done=False))
    change = read_well(a_change(kind=change_pb2.CHANGE_KIND_CREATE, content=content, update_mask=None))
    assert (change.item_kind, change.values) == (ItemKind.TASK, {"title": "Call venue", "done": False})


@pytest.mark.parametrize("kind", [change_pb2.CHANGE_KIND_DELETE, change_pb2.CHANGE_KIND_RESTORE])
def test_deletes_and_restores_need_no_content(kind: change_pb2.ChangeKind.ValueType) -> None:
    """Values beside a delete or restore are not looked at; bases of fields and of the life are kept."""
    plain = read_well(a_change(kind=kind, content=None, update_mask=None, base_revisions={"deleted_at": 4}))
    assert (plain.values, plain.base) == ({}, {"deleted_at": 4})
    beside = read_well(a_change(kind=kind, content=payment(status="nonsense"), base_revisions={"status": 4}))
    assert (beside.values, beside.item_kind) == ({}, ItemKind.PAYMENT)


def test_an_unset_default_base_means_insisting() -> None:
    """Zero as default base is a base; an unset one is none."""
    assert read_well(a_change()).default_base is None
    seen = read_well(a_change(default_base_revision=0, base_revisions={"title": 3}))
    assert (seen.default_base, seen.base_of("title"), seen.base_of("notes")) == (0, 3, 0)


def test_a_change_without_a_trace_takes_the_calls_own() -> None:
    """The change's own traceparent wins over the call's."""
    problems: list[FieldViolation] = []
    traces = [
        change_from_message(message, at="c", source=PROVEN, trace_parent="calls", problems=problems)
        for message in (a_change(), a_change(trace_parent=TRACE))
    ]
    assert [change.trace_parent for change in traces if change] == ["calls", TRACE]


def test_every_kind_of_change_has_its_number() -> None:
    """Each kind the model knows is read from the contract's number of that name."""
    for kind in ChangeKind:
        number = change_pb2.ChangeKind.Value(f"CHANGE_KIND_{kind.upper()}")
        assert read_well(a_change(kind=number)).kind is kind


def test_what_the_author_had_seen_is_read() -> None:
    """The values before an edit arrive in canonical form: a set is sorted and holds each label once."""
    seen = value_pb2.FieldValue(tags=value_pb2.Tags(tags=["outdoor", "live", "live"]))
    change = read_well(a_change(base_values={"tags": seen, "notes": value_pb2.FieldValue()}))
    assert change.base_values == {"tags": ("live", "outdoor"), "notes": None}


def test_what_a_vendors_people_wrote_as_an_address_is_kept() -> None:
    """A change that names its source speaks for a vendor: nobody there can be asked to mend it."""
    said = a_change(
        "email",
        content=item_pb2.ItemContent(contact=item_pb2.Contact(email="ask Ada")),
        source=source_pb2.Source(organization_id="studio", link_id=new_id()),
    )
    assert read_well(said).values == {"email": "ask Ada"}
