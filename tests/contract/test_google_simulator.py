"""The Google Calendar simulator as Google's own client sees it: events, tokens, channels, faults."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httplib2
import pytest
from aiohttp import web
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from wedsync.clock import SystemClock
from wedsync.model.ids import new_id
from wedsync.testing.google_calendar import CALENDAR, CONTROL, TOKEN, Fault, Sandbox, running

ZONE = "America/New_York"
CEREMONY: dict[str, Any] = {
    "summary": "Ceremony",
    "start": {"dateTime": "2027-06-12T15:00:40-04:00", "timeZone": ZONE},
    "end": {"dateTime": "2027-06-12T16:00:00-04:00", "timeZone": ZONE},
    "attendees": [{"email": "ana@example.com"}],
    "extendedProperties": {"private": {"ours": "1", "theirs": "2"}},
}


@dataclass
class Client:
    """Google's client, which blocks, off the event loop."""

    url: str
    token: str = TOKEN

    async def __call__(self, resource: str, method: str, *, if_match: str = "", **arguments: Any) -> Any:
        """Call a method of the API; `if_match` is the condition."""
        return await asyncio.to_thread(self._call, resource, method, if_match, arguments)

    async def events(self, method: str, **arguments: Any) -> Any:
        """Call a method of the calendar's events."""
        return await self("events", method, calendarId=CALENDAR, **arguments)

    async def refusal(self, resource: str, method: str, **arguments: Any) -> tuple[int, str]:
        """Return status and reason of a call that is refused."""
        with pytest.raises(HttpError) as refused:
            await self(resource, method, **arguments)
        details = refused.value.error_details
        reason = details[0]["reason"] if isinstance(details, list) and details else ""
        return refused.value.resp.status, reason

    def _call(self, resource: str, method: str, if_match: str, arguments: dict[str, Any]) -> Any:
        address = f"{self.url}/"
        with build(
            "calendar",
            "v3",
            static_discovery=True,
            http=httplib2.Http(),
            client_options={"api_endpoint": address},
        ) as service:
            request = getattr(getattr(service, resource)(), method)(**arguments)
            request.headers["Authorization"] = f"Bearer {self.token}"
            if if_match:
                request.headers["If-Match"] = if_match
            return request.execute()


@dataclass
class Listener:
    """Somebody who is told, and answers as prepared."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    told: asyncio.Queue[tuple[dict[str, str], bytes]] = field(default_factory=asyncio.Queue)

    async def take(self, request: web.Request) -> web.Response:
        """Take one notification."""
        self.told.put_nowait((dict(request.headers), await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 204)

    async def next(self) -> tuple[dict[str, str], bytes]:
        """Return the next one."""
        return await asyncio.wait_for(self.told.get(), 10)


@pytest.fixture(name="sandbox")
def _sandbox() -> Sandbox:
    return Sandbox(SystemClock())


@pytest.fixture(name="client")
async def _client(sandbox: Sandbox) -> AsyncIterator[Client]:
    sandbox.channels.retry_seconds = (0.01, 0.01)
    async with running(sandbox) as url:
        yield Client(url)


@pytest.fixture(name="listener")
async def _listener() -> AsyncIterator[Listener]:
    listener, server = Listener(), web.Application()
    server.router.add_post("/hook", listener.take)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield listener
    await runner.cleanup()


async def test_the_client_writes_reads_and_deletes(client: Client) -> None:
    """An event goes through its whole life with the vendor's own client; what is not written stays."""
    made = await client.events("insert", body={**CEREMONY, "id": "abc123"}, sendUpdates="none")
    assert (made["id"], made["status"], made["sequence"]) == ("abc123", "confirmed", 0)
    patch = {"summary": "Vows", "extendedProperties": {"private": {"ours": "3", "theirs": None}}}
    patched = await client.events("patch", eventId="abc123", body=patch)
    assert (patched["summary"], patched["attendees"]) == ("Vows", CEREMONY["attendees"])
    assert patched["extendedProperties"] == {"private": {"ours": "3"}}
    assert patched["etag"] != made["etag"]
    whole = {name: CEREMONY[name] for name in ("start", "end")}
    updated = await client.events("update", eventId="abc123", body=whole)
    assert ("attendees" in updated, "summary" in updated, updated["iCalUID"]) == (
        False,
        False,
        made["iCalUID"],
    )
    await client.events("delete", eventId="abc123")
    assert await client.refusal("events", "delete", calendarId=CALENDAR, eventId="abc123") == (410, "deleted")
    gone = await client.events("get", eventId="abc123")
    assert gone == {"kind": "calendar#event", "etag": gone["etag"], "id": "abc123", "status": "cancelled"}
    assert (await client.events("list"))["items"] == []


