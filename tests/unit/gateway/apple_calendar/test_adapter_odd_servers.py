"""The adapter against servers that answer otherwise than Radicale does."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from yarl import URL

from services.gateway.vendor_http import Response, VendorHttp
from services.gateway.vendors.apple_calendar import collection
from services.gateway.vendors.apple_calendar.adapter import CalDavCalendar
from services.gateway.vendors.apple_calendar.discovery import Calendar, discover
from services.gateway.vendors.manifest import VENDORS, load_manifest
from services.gateway.vendors.port import (
    Account,
    CursorLost,
    RecordGone,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorRecord,
    VendorRejected,
    VendorUnavailable,
    VersionMismatch,
)
from wedsync.model.items import ItemKind

_MANIFEST = load_manifest(VENDORS / "apple_calendar")
_BASE = "https://caldav.icloud.com"
_EVENT = ItemKind.TIMELINE_EVENT
_EVENT_LINES = "BEGIN:VEVENT\nUID:{uid}\nSUMMARY:Toast\nDTSTART:20270612T150000Z\nEND:VEVENT\n"
_ICS = f"BEGIN:VCALENDAR\n{_EVENT_LINES}END:VCALENDAR\n"
_VALUES = {"title": "Toast", "starts_at": "2027-06-12T15:00:00[UTC]"}


@dataclass(frozen=True)
class Call:
    """One request as the server saw it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str = field(repr=False, default="")


class Scripted(VendorHttp):
    """Answers from a script instead of the network."""

    def __init__(self, *answers: Response) -> None:
        super().__init__()
        self.answers, self.calls = list(answers), list[Call]()

    async def _exchange(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, limit: float | None
    ) -> Response:
        self.calls.append(Call(method, str(url), headers, (body or b"").decode()))
        return self.answers.pop(0)


def _answer(status: int, body: str = "", **headers: str) -> Response:
    return Response(status=status, headers=headers, body=body.encode())


def _multi(*responses: str, token: str = "") -> Response:
    end = f"<d:sync-token>{token}</d:sync-token>" if token else ""
    namespaces = (
        'xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav" xmlns:s="http://calendarserver.org/ns/"'
    )
    return _answer(207, f"<d:multistatus {namespaces}>{''.join(responses)}{end}</d:multistatus>")


def _props(href: str, *props: str) -> str:
    status = "<d:status>HTTP/1.1 200 OK</d:status>"
    return (
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{''.join(props)}</d:prop>{status}"
        "</d:propstat></d:response>"
    )


def _status(href: str, status: int) -> str:
    return f"<d:response><d:href>{href}</d:href><d:status>HTTP/1.1 {status} X</d:status></d:response>"


def _etag(href: str, etag: str) -> str:
    return _props(href, f"<d:getetag>{etag}</d:getetag>")


def _body(href: str, etag: str) -> str:
    data = _ICS.format(uid=href)
    return _props(href, f"<d:getetag>{etag}</d:getetag>", f"<c:calendar-data>{data}</c:calendar-data>")


def _principal(href: str) -> str:
    return f"<d:current-user-principal><d:href>{href}</d:href></d:current-user-principal>"


def _home(href: str) -> str:
    return f"<c:calendar-home-set><d:href>{href}</d:href></c:calendar-home-set>"


def _holds(component: str) -> str:
    name = "supported-calendar-component-set"
    return f'<c:{name}><c:comp name="{component}"/></c:{name}>'


_IS_CALENDAR = "<d:resourcetype><d:collection/><c:calendar/></d:resourcetype>"
_SYNCS = "<d:supported-report-set><d:sync-collection/></d:supported-report-set>"
_CALENDAR = _multi(_props("/c/", _IS_CALENDAR, _SYNCS))
_PLAIN_CALENDAR = _multi(_props("/c/", _IS_CALENDAR))


def _account(base_url: str = _BASE, **settings: str) -> Account:
    credentials = {"username": "ann@example.com", "password": "pass"}
    return Account(integration_id="i", base_url=base_url, credentials=credentials, settings=settings)


