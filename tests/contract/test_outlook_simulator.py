"""The Outlook simulator over a socket: the shapes, orders and refusals that Graph's documentation gives."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from wedsync.clock import FakeClock
from wedsync.testing.oauth2 import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from wedsync.testing.outlook import CALENDAR, CONTROL, TOKEN, Fault, Mailbox, Sandbox, running
from wedsync.testing.outlook.refusal import Refused

AT = "/me/calendars/" + quote(CALENDAR, safe="")
WINDOW = "startDateTime=2027-01-01T00:00:00Z&endDateTime=2028-01-01T00:00:00-08:00"
MARK = "String {66f5a359-4659-4830-9070-00047ec6ac6e} Name Mark"
STAYING = {"Prefer": 'IdType="ImmutableId", outlook.body-content-type="text"'}
EVENT: dict[str, Any] = {
    "subject": "Ceremony",
    "start": {"dateTime": "2027-06-12T14:00:00", "timeZone": "GMT Standard Time"},
    "end": {"dateTime": "2027-06-12T15:00:00.0000000", "timeZone": "Europe/London"},
}
WEEKLY: dict[str, Any] = {
    "pattern": {"type": "weekly", "interval": 2, "daysOfWeek": ["saturday", "sunday"]},
    "range": {"type": "endDate", "startDate": "2027-03-13", "endDate": "2027-04-11"},
}


@dataclass
class Client:
    """Asks the API, and shows status and JSON."""

    url: str
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def __call__(
        self, verb: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Make one request; the path is relative, or a link."""
        target = path if path.startswith("http") else f"{self.url}{path}"
        sent = {"Authorization": f"Bearer {TOKEN}", **STAYING, **self.headers, **headers}
        async with self.session.request(verb, target, json=body, headers=sent) as answer:
            self.last = answer
            return answer.status, await answer.json() if answer.content_length else {}

    async def got(self, path: str, **headers: str) -> dict[str, Any]:
        """What a read shows."""
        status, shown = await self("GET", path, **headers)
        assert status == 200, shown
        return shown

    async def made(self, **given: Any) -> dict[str, Any]:
        """An event that was created."""
        status, shown = await self("POST", f"{AT}/events", {**EVENT, **given})
        assert status == 201, shown
        return shown

    async def refused(self, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """Status and code of a refusal."""
        status, shown = await self(verb, path, body, **headers)
        return status, shown["error"]["code"]

    async def round(self, link: str, **headers: str) -> tuple[list[dict[str, Any]], str]:
        """What a round of a delta shows, and the link to the next round."""
        entries = list[dict[str, Any]]()
        while True:
            page = await self.got(link, **headers)
            entries += page["value"]
            if "@odata.deltaLink" in page:
                return entries, page["@odata.deltaLink"]
            link = page["@odata.nextLink"]


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="sandbox")
def _sandbox(clock: FakeClock) -> Sandbox:
    return Sandbox(mailbox=Mailbox(clock), retry_seconds=(0.0, 0.0), answer_seconds=2)


