"""Apple Calendar, and any other CalDAV calendar, as a `VendorPort`.

A record is one calendar resource, named by its path. What we create lies under `<item id>.ics`, so a
create of ours is found again by its address even where a client has dropped our marker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from services.gateway.vendor_http import Response, VendorHttp
from services.gateway.vendors.apple_calendar import davxml
from services.gateway.vendors.apple_calendar.collection import Collection
from services.gateway.vendors.apple_calendar.dav import DavClient, refusal
from services.gateway.vendors.apple_calendar.davxml import Resource
from services.gateway.vendors.apple_calendar.event import changed_event, new_event, read_event
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

    async def check(self) -> None:
        """Return if the account works and the calendar exists; raise with the cure otherwise."""
        await self._collection.check()

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what moved since the cursor; everything for None. Raises `CursorLost`."""
        moves = await self._collection.moves(cursor)
        bodies = await self._collection.bodies(moves.changed)
        shown = [self._shown(body) for body in bodies if body.status not in _GONE]
        return Scan(
            records=[record for record in shown if isinstance(record, VendorRecord)],
            bad=[record for record in shown if isinstance(record, BadRecord)],
            missing=[*moves.missing, *(body.path for body in bodies if body.status in _GONE)],
            present=moves.present,
            cursor=moves.cursor,
            more=moves.more,
        )

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one event; None if the server says it is gone. Raises `VendorGarbage`."""
        _, response = await self._dav.call("GET", self._collection.address(record_id), headers={})
        if response.status in _GONE:
            return None
        if response.status != 200:
            raise VendorGarbage(f"the calendar server answered {refusal(response)} to a read")
        etag = response.headers.get("etag") or await self._collection.etag(record_id)
        record = self._record(record_id, etag, _text(response.body))
        if record is None or isinstance(record, BadRecord):
            raise VendorGarbage(record.reason if record else "it holds tasks and no event")
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
        text = _rendered(changed_event, str(record.native), held, self._zone, self._clock.now())
        response = await self._put(record.record_id, text, {"If-Match": record.version})
        if response.status in _GONE:
            raise RecordGone("the event is no more")
        # One server answers 412 also to an object it cannot take, and then names what is wrong with it.
        if response.status == 412 and not _faults(response):
            raise VersionMismatch("the event was changed since it was read")
        if response.status not in _WRITTEN:
            raise VendorRejected(f"the calendar server refused the event ({refusal(response)})")
        return await self._after_write(record.record_id, response, text)

    async def delete(self, record: VendorRecord) -> None:
        """Delete the event just read. Gone already is success. Raises `VersionMismatch`."""
        address, condition = self._collection.address(record.record_id), {"If-Match": record.version}
        _, response = await self._dav.call("DELETE", address, headers=condition)
        if response.status == 412:
            if await self.read(record.record_id) is not None:
                raise VersionMismatch("the event was changed since it was read")
        elif response.status not in _WRITTEN | _GONE | {207}:
            raise VendorRejected(f"the calendar server refused the delete ({refusal(response)})")

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

    async def _after_write(self, path: str, response: Response, text: str) -> VendorRecord:
        # A server that changed what it was given must not answer with an ETag (RFC 4791 section 5.3.4).
        if etag := response.headers.get("etag"):
            record = self._record(path, etag, text)
            if isinstance(record, VendorRecord):
                return record
        again = await self.read(path)
        if again is None:
            raise RecordGone("the event was deleted as soon as it was written")
        return again

    def _shown(self, resource: Resource) -> VendorRecord | BadRecord | None:
        text, etag = resource.props.get(davxml.CALENDAR_DATA), resource.text(davxml.ETAG)
        return self._record(resource.path, etag, (text.text or "") if text is not None else "")

    def _record(self, path: str, etag: str | None, text: str) -> VendorRecord | BadRecord | None:
        """Return the event in a resource, None where it holds no event but tasks."""
        raw = text.encode("utf-8", "replace")[:_RAW_BYTES]
        if not etag:
            return BadRecord(record_id=path, reason="the calendar server gives it no ETag", raw=raw)
        try:
            event = read_event(text, self._zone)
        except IcsError as error:
            return BadRecord(record_id=path, reason=f"{error}: correct or delete the event", raw=raw)
        if event is None:
            return None
        rules = self._manifest.kinds[ItemKind.TIMELINE_EVENT].fields
        return VendorRecord(
            record_id=path,
            kind=ItemKind.TIMELINE_EVENT,
            version=etag,
            fields={name: rules[name].holds(value) for name, value in event.fields.items() if name in rules},
            marker=event.marker,
            writable=event.writable,
            native=text,
        )


def _rendered(render: Callable[..., str], *arguments: object) -> str:
    try:
        return render(*arguments)
    except IcsError as error:
        raise VendorRejected(f"{error}: change the item") from error


def _faults(response: Response) -> frozenset[str]:
    return frozenset(t for t in davxml.preconditions(response.body) if t.startswith(f"{{{davxml.CALDAV}}}"))


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")