def _port(http: VendorHttp, url: str = "/c", account: Account | None = None) -> CalDavCalendar:
    scope = {"calendar_url": url, "time_zone": "America/New_York"}
    return CalDavCalendar(http, _MANIFEST, account or _account(), scope)


def _record(native: str = _ICS.format(uid="u")) -> VendorRecord:
    return VendorRecord(record_id="/c/a.ics", kind=_EVENT, version='"e1"', fields={}, native=native)


async def test_discovery_follows_icloud_to_the_accounts_host() -> None:
    """From the well-known address over a redirect and two properties to the calendars of events."""
    p67 = "https://p67-caldav.icloud.com"
    http = Scripted(
        _answer(301, location="/"),
        _multi(_props("/", _principal("/1/principal/"))),
        _multi(_props("/1/principal/", _home(f"{p67}/1/"))),
        _multi(
            _props("/1/", "<d:resourcetype><d:collection/></d:resourcetype>"),
            _props("/1/home/", _IS_CALENDAR, "<d:displayname>Home</d:displayname>"),
            _props("/1/unnamed/", _IS_CALENDAR, _holds("VEVENT")),
            _props("/1/tasks/", _IS_CALENDAR, _holds("VTODO")),
        ),
    )
    found = await discover(http, _MANIFEST, _account())
    assert found == [
        Calendar(url=f"{p67}/1/home/", name="Home"),
        Calendar(url=f"{p67}/1/unnamed/", name="unnamed"),
    ]
    assert [call.url for call in http.calls] == [
        f"{_BASE}/.well-known/caldav",
        f"{_BASE}/",
        f"{_BASE}/1/principal/",
        f"{p67}/1/",
    ]
    expected = f"Basic {base64.b64encode(b'ann@example.com:pass').decode()}"
    assert {call.headers["Authorization"] for call in http.calls} == {expected}


@pytest.mark.parametrize("well_known", [_answer(404), _answer(200, "<html/>"), _multi(_props("/", "<d:x/>"))])
async def test_discovery_works_without_a_well_known_address(well_known: Response) -> None:
    """A server that lacks the well-known address, or says nothing there, is asked at its base."""
    principal, home = _multi(_props("/dav/", _principal("/me/"))), _multi(_props("/me/", _home("/me/")))
    http = Scripted(well_known, principal, home, _multi())
    assert await discover(http, _MANIFEST, _account(f"{_BASE}/dav/")) == []
    assert http.calls[1].url == f"{_BASE}/dav/"


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([_answer(404), _answer(404)], VendorRejected),
        ([_multi(), _multi()], VendorGarbage),
        ([_multi(_props("/", _principal("/me/"))), _multi(_props("/me/"))], VendorGarbage),
        ([_answer(401)], VendorAuthFailed),
        ([_answer(503)], VendorUnavailable),
    ],
)
async def test_discovery_says_why_it_fails(answers: Sequence[Response], error: type[VendorError]) -> None:
    """Nothing there, nobody named, no home, wrong password and an outage are told apart."""
    with pytest.raises(error):
        await discover(Scripted(*answers), _MANIFEST, _account())


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/",
        "https://icloud.com.evil.example/",
        "https://noticloud.com/",
        "http://p67-caldav.icloud.com/",
        "https://p67-caldav.icloud.com:8443/",
        "https://p67-caldav.icloud.com:x/",
    ],
)
async def test_the_password_goes_to_the_accounts_own_hosts_only(location: str) -> None:
    """A redirect to another host, to plain http or to another port is not followed."""
    http = Scripted(_answer(302, location=location))
    with pytest.raises(VendorRejected, match="not sent the password"):
        await _port(http).check()
    assert len(http.calls) == 1


async def test_another_vendors_server_is_not_part_of_icloud() -> None:
    """An account elsewhere is never redirected to iCloud, nor with the domain set to nothing."""
    http = Scripted(*[_answer(302, location="https://p67-caldav.icloud.com/")] * 2)
    with pytest.raises(VendorRejected):
        await _port(http, account=_account("https://dav.example")).check()
    with pytest.raises(VendorRejected):
        await _port(http, account=_account(credential_domain="")).check()