@pytest.fixture(name="ask")
async def _ask(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with running(sandbox) as url, aiohttp.ClientSession() as session:
        yield Client(url, session)


def path(event: dict[str, Any]) -> str:
    """Where an event is."""
    return f"/me/events/{quote(event['id'], safe='')}"


async def test_an_event_has_graphs_shape(ask: Client) -> None:
    """Created with local times in Windows' or IANA's zone, it is shown in UTC, with seven digits."""
    made = await ask.made(transactionId="t-1", body={"contentType": "html", "content": "<p>Rings</p>"})
    assert made["start"] == {"dateTime": "2027-06-12T13:00:00.0000000", "timeZone": "UTC"}
    assert (made["originalStartTimeZone"], made["originalEndTimeZone"]) == ("GMT Standard Time",) * 2
    assert made["@odata.etag"] == f'W/"{made["changeKey"]}"'
    assert (made["type"], made["seriesMasterId"], made["recurrence"]) == ("singleInstance", None, None)
    assert (made["isOrganizer"], made["isCancelled"], made["showAs"]) == (True, False, "busy")
    assert (made["transactionId"], made["body"]) == (
        "t-1",
        {"contentType": "text", "content": "Rings\r\n"},
    )
    assert await ask.got(path(made)) == made
    elsewhere = await ask.got(path(made), Prefer='outlook.timezone="Pacific Standard Time"')
    assert elsewhere["start"] == {
        "dateTime": "2027-06-12T06:00:00.0000000",
        "timeZone": "Pacific Standard Time",
    }
    assert elsewhere["body"]["contentType"] == "html"
    assert "singleValueExtendedProperties" not in elsewhere


async def test_an_update_is_partial_and_conditional(ask: Client) -> None:
    """A change leaves the rest as it was; with an old etag neither it nor a delete is carried out."""
    made = await ask.made()
    status, changed = await ask("PATCH", path(made), {"subject": "Vows"}, **{"If-Match": made["@odata.etag"]})
    assert (status, changed["subject"], changed["start"]) == (200, "Vows", made["start"])
    assert changed["@odata.etag"] != made["@odata.etag"]
    stale = {"If-Match": made["@odata.etag"]}
    for verb, body in (("PATCH", {"subject": "Lost"}), ("DELETE", None)):
        assert await ask.refused(verb, path(made), body, **stale) == (412, "ErrorIrresolvableConflict")
    assert (await ask("DELETE", path(made), **{"If-Match": changed["@odata.etag"]}))[0] == 204
    assert await ask.refused("DELETE", path(made)) == (404, "ErrorItemNotFound")
    assert await ask.refused("GET", path(made)) == (404, "ErrorItemNotFound")


async def test_a_transaction_creates_one_event(ask: Client) -> None:
    """The same create again is answered with the event; the id is spent for every other one, for good."""
    made = await ask.made(transactionId="t-1")
    assert await ask.made(transactionId="t-1") == made
    again = {**EVENT, "transactionId": "t-1"}
    duplicate = (409, "ErrorDuplicateTransactionId")
    assert await ask.refused("POST", f"{AT}/events", {**again, "subject": "Other"}) == duplicate
    await ask("DELETE", path(made))
    assert await ask.refused("POST", f"{AT}/events", again) == duplicate
    assert await ask.refused("PATCH", path(await ask.made()), {"transactionId": "t"}) == (
        400,
        "RequestBodyRead",
    )


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"start": None}, "RequestBodyRead"),
        ({"start": {"dateTime": "2027-06-12", "timeZone": "UTC"}}, "RequestBodyRead"),
        ({"start": {"dateTime": "2027-02-30T10:00:00", "timeZone": "UTC"}}, "RequestBodyRead"),
        (
            {"start": {"dateTime": "2027-06-12T14:00:00", "timeZone": "Moon/Crater"}},
            "TimeZoneNotSupportedException",
        ),
        ({"end": EVENT["start"], "start": EVENT["end"]}, "ErrorCalendarEndDateIsEarlierThanStartDate"),
        ({"isAllDay": True}, "ErrorPropertyValidationFailure"),
        ({"isAllDay": "yes"}, "RequestBodyRead"),
        ({"subject": "x" * 256}, "ErrorPropertyValidationFailure"),
        ({"subject": 5}, "RequestBodyRead"),
        ({"body": {"content": "x"}}, "RequestBodyRead"),
        ({"location": "Barn"}, "RequestBodyRead"),
        ({"showAs": "confirmed"}, "RequestBodyRead"),
        ({"isCancelled": True}, "RequestBodyRead"),
        ({"singleValueExtendedProperties": [{"id": MARK}]}, "RequestBodyRead"),
        (
            {"singleValueExtendedProperties": [{"id": "String Mark", "value": "x"}]},
            "ErrorInvalidRequest",
        ),
        ({"recurrence": {"pattern": {"type": "hourly"}, "range": {}}}, "ErrorRecurrencePattern"),
        (
            {"recurrence": {**WEEKLY, "pattern": {"type": "yearly", "interval": 1}}},
            "ErrorRecurrencePattern",
        ),
    ],
    ids=str,
)
async def test_what_makes_no_sense_is_refused(ask: Client, given: dict[str, Any], code: str) -> None:
    """A create that Graph would refuse is refused, by its code, and nothing is kept."""
    assert await ask.refused("POST", f"{AT}/events", {**EVENT, **given}) == (400, code)
    assert (await ask.got(f"{AT}/events"))["value"] == []


