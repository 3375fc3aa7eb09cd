"""The studio behind the simulator: the rules by which it keeps objects, without a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wedsync.clock import FakeClock
from wedsync.testing.tave import StudioSettings, TaveStudio, derive, storage
from wedsync.testing.tave.quota import Quota
from wedsync.testing.tave.refusal import Refused
from wedsync.testing.tave.traffic import Traffic


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="studio")
def _studio(clock: FakeClock) -> TaveStudio:
    return TaveStudio(clock)


def with_settings(clock: FakeClock, **settings: str) -> TaveStudio:
    """A studio that behaves differently where the vendor does not say."""
    return TaveStudio(clock, StudioSettings(**settings))


def refusal(studio: TaveStudio, collection: str, body: Any) -> dict[str, list[str]]:
    """What is wrong with a body, by field."""
    with pytest.raises(Refused) as refused:
        studio.create(collection, body)
    assert (refused.value.status, refused.value.body["type"]) == (400, "validation-error")
    return dict(refused.value.body["detail"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""),
        ({"nmae": "typo"}, "nmae"),
        ({"id": "x"}, "id"),
        ({"startUtc": "2027-06-12T00:00:00Z"}, "startUtc"),
        ({"allDay": "yes"}, "allDay"),
        ({"channel": None}, "channel"),
        ({"channel": "Letter"}, "channel"),
        ({"name": "x" * 256}, "name"),
        ({"startDate": "12/06/2027"}, "startDate"),
        ({"startDate": "2027-02-30"}, "startDate"),
        ({"startTime": "15:00"}, "startTime"),
        ({"jobId": "01JZ8K3V6W2Q9N4R7T5M1XBC0D"}, "jobId"),
        ({"jobId": "01jz8k3v6w2q9n4r7t5m1xbc0d"}, "jobId"),
        ({"timezoneName": "Moon/Crater"}, "timezoneName"),
        ({"timezoneId": "01jz8k3v6w2q9n4r7t5m1xbc0d"}, "timezoneId"),
        ({"externalMappings": {}}, "externalMappings"),
        ({"externalMappings": [{"id": "x"}]}, "externalMappings"),
        ({"externalMappings": [{"id": "x", "url": "short"}]}, "externalMappings"),
        ({"location": {"address": {"name": "read-only"}}}, "location"),
        ({"location": 3}, "location"),
    ],
)
def test_an_event_that_breaks_the_schema_is_refused(studio: TaveStudio, body: Any, field: str) -> None:
    """Unknown, read-only and wrongly typed fields are each refused by name."""
    assert set(refusal(studio, "event", body)) == {field}


def test_required_fields_and_ranges_are_checked(studio: TaveStudio) -> None:
    """A payment needs a job and an amount in range; a contact needs a kind, a person no name of its own."""
    assert set(refusal(studio, "payment", {})) == {"jobId", "amount"}
    job = studio.create("job", {})["id"]
    assert set(refusal(studio, "payment", {"jobId": job, "amount": -1})) == {"amount"}
    assert set(refusal(studio, "payment", {"jobId": job, "amount": True})) == {"amount"}
    assert set(refusal(studio, "address-book", {"email": "a@example.com"})) == {"kind"}
    assert set(refusal(studio, "address-book", {"kind": "person", "name": "Ana"})) == {"name"}


def test_seconds_are_dropped_and_utc_is_computed(studio: TaveStudio) -> None:
    """A time loses its seconds, its zone's id wins over its name, and UTC follows from both."""
    stockholm = derive.timezone_ids()["Europe/Stockholm"]
    times = {"startDate": "2027-06-12", "startTime": "15:00:59", "endDate": "2027-06-12"}
    event = studio.create("event", {**times, "timezoneName": "UTC", "timezoneId": stockholm})
    assert (event["startTime"], event["timezoneName"]) == ("15:00:00", "Europe/Stockholm")
    assert (event["startUtc"], event["endUtc"]) == ("2027-06-12T13:00:00+00:00", "2027-06-11T22:00:00+00:00")
    assert studio.create("event", {})["timezoneName"] == "America/New_York"