async def test_times_lose_their_seconds_and_take_the_calendars_offset(client: Client) -> None:
    """Without a word seconds are dropped, and the offset shown is the calendar's, the zone the event's."""
    made = await client.events("insert", body=CEREMONY)
    assert made["start"] == {"dateTime": "2027-06-12T21:00:00+02:00", "timeZone": ZONE}
    days = {"start": {"date": "2027-06-12"}, "end": {"date": "2027-06-13"}}
    assert (await client.events("insert", body=days))["start"] == {"date": "2027-06-12"}


async def test_an_id_counts_for_ever(client: Client) -> None:
    """An id is taken once it was used, also when its event is deleted, and only base32hex is one."""
    named = {**CEREMONY, "id": "abc123"}
    await client.events("insert", body=named)
    insert: dict[str, Any] = {"resource": "events", "method": "insert", "calendarId": CALENDAR}
    assert await client.refusal(**insert, body=named) == (409, "duplicate")
    await client.events("delete", eventId="abc123")
    assert await client.refusal(**insert, body=named) == (409, "duplicate")
    for wrong in ("wed1234", "abc", "ABCDE", "ab-cd-ef"):
        assert await client.refusal(**insert, body={**named, "id": wrong}) == (400, "invalid")


async def test_conditions_hold_or_refuse(client: Client) -> None:
    """A write under an old etag is refused and changes nothing; under the present one it goes through."""
    made = await client.events("insert", body={**CEREMONY, "id": "abc123"})
    event = {"calendarId": CALENDAR, "eventId": "abc123"}
    await client.events("patch", eventId="abc123", body={"summary": "A"}, if_match=made["etag"])
    for method, body in (("patch", {"body": {"summary": "B"}}), ("delete", {})):
        refused = await client.refusal("events", method, if_match=made["etag"], **event, **body)
        assert refused == (412, "conditionNotMet")
    now = await client.events("get", eventId="abc123")
    assert now["summary"] == "A"
    await client.events("delete", eventId="abc123", if_match=now["etag"])


async def test_the_client_pages_through_short_and_empty_pages(client: Client, sandbox: Sandbox) -> None:
    """Pages may be short or empty and have a next one; only the last page has a sync token."""
    for number in range(5):
        await client.events("insert", body={**CEREMONY, "id": f"event{number}"})
    sandbox.page_sizes = (2, 0, 1)
    pages, query = list[dict[str, Any]](), dict[str, Any]()
    while not pages or "nextPageToken" in pages[-1]:
        pages.append(await client.events("list", **query))
        query = {"pageToken": pages[-1].get("nextPageToken")}
    assert [[event["id"] for event in page["items"]] for page in pages] == [
        ["event0", "event1"],
        [],
        ["event2"],
        ["event3", "event4"],
    ]
    assert ["nextSyncToken" in page for page in pages] == [False, False, False, True]