async def test_redirects_in_circles_end() -> None:
    """A server that only redirects is garbage after a few steps."""
    with pytest.raises(VendorGarbage, match="circles"):
        await _port(Scripted(*[_answer(302, location="/")] * 9)).check()


def test_an_account_without_password_must_be_reconnected() -> None:
    """Missing credentials are an authentication failure, before anything is sent."""
    with pytest.raises(VendorAuthFailed, match="lacks its password"):
        _port(
            VendorHttp(), account=Account(integration_id="i", base_url=_BASE, credentials={"username": "a"})
        )


async def test_a_calendar_that_moves_host_is_written_where_it_lives() -> None:
    """Records are read at the calendar's own host, not at the account's first address."""
    http = Scripted(_answer(200, _ICS.format(uid="u"), etag='"1"'))
    assert await _port(http, "https://p67-caldav.icloud.com/1/home/").read("/1/home/a.ics")
    assert http.calls[0].url == "https://p67-caldav.icloud.com/1/home/a.ics"


@pytest.mark.parametrize("status", [403, 409, 412])
async def test_an_invalid_token_is_known_by_its_element(status: int) -> None:
    """Whatever the status, the element says that the cursor is lost."""
    error = _answer(status, '<error xmlns="DAV:"><valid-sync-token/></error>')
    with pytest.raises(CursorLost):
        await _port(Scripted(error)).scan({"token": "t1"})


@pytest.mark.parametrize("cursor", [{}, {"token": 5}, {"page": 3}, {"ctag": "x", "etags": []}])
async def test_a_strange_cursor_is_lost(cursor: dict[str, Any]) -> None:
    """A cursor that this adapter never made starts over instead of failing for ever."""
    with pytest.raises(CursorLost):
        await _port(Scripted()).scan(cursor)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (_answer(403), VendorAuthFailed),
        (_answer(404), VendorRejected),
        (_answer(400, "no"), VendorRejected),
        (_answer(200, "<html/>"), VendorGarbage),
        (_answer(429), VendorUnavailable),
        (_multi(), VendorGarbage),
        (_multi(_status("/c/", 507), token="t1"), VendorGarbage),
    ],
)
async def test_a_refused_scan_says_what_it_means(answer: Response, error: type[VendorError]) -> None:
    """Access, absence, refusal, garbage, overload and endless pages are told apart."""
    with pytest.raises(error):
        await _port(Scripted(answer)).scan({"token": "t1"})


async def test_a_first_load_in_pieces_knows_the_whole_at_its_end() -> None:
    """While the server cuts its answer short there is more, and only the last piece says what is present."""
    http = Scripted(
        _CALENDAR,
        _multi(_etag("/c/a.ics", "1"), _etag("/c/b.ics", "1"), _status("/c/", 507), token="t1"),
        _multi(_body("/c/a.ics", "1"), _body("/c/b.ics", "1")),
        _multi(_status("/c/a.ics", 404), _etag("/c/d.ics", "1"), token="t2"),
        _multi(_body("/c/d.ics", "1")),
    )
    first = await _port(http).scan(None)
    assert (first.more, first.present, len(first.records)) == (True, None, 2)
    last = await _port(http).scan(first.cursor)
    assert (last.more, last.present) == (False, frozenset({"/c/b.ics", "/c/d.ics"}))
    assert (last.missing, last.cursor) == (["/c/a.ics"], {"token": "t2"})