@pytest.mark.parametrize(("policy", "left"), [("clear", None), ("keep", "Ceremony")])
def test_a_put_is_the_whole_object(clock: FakeClock, policy: str, left: str | None) -> None:
    """What a PUT leaves out is cleared, or kept where the studio is set so; served fields always stay."""
    studio = with_settings(clock, missing_fields=policy)
    event = studio.create("event", {"name": "Ceremony", "confirmed": True})
    clock.advance(2.9)
    after = studio.replace("event", event["id"], {"confirmed": False})
    assert (after["name"], after["id"], after["created"]) == (left, event["id"], event["created"])
    assert (event["modified"], after["modified"]) == ("2027-01-01T00:00:00Z", "2027-01-01T00:00:02Z")


def test_read_only_fields_may_be_ignored(clock: FakeClock) -> None:
    """Where the studio is set so, read-only fields in a body are passed over."""
    studio = with_settings(clock, read_only_fields="ignore")
    event = studio.create("event", {"name": "x", "startUtc": "2030-01-01", "id": "mine"})
    assert event["startUtc"] is None
    assert len(event["id"]) == 26


def test_a_payments_amount_is_fixed(studio: TaveStudio) -> None:
    """A PUT must leave the amount out, and it stays."""
    job = studio.create("job", {})["id"]
    payment = studio.create("payment", {"jobId": job, "amount": 500})
    with pytest.raises(Refused):
        studio.replace("payment", payment["id"], {"jobId": job, "amount": 600})
    after = studio.replace("payment", payment["id"], {"jobId": job, "memo": "Deposit"})
    assert (after["amount"], after["memo"], after["status"]) == (500, "Deposit", "posted")


def test_a_locked_event_refuses_writes(studio: TaveStudio) -> None:
    """A read-only event can neither be replaced nor deleted, and stays read-only."""
    event = studio.create("event", {"name": "Shoot"})
    studio.tamper("event", event["id"], {"readOnly": True})
    with pytest.raises(Refused):
        studio.replace("event", event["id"], {"name": "x"})
    with pytest.raises(Refused):
        studio.delete("event", event["id"])


def test_a_delete_removes_or_hides(clock: FakeClock, studio: TaveStudio) -> None:
    """A delete removes the object with what hangs on it, or only hides it where the studio is set so."""
    job = studio.create("job", {})["id"]
    event = studio.create("event", {"jobId": job})["id"]
    studio.delete("job", job)
    with pytest.raises(Refused) as gone:
        studio.get("event", event)
    assert gone.value.status == 404
    hiding = with_settings(clock, delete="hide")
    event = hiding.create("event", {})["id"]
    hiding.delete("event", event)
    assert hiding.get("event", event)["hidden"] is True
    assert hiding.page("event", {})["items"] == []
    assert len(hiding.page("event", {"includeHidden": "true"})["items"]) == 1


def test_a_list_is_paged_sorted_and_filtered(clock: FakeClock, studio: TaveStudio) -> None:
    """The envelope counts pages and items; the newest change comes first where asked."""
    for n in range(25):
        clock.advance(1)
        studio.create("event", {"name": f"Event {n:02}"})
    page = studio.page("event", {"page": "3", "pageSize": "10", "sortBy": "modified desc"})
    assert page["type"] == "event-collection"
    assert page["meta"] == {"currentPage": 3, "totalPages": 3, "totalItems": 25, "rows": 10}
    assert [item["name"] for item in page["items"]] == [f"Event {n:02}" for n in range(4, -1, -1)]
    mapping = {"id": "ours", "url": "https://wedsync.invalid/x"}
    mapped = studio.create("event", {"externalMappings": [mapping]})
    assert studio.page("event", {"externalMappingId": "ours"})["items"] == [mapped]
    assert studio.page("job", {"includeClosed": "true"})["meta"]["totalPages"] == 1