async def test_an_all_day_event_is_whole_days_of_no_zone(ask: Client) -> None:
    """Its midnights are midnights in whatever zone is preferred; both must be of one zone, a day apart."""
    day, after = ({"dateTime": f"2027-06-{n}T00:00:00", "timeZone": "Tokyo Standard Time"} for n in (12, 13))
    made = await ask.made(isAllDay=True, start=day, end=after)
    assert made["start"] == {"dateTime": "2027-06-12T00:00:00.0000000", "timeZone": "UTC"}
    for given in (
        {"end": day},
        {"end": {**after, "timeZone": "UTC"}},
        {"start": {**day, "dateTime": "2027-06-12T01:00:00"}},
        {"isAllDay": False},
    ):
        assert await ask.refused("PATCH", path(made), given) == (400, "ErrorPropertyValidationFailure")


async def test_an_event_is_found_by_an_extended_property(ask: Client) -> None:
    """What a client keeps beside an event is shown when asked for by id, and finds the event."""
    kept = [{"id": MARK, "value": "Ana's"}]
    made = await ask.made(singleValueExtendedProperties=kept)
    await ask.made()
    expand = "$expand=" + quote(f"singleValueExtendedProperties($filter=id eq '{MARK}')")
    assert (await ask.got(f"{path(made)}?{expand}"))["singleValueExtendedProperties"] == kept
    having = f"singleValueExtendedProperties/Any(ep: ep/id eq '{MARK}' and ep/value eq 'Ana''s')"
    found = await ask.got(f"{AT}/events?{expand}&$filter={quote(having)}")
    assert [event["id"] for event in found["value"]] == [made["id"]]
    for query in ("$expand=attachments", "$filter=subject eq 'x'", "$orderby=start"):
        assert (await ask.refused("GET", f"{AT}/events?{query}"))[0] == 400


async def test_a_list_comes_in_pages(ask: Client) -> None:
    """A page has as many events as are preferred, and the link to the next."""
    made = [(await ask.made())["id"] for _ in range(5)]
    size = {"Prefer": f"{STAYING['Prefer']}, odata.maxpagesize=2"}
    link, seen, pages = f"{AT}/events", list[str](), 0
    while link:
        page = await ask.got(link, **size)
        seen, link, pages = (
            [*seen, *(e["id"] for e in page["value"])],
            page.get("@odata.nextLink", ""),
            pages + 1,
        )
    assert (seen, pages) == (made, 3)
    refused = await ask.refused("GET", f"{AT}/events", Prefer="odata.maxpagesize=0")
    assert refused == (400, "ErrorInvalidParameter")


async def test_a_delta_shows_what_moved_in_its_window(ask: Client) -> None:
    """The first round shows everything in the window, the next only what moved, and what is gone."""
    inside, gone = await ask.made(), await ask.made(subject="Rehearsal")
    later = {"dateTime": "2031-06-12T14:00:00", "timeZone": "UTC"}
    await ask.made(start=later, end=later)
    size = {"Prefer": f"{STAYING['Prefer']}, odata.maxpagesize=1"}
    first, link = await ask.round(f"{AT}/calendarView/delta?{WINDOW}", **size)
    assert [event["id"] for event in first] == [inside["id"], gone["id"]]
    assert first[0]["subject"] == "Ceremony"
    assert (await ask.round(link))[0] == []
    await ask("PATCH", path(inside), {"subject": "Vows"})
    await ask("DELETE", path(gone))
    moved, after = await ask.round(link)
    assert [event.get("subject") for event in moved] == ["Vows", None]
    assert moved[1] == {
        "@odata.type": "#microsoft.graph.event",
        "id": gone["id"],
        "@removed": {"reason": "deleted"},
    }
    assert (await ask.round(link))[0] == moved
    await ask("PATCH", path(inside), {"start": later, "end": later})
    (left,) = (await ask.round(after))[0]
    assert (left["id"], "@removed" in left) == (inside["id"], True)


