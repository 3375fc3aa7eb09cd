"""Apple Calendar, and any other CalDAV calendar, as a `VendorPort`.

A record is one calendar resource, named by its path; of a recurring event each instance is a record, named by
the path and the instance's key. What we create lies under `<item id>.ics`, so a
create of ours is found again by its address even where a client has dropped our marker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from services.gateway.vendor_http import Response, VendorHttp
from services.gateway.vendors.apple_calendar import davxml
from services.gateway.vendors.apple_calendar.collection import Collection
from services.gateway.vendors.apple_calendar.dav import DavClient, refusal
from services.gateway.vendors.apple_calendar.davxml import Resource
from services.gateway.vendors.apple_calendar.event import (
    Event,
    cancelled,
    changed_event,
    has_events,
    new_event,
    read_event,
    read_instances,
)
from services.gateway.vendors.apple_calendar.ics import IcsError
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import (
    Account,
    BadRecord,
    Decision,
    RecordGone,
    Scan,
    VendorGarbage,
    VendorRecord,
    VendorRejected,
    VersionMismatch,
)
from wedsync.clock import Clock, SystemClock
from wedsync.model.items import FieldValue, ItemKind

_ICS = {"Content-Type": "text/calendar; charset=utf-8"}
_GONE = frozenset({404, 410})
_WRITTEN = frozenset({200, 201, 204})
# What is kept of a record that cannot be read, for a person to look at.
_RAW_BYTES = 64 * 1024
# Between the path and the key of an instance; no path holds it unescaped.
_SEPARATOR = "#"


def create_adapter(
    http: VendorHttp, manifest: Manifest, account: Account, scope: Mapping[str, str]
) -> CalDavCalendar:
    """Return the adapter of one calendar; `scope` holds `calendar_url` and the wedding's `time_zone`."""
    return CalDavCalendar(http, manifest, account, scope)