async def test_what_disappears_between_list_and_read_is_only_missing() -> None:
    """A record that the batch does not show, or shows as gone, is a suspicion; tasks are passed over."""
    todo = "<c:calendar-data>BEGIN:VCALENDAR\nBEGIN:VTODO\nEND:VTODO\nEND:VCALENDAR</c:calendar-data>"
    hrefs = [f"/c/{name}.ics" for name in "abcd"]
    http = Scripted(
        _multi(
            *(_etag(href, "1") for href in hrefs),
            _etag("/c/", "1"),
            _etag("/elsewhere/x.ics", "1"),
            token="t2",
        ),
        _multi(_status(hrefs[0], 404), _props(hrefs[1], "<d:getetag>1</d:getetag>", todo), _props(hrefs[2])),
    )
    scan = await _port(http).scan({"token": "t1"})
    assert scan.missing == [hrefs[0], hrefs[3]]
    assert ([bad.record_id for bad in scan.bad], list(scan.records)) == ([hrefs[2]], [])


async def test_one_answer_that_cannot_be_read_does_not_hide_the_others() -> None:
    """Where a batch is garbage each record is read alone, and only what is bad by itself is set apart."""
    hrefs = [f"/c/{name}.ics" for name in "abc"]
    http = Scripted(
        _multi(*(_etag(href, "1") for href in hrefs), token="t2"),
        _answer(207, "<d:multistatus \x0b"),
        _answer(200, _ICS.format(uid="u\x0b"), etag='"1"'),
        _answer(404),
        _answer(301, location="/c/"),
        *[_answer(301, location="/c/")] * 3,
    )
    scan = await _port(http).scan({"token": "t1"})
    assert [record.record_id for record in scan.records] == [hrefs[0]]
    assert (scan.missing, [bad.record_id for bad in scan.bad]) == ([hrefs[1]], [hrefs[2]])


async def test_without_sync_collection_etags_are_compared() -> None:
    """A server without tokens is read by its tag and its ETags: changed, missing and present are found."""
    http = Scripted(
        _PLAIN_CALENDAR,
        _multi(_props("/c/", "<s:getctag>tag1</s:getctag>")),
        _multi(_props("/c/"), _etag("/c/a.ics", "1"), _etag("/c/b.ics", "1")),
        _multi(_body("/c/a.ics", "1"), _body("/c/b.ics", "1")),
        _multi(_props("/c/", "<s:getctag>tag1</s:getctag>")),
        _multi(_props("/c/", "<s:getctag>tag2</s:getctag>")),
        _multi(_etag("/c/b.ics", "2")),
        _multi(_body("/c/b.ics", "2")),
    )
    port = _port(http)
    first = await port.scan(None)
    assert (len(first.records), first.present) == (2, frozenset({"/c/a.ics", "/c/b.ics"}))
    quiet = await port.scan(first.cursor)
    assert (list(quiet.records), quiet.present, quiet.cursor) == ([], None, first.cursor)
    later = await port.scan(quiet.cursor)
    assert [record.version for record in later.records] == ["2"]
    assert (later.missing, later.present) == (["/c/a.ics"], frozenset({"/c/b.ics"}))


async def test_a_server_without_tags_is_listed_each_time() -> None:
    """Where the calendar has no tag the ETags alone decide."""
    http = Scripted(_multi(_props("/c/")), _multi(_etag("/c/a.ics", "1")))
    scan = await _port(http).scan({"ctag": None, "etags": {"/c/a.ics": "1"}})
    assert (list(scan.records), scan.present) == ([], frozenset({"/c/a.ics"}))