async def test_a_delta_link_is_opaque_and_ends(ask: Client, sandbox: Sandbox) -> None:
    """A link is taken as it is; once forgotten it is 410, and a window has a longest length."""
    _, link = await ask.round(f"{AT}/calendarView/delta?{WINDOW}")
    assert (await ask.refused("GET", f"{link}&{WINDOW}"))[0] == 400
    assert (await ask.refused("GET", f"{AT}/calendarView/delta?{WINDOW}&$select=subject"))[0] == 400
    assert (await ask.refused("GET", f"{AT}/calendarView/delta"))[0] == 400
    too_long = WINDOW.replace("2028", "2038")
    for window in (too_long, WINDOW.replace("2028", "2026"), WINDOW.replace("2027-01", "soon")):
        refused = await ask.refused("GET", f"{AT}/calendarView/delta?{window}")
        assert refused == (400, "ErrorInvalidParameter")
    sandbox.rounds.forget()
    assert await ask.refused("GET", link) == (410, "SyncStateNotFound")


async def test_a_series_has_instances_exceptions_and_cancelled_ones(ask: Client) -> None:
    """Its days keep their local time through summer time; one is changed and one is cancelled by its id."""
    master = await ask.made(
        recurrence=WEEKLY,
        start={"dateTime": "2027-03-13T14:00:00", "timeZone": "GMT Standard Time"},
        end={"dateTime": "2027-03-13T15:00:00", "timeZone": "GMT Standard Time"},
    )
    assert (master["type"], master["recurrence"]) == ("seriesMaster", WEEKLY)
    instances = f"{path(master)}/instances?{WINDOW}"
    days = (await ask.got(instances))["value"]
    starts = [day["start"]["dateTime"][5:16] for day in days]
    assert starts == [
        "03-13T14:00",
        "03-14T14:00",
        "03-27T14:00",
        "03-28T13:00",
        "04-10T13:00",
        "04-11T13:00",
    ]
    assert {(day["type"], day["seriesMasterId"]) for day in days} == {("occurrence", master["id"])}
    first, link = await ask.round(f"{AT}/calendarView/delta?{WINDOW}")
    assert [entry["type"] for entry in first] == ["seriesMaster", *["occurrence"] * 6]
    assert set(first[1]) == {
        "@odata.etag", "@odata.type", "end", "id", "seriesMasterId", "start", "type",
    }  # fmt: skip
    await ask("PATCH", path(days[1]), {"subject": "In the garden"})
    assert (await ask("DELETE", path(days[2])))[0] == 204
    left = (await ask.got(instances))["value"]
    assert [(day["type"], day["subject"]) for day in left[:3]] == [
        ("occurrence", "Ceremony"),
        ("exception", "In the garden"),
        ("occurrence", "Ceremony"),
    ]
    moved, _ = await ask.round(link)
    gone = [entry["id"] for entry in moved if "@removed" in entry]
    assert gone == [days[2]["id"]]
    assert [entry.get("subject") for entry in moved if entry.get("type") == "exception"] == ["In the garden"]
    assert (await ask.refused("GET", path(days[2])))[0] == 404
    assert (await ask.refused("GET", f"{path(await ask.made())}/instances?{WINDOW}"))[0] == 400