class CalDavCalendar:
    """One calendar of one account."""

    def __init__(
        self,
        http: VendorHttp,
        manifest: Manifest,
        account: Account,
        scope: Mapping[str, str],
        *,
        clock: Clock | None = None,
    ) -> None:
        self._dav = DavClient(http, manifest, account)
        self._collection = Collection(self._dav, scope["calendar_url"])
        self._manifest, self._zone = manifest, scope["time_zone"]
        self._clock = clock or SystemClock()
        self._ahead = timedelta(days=int(manifest.setting(account, "series_future_days")))

    async def check(self) -> None:
        """Return if the account works and the calendar exists; raise with the cure otherwise."""
        await self._collection.check()

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what moved since the cursor; everything for None. Raises `CursorLost`."""
        moves = await self._collection.moves(cursor)
        bodies = await self._collection.bodies(moves.changed)
        known = dict((cursor or {}).get("series", {}))
        missing, shown = [*moves.missing], list[VendorRecord | BadRecord]()
        missing += [body.path for body in bodies if body.status in _GONE]
        for body in bodies:
            found = [] if body.status in _GONE else self._shown(body)
            recurs = [record.record_id for record in found if _SEPARATOR in record.record_id]
            # It may have been one event before it recurred, or have recurred before it was one.
            missing += [body.path] if recurs else []
            missing += sorted({*_instances(known, body.path)} - {*recurs})
            known = {**known, body.path: [_key(name) for name in recurs]}
            shown += found
        missing += [name for path in moves.missing for name in _instances(known, path)]
        series = {path: keys for path, keys in known.items() if keys and path not in moves.missing}
        return Scan(
            records=[record for record in shown if isinstance(record, VendorRecord)],
            bad=[record for record in shown if isinstance(record, BadRecord)],
            missing=missing,
            present=None if moves.present is None else _all(moves.present, series),
            cursor={**moves.cursor, **({"series": series} if series else {})},
            more=moves.more,
        )

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one event or instance; None if it is gone or, being a series, none. Raises `VendorGarbage`."""
        path = _path_of(record_id)
        _, response = await self._dav.call("GET", self._collection.address(path), headers={})
        if response.status in _GONE:
            return None
        if response.status != 200:
            raise VendorGarbage(f"the calendar server answered {refusal(response)} to a read")
        etag = response.headers.get("etag") or await self._collection.etag(path)
        text = _text(response.body)
        record = self._record(record_id, etag, text)
        if isinstance(record, BadRecord):
            raise VendorGarbage(record.reason)
        if record is None and not has_events(text):
            raise VendorGarbage("it holds tasks and no event")
        return record

    async def find(self, kind: ItemKind, item_id: str) -> VendorRecord | None:
        """Look at the address where a create of ours would lie."""
        return await self.read(self._path(item_id)) if kind in self._manifest.kinds else None

    async def create(self, kind: ItemKind, item_id: str, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Create an event; one that an earlier attempt has created is returned as it is now."""
        path = self._path(item_id)
        text = _rendered(new_event, item_id, self._held(kind, values), self._zone, self._clock.now())
        response = await self._put(path, text, {"If-None-Match": "*"})
        if response.status == 412 and (existing := await self.read(path)):
            return replace(existing, existed=True)
        if response.status not in _WRITTEN:
            raise VendorRejected(f"the calendar server refused the event ({refusal(response)})")
        return await self._after_write(path, response, text)

    async def update(self, record: VendorRecord, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Write the values into the event just read. Raises `VersionMismatch`, `RecordGone`."""
        held = self._held(record.kind, values)
        key, path = _key(record.record_id), _path_of(record.record_id)
        text = _rendered(changed_event, str(record.native), held, self._zone, self._clock.now(), key)
        response = await self._put(path, text, {"If-Match": record.version})
        if response.status in _GONE:
            raise RecordGone("the event is no more")
        # One server answers 412 also to an object it cannot take, and then names what is wrong with it.
        if response.status == 412 and not _faults(response):
            raise VersionMismatch("the event was changed since it was read")
        if response.status not in _WRITTEN:
            raise VendorRejected(f"the calendar server refused the event ({refusal(response)})")
        return await self._after_write(record.record_id, response, text)

    async def delete(self, record: VendorRecord) -> None:
        """Delete the event, or cancel the instance, just read. Gone already is success.

        Raises `VersionMismatch`.
        """
        response = await self._removed(record, {"If-Match": record.version})
        if response.status == 412:
            if await self.read(record.record_id) is not None:
                raise VersionMismatch("the event was changed since it was read")
        elif response.status not in _WRITTEN | _GONE | {207}:
            raise VendorRejected(f"the calendar server refused the delete ({refusal(response)})")

    async def _removed(self, record: VendorRecord, condition: dict[str, str]) -> Response:
        path, key = _path_of(record.record_id), _key(record.record_id)
        if key and (left := cancelled(str(record.native), self._zone, self._clock.now(), key)) is not None:
            return await self._put(path, left, condition)
        _, response = await self._dav.call("DELETE", self._collection.address(path), headers=condition)
        return response

    def decisions(self, _: Mapping[str, Any], /) -> Sequence[Decision]:
        """Nobody decides anything here."""
        return ()

    def hints(self, event: Mapping[str, Any]) -> Sequence[str]:
        """Refuse: CalDAV servers send no webhooks."""
        raise VendorGarbage(f"a calendar sends no webhooks, yet there is one with {len(event)} entries")

    async def aclose(self) -> None:
        """Hold nothing, so let go of nothing: the connections belong to the process."""

    def _path(self, item_id: str) -> str:
        return f"{self._collection.path}{quote(item_id, safe='')}.ics"

    def _held(self, kind: ItemKind, values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
        rules = {path: self._manifest.rule(kind, path) for path in values}
        return {path: rule.holds(values[path]) for path, rule in rules.items() if rule and rule.writable}

    async def _put(self, path: str, text: str, condition: dict[str, str]) -> Response:
        address, headers = self._collection.address(path), {**_ICS, **condition}
        _, response = await self._dav.call("PUT", address, headers=headers, body=text.encode())
        return response

    async def _after_write(self, record_id: str, response: Response, text: str) -> VendorRecord:
        # A server that changed what it was given must not answer with an ETag (RFC 4791 section 5.3.4).
        if etag := response.headers.get("etag"):
            record = self._record(record_id, etag, text)
            if isinstance(record, VendorRecord):
                return record
        again = await self.read(record_id)
        if again is None:
            raise RecordGone("the event was deleted as soon as it was written")
        return again

    def _shown(self, resource: Resource) -> list[VendorRecord | BadRecord]:
        """Return the event in a resource, or the instances of one that recurs; none where it holds tasks."""
        found, etag = resource.props.get(davxml.CALENDAR_DATA), resource.text(davxml.ETAG)
        text = (found.text or "") if found is not None else ""
        record = self._record(resource.path, etag, text)
        if record is not None or not etag:
            return [] if record is None else [record]
        return [
            self._kept(f"{resource.path}{_SEPARATOR}{key}", etag, text, event)
            for key, event in self._instances_in(text).items()
        ]

    def _record(self, record_id: str, etag: str | None, text: str) -> VendorRecord | BadRecord | None:
        """Return the event of that id in a resource, None where there is none."""
        if not etag:
            return _bad(record_id, "the calendar server gives it no ETag", text)
        key = _key(record_id)
        try:
            event = read_event(text, self._zone, key)
            if event is None and not key:
                self._instances_in(text)
        except IcsError as error:
            return _bad(record_id, f"{error}: correct or delete the event", text)
        return None if event is None else self._kept(record_id, etag, text, event)

    def _instances_in(self, text: str) -> Mapping[str, Event]:
        return read_instances(text, self._zone, self._clock.now() + self._ahead)

    def _kept(self, record_id: str, etag: str, text: str, event: Event) -> VendorRecord:
        rules = self._manifest.kinds[ItemKind.TIMELINE_EVENT].fields
        return VendorRecord(
            record_id=record_id,
            kind=ItemKind.TIMELINE_EVENT,
            version=etag,
            fields={name: rules[name].holds(value) for name, value in event.fields.items() if name in rules},
            marker=event.marker,
            native=text,
        )


def _bad(record_id: str, reason: str, text: str) -> BadRecord:
    return BadRecord(record_id=record_id, reason=reason, raw=text.encode("utf-8", "replace")[:_RAW_BYTES])


def _path_of(record_id: str) -> str:
    return record_id.partition(_SEPARATOR)[0]


def _key(record_id: str) -> str:
    """Return which instance it is, nothing for an event that does not recur."""
    return record_id.partition(_SEPARATOR)[2]


def _instances(known: Mapping[str, Sequence[str]], path: str) -> list[str]:
    return [f"{path}{_SEPARATOR}{key}" for key in known.get(path, ())]


def _all(paths: frozenset[str], series: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return the ids of all records in these resources."""
    recurring = {name for path in paths for name in _instances(series, path)}
    return (paths - series.keys()) | recurring


def _rendered(render: Callable[..., str], *arguments: object) -> str:
    try:
        return render(*arguments)
    except IcsError as error:
        raise VendorRejected(f"{error}: change the item") from error


def _faults(response: Response) -> frozenset[str]:
    return frozenset(t for t in davxml.preconditions(response.body) if t.startswith(f"{{{davxml.CALDAV}}}"))


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")