@pytest.mark.parametrize(
    "query",
    [
        {"page": "0"},
        {"pageSize": "9"},
        {"pageSize": "101"},
        {"pageSize": "many"},
        {"sortBy": "colour"},
        {"sortBy": "modified sideways"},
        {"includeHidden": "perhaps"},
        {"modifiedSince": "2027-01-01"},
    ],
)
def test_a_list_refuses_what_it_does_not_offer(studio: TaveStudio, query: dict[str, str]) -> None:
    """Undeclared parameters and values out of range are refused."""
    studio.create("event", {})
    with pytest.raises(Refused):
        studio.page("event", query)


def test_births_are_told_to_hooks_once(studio: TaveStudio) -> None:
    """Creating a job, contact or payment and booking an order fire an event each; an update fires none."""
    job = studio.create("job", {})["id"]
    studio.create("address-book", {"kind": "location", "name": "Barn"})
    studio.create("payment", {"jobId": job, "amount": 1})
    studio.create("event", {"jobId": job})
    studio.replace("job", job, {"name": "Renamed"})
    studio.book_order(job)
    fired = [event for event, _ in studio.take_fired()]
    assert fired == ["job.created", "contact.created", "payment.created", "order.booked"]
    assert studio.take_fired() == []
    assert studio.get("job", job)["stage"] == "booked"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (None, None),
        ({"formatted": None}, None),
        ({"formatted": "1 212 555 0100"}, ("(212) 555-0100", "+12125550100")),
        ({"formatted": "+46 8 765 43 21"}, ("+4687654321", "+4687654321")),
        ({"formatted": "extension 12"}, ("extension 12", None)),
        ({"formatted": "ignored", "e164": "+12125550100"}, ("(212) 555-0100", "+12125550100")),
    ],
)
def test_a_phone_is_rewritten_as_the_vendor_does(written: Any, kept: tuple[str, str | None] | None) -> None:
    """A number that can be parsed is reformatted; one that cannot is kept as written."""
    phone = derive.phone(written)
    assert (phone and (phone["formatted"], phone["e164"])) == kept


def test_a_studio_outlives_its_process(tmp_path: Path, clock: FakeClock) -> None:
    """What was saved is loaded again, lookups included; without a file the studio is fresh."""
    file = tmp_path / "tave.json"
    studio = storage.load(file, clock, StudioSettings())
    event = studio.create("event", {"name": "Ceremony"})
    storage.save(file, studio)
    storage.save(None, studio)
    again = storage.load(file, clock, StudioSettings())
    assert again.get("event", event["id"]) == event
    assert again.objects["job-role"] == studio.objects["job-role"]
    assert [path.name for path in tmp_path.iterdir()] == ["tave.json"]
    again.clear()
    assert again.objects["event"] == {}


def test_time_zones_can_be_searched(studio: TaveStudio) -> None:
    """The approved zones are listed by part of their name."""
    found = studio.timezones({"search": "stockh", "pageSize": "10"})
    assert [zone["name"] for zone in found["items"]] == ["Europe/Stockholm"]


def test_a_quota_opens_again() -> None:
    """So many requests pass in a window, then none until it is over; without a limit all do."""
    quota = Quota(limit=2, window_seconds=10)
    assert [quota.wait(now) for now in (0, 1, 2, 9.5, 10)] == [0, 0, 8, 1, 0]
    assert Quota().wait(0) == 0


def test_faults_are_bounded_and_count_down() -> None:
    """A fault shows as often as told on what it matches; senseless ones and too many are refused."""
    traffic = Traffic()
    traffic.add_fault({"method": "POST", "path": "/event", "times": 2, "status": 500})
    assert traffic.next_fault("GET", "/event") is None
    assert [traffic.next_fault("POST", "/event") is not None for _ in range(3)] == [True, True, False]
    for senseless in ({"status": 99}, {"sttaus": 500}, 3):
        with pytest.raises(Refused):
            traffic.add_fault(senseless)
    for _ in range(100):
        traffic.add_fault({"delay_ms": 1})
    with pytest.raises(Refused):
        traffic.add_fault({"delay_ms": 1})