@pytest.mark.parametrize(
    ("pattern", "range_", "starts"),
    [
        (
            {"type": "daily", "interval": 2},
            {"type": "numbered", "numberOfOccurrences": 3},
            ["12", "14", "16"],
        ),
        (
            {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 12},
            {"type": "endDate", "endDate": "2027-08-12"},
            ["12", "12", "12"],
        ),
        ({"type": "weekly", "interval": 26}, {"type": "noEnd"}, ["12", "11"]),
    ],
    ids=["daily", "monthly", "for ever"],
)
async def test_patterns_repeat(
    ask: Client, pattern: dict[str, Any], range_: dict[str, Any], starts: list[str]
) -> None:
    """Days, weeks and months repeat by their interval, so often, until then, or for ever."""
    master = await ask.made(recurrence={"pattern": pattern, "range": {**range_, "startDate": "2027-06-12"}})
    days = (await ask.got(f"{path(master)}/instances?{WINDOW}"))["value"]
    assert [day["start"]["dateTime"][8:10] for day in days] == starts


async def test_an_id_changes_with_a_move_unless_one_that_stays_is_preferred(
    ask: Client, sandbox: Sandbox
) -> None:
    """Moved to another calendar an event has a new id, or the same under `IdType="ImmutableId"`."""
    made = await ask.made()
    before = await ask.got(path(made), Prefer="")
    sandbox.move(made["id"], "AAkALgOther=")
    assert (await ask.got(f"{path(made)}/calendar"))["id"] == "AAkALgOther="
    assert await ask.refused("GET", path(before)) == (404, "ErrorItemNotFound")
    after = await ask.got(path(made), Prefer="")
    assert after["id"] not in {before["id"], made["id"]}
    assert (await ask.refused("GET", f"{AT}/events/{quote(made['id'], safe='')}"))[0] == 404
    assert (await ask.got("/me/calendars"))["value"][1]["id"] == "AAkALgOther="


async def test_only_so_much_at_once(ask: Client, sandbox: Sandbox, clock: FakeClock) -> None:
    """A fifth request at the same time is throttled, and so is one too many in ten minutes."""
    sandbox.traffic.faults.append(Fault(path="calendars", delay_ms=1000, times=4))
    busy = [asyncio.create_task(ask("GET", AT)) for _ in range(4)]
    while sandbox.traffic.at_once < 4:  # noqa: ASYNC110 - until all are under way
        await asyncio.sleep(0.01)
    assert await ask.refused("GET", AT) == (429, "ApplicationThrottled")
    assert ask.last.headers["Retry-After"] == "1"
    clock.advance(1)
    assert {status for status, _ in await asyncio.gather(*busy)} == {200}
    sandbox.traffic.max_in_window = 4
    assert await ask.refused("GET", AT) == (429, "ApplicationThrottled")
    assert ask.last.headers["Retry-After"] == "600"
    clock.advance(601)
    await ask.got(AT)


async def test_who_may_not_is_told_so(ask: Client, sandbox: Sandbox) -> None:
    """A token that is none is 401, a write without the right 403, an unknown calendar 404."""
    assert await ask.refused("GET", AT, Authorization="Bearer old") == (401, "InvalidAuthenticationToken")
    assert (await ask.refused("GET", "/me/calendars/none"))[0] == 404
    sandbox.read_only = True
    assert await ask.refused("POST", f"{AT}/events", EVENT) == (403, "ErrorAccessDenied")
    assert (await ask.got(AT))["canEdit"] is False


async def test_faults_answer_instead(ask: Client, sandbox: Sandbox) -> None:
    """A fault shows its status or its garbage, cuts the line before or after, and is then over."""
    sandbox.traffic.add({"method": "GET", "status": 503, "retry_after": 7})
    assert await ask.refused("GET", AT) == (503, "ServiceNotAvailable")
    assert ask.last.headers["Retry-After"] == "7"
    await ask.got(AT)
    for cut, kept in (("before", 0), ("after", 1)):
        sandbox.traffic.add({"method": "POST", "cut": cut})
        with pytest.raises(aiohttp.ClientError):
            await ask.made()
        assert len(sandbox.events()) == kept
    sandbox.traffic.add({"status": 500, "apply": True})
    assert (await ask.refused("POST", f"{AT}/events", EVENT))[0] == 500
    assert len(sandbox.events()) == 2
    unfit: list[Any] = [{"cut": "sideways"}, {"times": -1}, {"status": 99}, {"speed": 3}, []]
    for nonsense in unfit:
        with pytest.raises(Refused):
            sandbox.traffic.add(nonsense)


