"""The people at the vendors, against the simulator of Tave and a real CalDAV server in this process."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from radicale import Application, config

from wedsync.cli.demo.ical import text_of, with_text
from wedsync.cli.demo.vendors import Couple, Photographer
from wedsync.cli.http import Answer, send
from wedsync.clock import SystemClock
from wedsync.errors import FailedPrecondition, StaleRevision
from wedsync.testing.tave import BASE, SANDBOX_KEY, Sandbox, StudioSettings, TaveStudio, running

EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\n"
    "BEGIN:VTIMEZONE\r\nTZID:Europe/Paris\r\nBEGIN:STANDARD\r\nDTSTART:19701025T030000\r\n"
    "TZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
    "BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20270101T000000Z\r\n"
    "DTSTART;TZID=Europe/Paris:20270612T150000\r\nSUMMARY:First\r\n  dance\\, slow\\nly\r\n"
    "END:VEVENT\r\nEND:VCALENDAR\r\n"
)


def radicale_send(data: Path) -> Any:
    """Return a sender that hands requests to a CalDAV server in this process."""
    settings = config.load()
    storage = {"filesystem_folder": str(data), "_filesystem_fsync": "False"}
    settings.update({"auth": {"type": "none"}, "storage": storage}, "test", privileged=True)
    application = Application(settings)

    async def ask(
        method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        return _call(application, method, urlsplit(url).path, headers or {}, body or b"")

    return ask


def _call(application: Any, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    said: dict[str, Any] = {}

    def start_response(status: str, found: Iterable[tuple[str, str]]) -> None:
        said.update(status=int(status[:3]), headers={k.lower(): v for k, v in found})

    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    environ |= {"REQUEST_METHOD": method, "SERVER_PROTOCOL": "HTTP/1.1", "PATH_INFO": path}
    environ |= {"CONTENT_LENGTH": str(len(body))}
    environ |= {"CONTENT_TYPE": headers.get("Content-Type", ""), "wsgi.input": io.BytesIO(body)}  # type: ignore[dict-item]
    environ |= {"wsgi.errors": io.StringIO()}  # type: ignore[dict-item]
    answer = b"".join(application(environ, start_response))
    return Answer(status=said["status"], headers=said["headers"], body=answer)


async def test_photographer() -> None:
    """In Tave a job is opened and events are added, listed and changed without losing their other fields."""
    sandbox = Sandbox(TaveStudio(SystemClock(), StudioSettings()))
    async with running(sandbox) as address:
        photographer = Photographer(address, SANDBOX_KEY, send)
        job = await photographer.open_job("Ada & Grace", "2027-06-12")
        event = await photographer.add_event(job, name="First dance", startDate="2027-06-12")
        await photographer.change_event(event, name="Last dance")
        assert [(e["id"], e["name"], e["startDate"]) for e in await photographer.events(job)] == [
            (event, "Last dance", "2027-06-12")
        ]


async def test_photographer_subscribes() -> None:
    """A rest hook is registered, and removed again."""
    sandbox = Sandbox(TaveStudio(SystemClock(), StudioSettings()))
    async with running(sandbox) as address:
        photographer = Photographer(address, SANDBOX_KEY, send)
        hook = await photographer.subscribe("job.created", "http://127.0.0.1:1/hook")
        assert sandbox.studio.objects["rest-hook"][hook]["event"] == "job.created"
        await photographer.unsubscribe(hook)
        assert not sandbox.studio.objects["rest-hook"]


async def test_photographer_refused() -> None:
    """What Tave refuses is told with the request, the status and its reason."""
    async with running(Sandbox(TaveStudio(SystemClock(), StudioSettings()))) as address:
        photographer = Photographer(address, SANDBOX_KEY, send)
        with pytest.raises(FailedPrecondition, match=r"Tave, POST /job: refused with 400.*eventDate"):
            await photographer.open_job("Ada & Grace", "soon")
    assert address.endswith(BASE)


async def test_couple(tmp_path: Path) -> None:
    """In the calendar an event is found, changed under its ETag, and deleted."""
    ask = radicale_send(tmp_path)
    couple = Couple("http://cal/couple/wedding/", "couple", "secret", ask)
    await couple.make_calendar()
    assert await couple.entries() == []
    login = {"Authorization": "Basic " + b64encode(b"couple:secret").decode()}
    await ask("PUT", "http://cal/couple/wedding/1.ics", login, EVENT.encode())
    (entry,) = await couple.entries()
    assert entry.url == "http://cal/couple/wedding/1.ics"
    await couple.change_entry(entry.url, lambda text: with_text(text, "SUMMARY", "Last dance"))
    (changed,) = await couple.entries()
    assert text_of(changed.text, "SUMMARY") == "Last dance"
    assert changed.etag != entry.etag
    await couple.delete_entry(entry.url)
    assert await couple.entries() == []


async def test_couple_looks_again(tmp_path: Path) -> None:
    """A change that meets somebody else's is made again on what is there now, a few times."""
    ask = radicale_send(tmp_path)
    couple = Couple("http://cal/couple/wedding/", "couple", "secret", ask)
    url, times = "http://cal/couple/wedding/1.ics", []
    await couple.make_calendar()
    login = {"Authorization": "Basic " + b64encode(b"couple:secret").decode()}
    await ask("PUT", url, login, EVENT.encode())

    def racing(text: str, races: int) -> str:
        times.append(text)
        if len(times) <= races:
            other = with_text(text, "LOCATION", f"room {len(times)} of {races}").encode()
            stored = tmp_path / "collection-root" / "couple" / "wedding" / "1.ics"
            stored.write_bytes(other)
        return with_text(text, "SUMMARY", "Last dance")

    await couple.change_entry(url, lambda text: racing(text, 1))
    (entry,) = await couple.entries()
    assert (text_of(entry.text, "SUMMARY"), text_of(entry.text, "LOCATION")) == ("Last dance", "room 1 of 1")
    times.clear()
    with pytest.raises(StaleRevision, match="5 tries"):
        await couple.change_entry(url, lambda text: racing(text, 9))


async def test_couple_refused(tmp_path: Path) -> None:
    """What the calendar refuses is told with the request and the status."""
    couple = Couple("http://cal/couple/none/", "couple", "secret", radicale_send(tmp_path))
    with pytest.raises(FailedPrecondition, match=r"The calendar, DELETE .*: refused with 404"):
        await couple.delete_entry("http://cal/couple/none/1.ics")


def test_ical() -> None:
    """Properties are read and written within the event only: unfolded, escaped, parameters kept."""
    assert text_of(EVENT, "SUMMARY") == "First dance, slow\nly"
    assert text_of(EVENT, "DTSTART") == "20270612T150000"
    assert text_of(EVENT, "LOCATION") is None
    moved = with_text(EVENT, "DTSTART", "20270612T163000")
    assert "DTSTART;TZID=Europe/Paris:20270612T163000\r\n" in moved
    assert "DTSTART:19701025T030000\r\n" in moved
    said = "Rose; garden\\, west,\nnear the pond"
    assert text_of(with_text(EVENT, "LOCATION", said), "LOCATION") == said