async def test_a_calendar_beyond_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A calendar with more events than we hold is refused with the cure, not loaded."""
    monkeypatch.setattr(collection, "MAX_RESOURCES", 1)
    answer = _multi(_etag("/c/a.ics", "1"), _etag("/c/b.ics", "1"), token="t2")
    with pytest.raises(VendorRejected, match="link a smaller one"):
        await _port(Scripted(answer)).scan({"token": "t1"})


@pytest.mark.parametrize("status", [404, 410])
async def test_gone_is_gone(status: int) -> None:
    """Both ways of saying gone are None for a read, success for a delete and RecordGone for a write."""
    port = _port(Scripted(*[_answer(status)] * 3))
    assert await port.read("/c/a.ics") is None
    await port.delete(_record())
    with pytest.raises(RecordGone):
        await port.update(_record(), {"title": "x"})


@pytest.mark.parametrize(
    "answers",
    [
        [_answer(204)],
        [_answer(403, '<error xmlns="DAV:"><need-privileges/></error>')],
        [_answer(200, "<html/>", etag="1")],
        [_answer(200, "BEGIN:VCALENDAR\nBEGIN:VTODO\nEND:VTODO\nEND:VCALENDAR", etag="1")],
        [_answer(200, _ICS), _multi(_props("/c/a.ics"))],
    ],
)
async def test_a_read_that_makes_no_sense_is_garbage(answers: Sequence[Response]) -> None:
    """A status, body or missing ETag that says neither here nor gone is garbage, never a delete."""
    with pytest.raises(VendorGarbage):
        await _port(Scripted(*answers)).read("/c/a.ics")


async def test_a_missing_etag_is_asked_for() -> None:
    """After a write or a read without ETag the server is asked for it, and what it shows counts."""
    text = _ICS.format(uid="u").replace("Toast", "Toast!")
    http = Scripted(_answer(201), _answer(200, text), _multi(_etag("/c/i.ics", '"9"')))
    record = await _port(http).create(_EVENT, "i", _VALUES)
    assert (record.version, record.fields["title"]) == ('"9"', "Toast!")


async def test_an_event_deleted_at_once_is_gone() -> None:
    """A write without ETag whose re-read says gone is RecordGone."""
    with pytest.raises(RecordGone):
        await _port(Scripted(_answer(201), _answer(404))).create(_EVENT, "i", _VALUES)


_FAULT = '<error xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><C:valid-calendar-data/></error>'


@pytest.mark.parametrize(
    ("answers", "error", "says"),
    [
        ([_answer(412)], VersionMismatch, "since it was read"),
        ([_answer(412, _FAULT)], VendorRejected, "valid-calendar-data"),
        ([_answer(403, _FAULT)], VendorRejected, "status 403 valid-calendar-data"),
        ([_answer(413)], VendorRejected, "status 413"),
        ([_answer(403)], VendorAuthFailed, "refuses access"),
        ([_answer(507)], VendorRejected, "status 507"),
        ([_answer(500)], VendorUnavailable, "status 500"),
    ],
)
async def test_a_refused_update_says_what_it_means(
    answers: Sequence[Response], error: type[VendorError], says: str
) -> None:
    """Moved, not understood, too large, not allowed and broken are told apart."""
    with pytest.raises(error, match=says):
        await _port(Scripted(*answers)).update(_record(), {"title": "x"})


async def test_a_refused_create_says_what_it_means() -> None:
    """A conflict with nothing at our address is terminal; so is any other refusal."""
    for answers in ([_answer(412, _FAULT), _answer(404)], [_answer(409)]):
        with pytest.raises(VendorRejected):
            await _port(Scripted(*answers)).create(_EVENT, "i", _VALUES)


async def test_a_refused_delete_says_what_it_means() -> None:
    """A failed condition on what is gone is success, on what is there a mismatch; a refusal is terminal."""
    await _port(Scripted(_answer(412), _answer(404))).delete(_record())
    await _port(Scripted(_multi())).delete(_record())
    with pytest.raises(VersionMismatch):
        await _port(Scripted(_answer(412), _answer(200, _ICS, etag="2"))).delete(_record())
    with pytest.raises(VendorRejected):
        await _port(Scripted(_answer(423))).delete(_record())


async def test_an_update_of_what_is_no_calendar_is_refused() -> None:
    """A native text that cannot be edited is a refusal, before anything is sent."""
    http = Scripted()
    with pytest.raises(VendorRejected, match="change the item"):
        await _port(http).update(_record("<html/>"), {"title": "x"})
    assert http.calls == []


async def test_only_what_the_manifest_maps_is_written() -> None:
    """A field without rule is left out of what is sent, and conditions guard the write."""
    http = Scripted(_answer(204, etag='"2"'))
    await _port(http).update(_record(), {"title": "x", "secret_field": "do not send"})
    assert "do not send" not in http.calls[0].body
    assert http.calls[0].headers["If-Match"] == '"e1"'