async def test_a_body_that_is_no_json_is_refused(ask: Client) -> None:
    """Graph wants JSON, and says so."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for data, kind, status in (
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"[]", "application/json", 400),
    ):
        sent = {**headers, "Content-Type": kind}
        async with ask.session.post(f"{ask.url}{AT}/events", data=data, headers=sent) as answer:
            assert answer.status == status


async def test_the_sandbox_is_steered_over_http(ask: Client) -> None:
    """Everything people do can be asked for by a request, and nonsense is refused."""
    ask.url = ask.url.removesuffix("/v1.0") + CONTROL
    _, made = await ask("POST", "/events", EVENT)
    assert (await ask("PATCH", "/events", {"event_id": made["id"], "subject": "Vows"}))[0] == 200
    assert (await ask("POST", "/touch", {"event_id": made["id"], "is_cancelled": True}))[0] == 200
    assert (await ask("POST", "/move", {"event_id": made["id"], "calendar": "AAkALgOther="}))[0] == 200
    (shown,) = (await ask.got("/events"))["events"]
    assert (shown["subject"], shown["isCancelled"]) == ("Vows", True)
    assert (await ask("DELETE", "/events", {"event_id": made["id"]}))[0] == 200
    assert (await ask("DELETE", "/events", {"event_id": made["id"]}))[0] == 404
    assert (await ask("POST", "/move", {"speed": 3}))[0] == 400
    assert (await ask("POST", "/faults", {"status": 500}))[0] == 200
    for path_ in ("/forget", "/lifecycle"):
        assert (await ask("POST", path_, {"event": "missed"} if path_ == "/lifecycle" else None))[0] == 200
    assert (await ask.got("/calls")) == {"calls": {}}
    assert (await ask("DELETE", "/calls"))[0] == 200


async def test_the_program_remembers(tmp_path: Path) -> None:
    """`python -m wedsync.testing.outlook` serves until SIGTERM, and started again it remembers."""
    data = tmp_path / "outlook.json"
    made = await _with_program(data, lambda ask: ask.made(recurrence=WEEKLY, transactionId="t-1"))
    shown = await _with_program(data, lambda ask: ask.got(f"{AT}/events"))
    assert shown["value"] == [made]


async def test_the_program_remembers_what_it_granted(tmp_path: Path) -> None:
    """Each refresh gives a new refresh token beside the one before; both are good after it started again."""
    data, known = tmp_path / "outlook.json", [REFRESH_TOKEN]
    for which in (0, 0, -1):
        answer = await _with_program(data, partial(_refreshed, token=known[which]))
        known.append(answer["refresh_token"])
    assert len(set(known)) == len(known)


async def _refreshed(ask: Client, *, token: str) -> Any:
    client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    form = {"grant_type": "refresh_token", "refresh_token": token, **client}
    address = ask.url.removesuffix("/v1.0") + "/token"
    async with ask.session.post(address, data=form) as answer:
        assert answer.status == 200
        return await answer.json()


async def _with_program(data: Path, call: Any) -> Any:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-m", "wedsync.testing.outlook", "--port", str(port), "--data", str(data)]
    process = await asyncio.create_subprocess_exec(*program)
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            return await _patient(call, Client(f"http://127.0.0.1:{port}/v1.0", session))
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def _patient(call: Any, ask: Client) -> Any:
    """Call until the program listens; the caller limits the time."""
    while True:
        try:
            return await call(ask)
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)