async def test_a_sync_token_shows_what_moved_since(client: Client) -> None:
    """Changes and deletes since the token are shown once, deletes with hardly more than their id."""
    for number in range(3):
        await client.events("insert", body={**CEREMONY, "id": f"event{number}"})
    token = (await client.events("list"))["nextSyncToken"]
    await client.events("patch", eventId="event1", body={"summary": "Moved"})
    await client.events("delete", eventId="event2")
    moved = await client.events("list", syncToken=token)
    assert [(event["id"], event["status"]) for event in moved["items"]] == [
        ("event1", "confirmed"),
        ("event2", "cancelled"),
    ]
    assert (await client.events("list", syncToken=moved["nextSyncToken"]))["items"] == []


async def test_what_may_not_be_asked_with_a_sync_token_is_refused(client: Client, sandbox: Sandbox) -> None:
    """Filters beside a token, other parameters than before, and a token that is too old are refused."""
    token = (await client.events("list"))["nextSyncToken"]
    listed: dict[str, Any] = {"resource": "events", "method": "list", "calendarId": CALENDAR}
    for wrong in (
        {"q": "x"},
        {"orderBy": "updated"},
        {"timeMin": "2027-01-01T00:00:00Z"},
        {"iCalUID": "x"},
        {"privateExtendedProperty": "a=b"},
        {"showDeleted": False},
        {"maxAttendees": 1},
    ):
        assert await client.refusal(**listed, syncToken=token, **wrong) == (400, "invalid")
    sandbox.forget_tokens()
    assert await client.refusal(**listed, syncToken=token) == (410, "fullSyncRequired")
    assert await client.refusal(**listed, syncToken="garbage") == (400, "invalid")


async def test_series_have_exceptions_and_gaps(client: Client) -> None:
    """A changed or cancelled instance is an event of its own that names its series; it goes with it."""
    rule = {"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=4"], "id": "lesson1"}
    await client.events("insert", body={**CEREMONY, **rule})
    await client.events("patch", eventId="lesson1_20270619T190000Z", body={"summary": "Late"})
    await client.events("delete", eventId="lesson1_20270626T190000Z")
    shown = (await client.events("list"))["items"]
    assert [(e["id"], e["status"], e.get("recurringEventId")) for e in shown] == [
        ("lesson1", "confirmed", None),
        ("lesson1_20270619T190000Z", "confirmed", "lesson1"),
        ("lesson1_20270626T190000Z", "cancelled", "lesson1"),
    ]
    assert shown[2].keys() == {"kind", "etag", "id", "status", "recurringEventId", "originalStartTime"}
    await client.events("delete", eventId="lesson1")
    assert (await client.events("list"))["items"] == []


async def test_a_series_tells_its_instances(client: Client) -> None:
    """By pages, up to a time or the one that was planned for a time; those that differ are as they are."""
    rule = {"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=4"], "id": "lesson1"}
    await client.events("insert", body={**CEREMONY, **rule})
    late = {"dateTime": "2027-06-20T15:00:00-04:00", "timeZone": "America/New_York"}
    await client.events("patch", eventId="lesson1_20270619T190000Z", body={"start": late, "end": late})
    await client.events("delete", eventId="lesson1_20270626T190000Z")
    of = {"eventId": "lesson1", "maxResults": 2}
    first = await client.events("instances", **of)
    last = await client.events("instances", **of, pageToken=first["nextPageToken"])
    assert [event["id"][-16:-8] for event in [*first["items"], *last["items"]]] == [
        "20270612", "20270619", "20270703"
    ]  # fmt: skip
    assert "nextPageToken" not in last
    until = await client.events("instances", eventId="lesson1", timeMax="2027-06-19T00:00:00Z")
    assert len(until["items"]) == 1
    planned = await client.events("instances", eventId="lesson1", originalStart="2027-06-19T19:00:00Z")
    assert [event["start"]["dateTime"][:10] for event in planned["items"]] == ["2027-06-20"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": None},
        {"start": {"dateTime": "2027-06-12T15:00:00"}},
        {"start": {"dateTime": "soon"}},
        {"start": {"date": "2027-06-12"}},
        {"start": {"dateTime": "2027-06-12T15:00:00Z", "timeZone": "Mars/Olympus"}},
        {"end": {"dateTime": "2027-06-12T14:00:00-04:00"}},
        {"status": "maybe"},
        {"summary": 5},
        {"extendedProperties": {"private": {"n": 1}}},
    ],
)
async def test_events_that_make_no_sense_are_refused(client: Client, wrong: dict[str, Any]) -> None:
    """What Google would not keep is not kept here."""
    body = {**CEREMONY, **wrong}
    refused = await client.refusal("events", "insert", calendarId=CALENDAR, body=body)
    assert refused == (400, "invalid")


