"""What vendors show and nobody can keep becomes the nearest value once, and never an edit again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.converters import contract
from services.gateway.deliver.plan import NOTHING_TO_DO, Rest, Write, plan_delivery
from services.gateway.observe import moved, observe
from services.gateway.records import Shadow
from services.gateway.vendors.apple_calendar.event import changed_event, read_event
from services.gateway.vendors.manifest import VENDORS, Manifest, load_manifest
from services.gateway.vendors.port import VendorRecord
from services.gateway.vendors.tave import events, records
from services.gateway.vendors.tave.mapping import Context
from wedsync.clock import FakeClock
from wedsync.model.changes import FieldState, ItemState, Source
from wedsync.model.items import FieldValue, ItemKind
from wedsync.model.values import canonical
from wedsync.testing.tave.resources import RESOURCES

EVENT, ZONE = ItemKind.TIMELINE_EVENT, "America/New_York"
STUDIO = Source(organization_id="studio", actor="ada")
CONTEXT = Context(
    job_id="01jz8k3v6w2q9n4r7t5m1xbc0d",
    kinds=load_manifest(VENDORS / "tave").kinds,
    conversion=contract.Context(zone=ZONE),
)
# On this night the clocks go from 02:00 to 03:00.
NATIVE: dict[str, Any] = {
    **{name: rule.default for name, rule in RESOURCES["event"].rules.items()},
    "id": "01jz8k3v6w2q9n4r7t5m1xbc0e",
    "name": "Last \u202edance\x9f",
    "timezoneName": ZONE,
    "startDate": "2027-03-14",
    "startTime": "02:30:00",
    "endDate": "2027-03-14",
    "endTime": "04:00:00",
}
ICS = "\r\n".join(
    (
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "BEGIN:VEVENT",
        "UID:u1",
        "SUMMARY:Last \u202edance\x9f",
        f"DTSTART;TZID={ZONE}:20270314T023000",
        f"DTEND;TZID={ZONE}:20270314T040000",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    )
)


def _at_tave() -> VendorRecord:
    return records.event(NATIVE, CONTEXT)


def _in_the_calendar(text: str = ICS) -> VendorRecord:
    event = read_event(text, ZONE)
    assert event is not None
    return VendorRecord(record_id="/c/u1.ics", kind=EVENT, version="1", fields=event.fields, native=text)


def _item(values: dict[str, FieldValue]) -> ItemState:
    life = FieldState(value=None, revision=1, source=STUDIO)
    states = {path: FieldState(value=value, revision=1, source=STUDIO) for path, value in values.items()}
    return ItemState(item_id="i", kind=EVENT, life=life, fields=states)


def _unseen() -> Shadow:
    return Shadow(link_id="l", item_id="i", kind=EVENT)


BOTH = [
    pytest.param(load_manifest(VENDORS / "tave"), _at_tave, id="tave"),
    pytest.param(load_manifest(VENDORS / "apple_calendar"), _in_the_calendar, id="apple_calendar"),
]


@pytest.mark.parametrize(("manifest", "show"), BOTH)
def test_a_skipped_time_comes_in_once_and_is_never_written_back(
    manifest: Manifest, show: Callable[[], VendorRecord]
) -> None:
    """It becomes the time the clocks go to; seen again it is no news, and the vendor is not written to."""
    rules = manifest.kinds[EVENT]
    first = observe(_unseen(), (), show(), rules.fields)
    assert first.values["starts_at"] == f"2027-03-14T03:30:00[{ZONE}]"
    assert first.values["title"] == "Last dance"
    assert all(canonical(EVENT, path, value) == value for path, value in first.values.items())
    assert not moved(first.shadow, show(), rules.fields)
    assert not observe(first.shadow, (), show(), rules.fields).learned
    rest = plan_delivery(_item(dict(first.values)), first.shadow, rules)
    assert isinstance(rest, Rest)
    assert rest.state == NOTHING_TO_DO


@pytest.mark.parametrize(("manifest", "show"), BOTH)
def test_another_field_is_written_without_touching_the_time(
    manifest: Manifest, show: Callable[[], VendorRecord]
) -> None:
    """An edit of the location is just that, and the vendor's own time is still no edit afterwards."""
    rules = manifest.kinds[EVENT]
    seen = observe(_unseen(), (), show(), rules.fields)
    edited = _item({**seen.values, "location": "Old Barn"})
    write = plan_delivery(edited, seen.shadow, rules)
    assert isinstance(write, Write)
    assert write.plain == {"location": "Old Barn"}


def test_the_times_stay_as_each_vendor_wrote_them() -> None:
    """Writing a location leaves the skipped time in the vendor's record, where it still reads as before."""
    assert events.changes(NATIVE, {"location": "Old Barn"}, CONTEXT).keys() == {"location"}
    text = changed_event(ICS, {"location": "Old Barn"}, ZONE, FakeClock().now())
    assert f"DTSTART;TZID={ZONE}:20270314T023000" in text
    assert _in_the_calendar(text).fields["starts_at"] == _in_the_calendar().fields["starts_at"]


def test_a_record_is_kept_as_if_it_had_always_been_so() -> None:
    """A copy of a record, as a simulator or a re-read makes it, holds the same values."""
    record = _at_tave()
    assert replace(record).fields == record.fields