async def test_who_may_not_is_told_so(client: Client, sandbox: Sandbox) -> None:
    """An expired token, a calendar that is not there and one that may only be read are told apart."""
    sandbox.tokens["old"] = False
    listed: dict[str, Any] = {"resource": "events", "method": "list"}
    assert await Client(client.url, "old").refusal(**listed, calendarId=CALENDAR) == (401, "authError")
    assert await client.refusal(**listed, calendarId="nothing") == (404, "notFound")
    sandbox.add_calendar("theirs").access_role = "reader"
    insert = await client.refusal("events", "insert", calendarId="theirs", body=CEREMONY)
    assert insert == (403, "requiredAccessLevel")
    entry = await client("calendarList", "get", calendarId="theirs")
    assert (entry["accessRole"], entry["timeZone"]) == ("reader", "Europe/Paris")
    assert [c["id"] for c in (await client("calendarList", "list"))["items"]] == [CALENDAR, "theirs"]
    assert (await client("calendars", "get", calendarId="primary"))["id"] == CALENDAR


async def test_a_channel_greets_and_tells(client: Client, listener: Listener) -> None:
    """A new channel first says so; each change is told with an empty body; a stopped one is silent."""
    channel = {"id": new_id(), "type": "web_hook", "address": listener.url, "token": "secret"}
    opened = await client.events("watch", body=channel)
    greeting, body = await listener.next()
    assert (greeting["X-Goog-Resource-State"], greeting["X-Goog-Message-Number"], body) == ("sync", "1", b"")
    await client.events("insert", body=CEREMONY)
    told, body = await listener.next()
    assert body == b""
    assert {name: told[f"X-Goog-{name}"] for name in ("Channel-ID", "Channel-Token", "Resource-ID")} == {
        "Channel-ID": channel["id"],
        "Channel-Token": "secret",
        "Resource-ID": opened["resourceId"],
    }
    assert (told["X-Goog-Resource-State"], int(told["X-Goog-Message-Number"]) > 1) == ("exists", True)
    stop = {"id": channel["id"], "resourceId": opened["resourceId"]}
    wrong = {**stop, "resourceId": "another"}
    assert await client.refusal("channels", "stop", body=wrong) == (404, "notFound")
    await client("channels", "stop", body=stop)
    await client.events("insert", body=CEREMONY)
    assert listener.told.empty()
    assert await client.refusal("channels", "stop", body=stop) == (404, "notFound")


async def test_a_notification_is_tried_again_only_where_the_answer_asks_for_it(
    client: Client, listener: Listener, sandbox: Sandbox
) -> None:
    """After a 503 it comes again, after a 400 it does not."""
    listener.answers = [503, 204, 400]
    await client.events("watch", body={"id": "c1", "type": "web_hook", "address": listener.url})
    await sandbox.channels.settled()
    await client.events("insert", body=CEREMONY)
    await sandbox.channels.settled()
    assert [(state, status) for _, state, status in sandbox.channels.answers] == [
        ("sync", 503),
        ("sync", 204),
        ("exists", 400),
    ]


async def test_channels_end_and_odd_ones_are_refused(
    client: Client, listener: Listener, sandbox: Sandbox
) -> None:
    """A channel lives no longer than asked for and allowed; its id is unique and its address is the web's."""
    now = SystemClock().now().timestamp()
    channel = {"id": "c1", "type": "web_hook", "address": listener.url}
    year = str(int((now + 365 * 86_400) * 1000))
    opened = await client.events("watch", body={**channel, "expiration": year})
    assert 6.9 * 86_400 < int(opened["expiration"]) / 1000 - now <= 7.1 * 86_400
    watch: dict[str, Any] = {"resource": "events", "method": "watch", "calendarId": CALENDAR}
    assert await client.refusal(**watch, body=channel) == (400, "channelIdNotUnique")
    for wrong in ({"id": "x" * 65}, {"type": "mail"}, {"expiration": "1"}, {"token": "x" * 257}):
        assert await client.refusal(**watch, body={**channel, "id": "c2", **wrong}) == (400, "invalid")
    sandbox.channels.allow_http = False
    refused = await client.refusal(**watch, body={**channel, "id": "c3"})
    assert refused == (400, "push.webhookUrlNotHttps")
    sandbox.channels.watches["c1"].ends_at = now - 1
    await client.events("insert", body=CEREMONY)
    await sandbox.channels.settled()
    assert [state for _, state, _ in sandbox.channels.answers] == ["sync"]


async def test_faults_are_shown_as_scripted(client: Client, sandbox: Sandbox) -> None:
    """A fault replaces the answer so many times, before or after the call is carried out."""
    sandbox.traffic.add({"method": "events.list", "status": 403, "reason": "rateLimitExceeded", "times": 1})
    listed = await client.refusal("events", "list", calendarId=CALENDAR)
    assert listed == (403, "rateLimitExceeded")
    assert (await client.events("list"))["items"] == []
    sandbox.traffic.faults.append(Fault(method="events.insert", status=500, apply=True))
    insert = await client.refusal("events", "insert", calendarId=CALENDAR, body=CEREMONY)
    assert insert == (500, "backendError")
    assert len((await client.events("list"))["items"]) == 1
    assert sandbox.traffic.counts["events.list"] == 3


async def test_it_is_steered_over_http(client: Client, sandbox: Sandbox) -> None:
    """Faults, forgotten tokens, expired credentials and counts are there for other programs too."""
    control = client.url.removesuffix("/calendar/v3") + CONTROL
    async with aiohttp.ClientSession() as session:

        async def steer(verb: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
            async with session.request(verb, f"{control}{path}", json=body) as answer:
                return answer.status, await answer.json()

        assert (await steer("POST", "/faults", {"status": 503}))[0] == 200
        assert (await client.refusal("calendarList", "list"))[0] == 503
        assert (await steer("POST", "/faults", {"sort": 1}))[0] == 400
        assert (await steer("POST", "/forget-tokens"))[0] == 200
        assert sandbox.epoch == 2
        assert (await steer("GET", "/calls"))[1]["calls"] == {"calendarList.list": 1}
        assert (await steer("DELETE", "/calls"))[0] == 200
        assert (await steer("POST", "/expire", {"token": "nobody's"}))[0] == 404
        assert (await steer("POST", "/expire", {"token": TOKEN}))[0] == 200
    assert (await client.refusal("calendarList", "list"))[0] == 401


async def test_as_a_program_it_remembers_its_calendars(tmp_path: Path) -> None:
    """Run as a process it serves until it is told to stop, and knows its events after a restart."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}/calendar/v3")
    argv = ["-m", "wedsync.testing.google_calendar", "--port", str(port), "--data", str(tmp_path / "g.json")]

    async def served(work: Callable[[], Any]) -> Any:
        process = await asyncio.create_subprocess_exec(sys.executable, *argv)
        try:
            async with asyncio.timeout(20):
                while True:
                    try:
                        return await work()
                    except OSError:
                        await asyncio.sleep(0.05)
        finally:
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0

    await served(lambda: client.events("insert", body={**CEREMONY, "id": "abc123"}))
    kept = await served(lambda: client.events("get", eventId="abc123"))
    assert kept["summary"] == "Ceremony"
