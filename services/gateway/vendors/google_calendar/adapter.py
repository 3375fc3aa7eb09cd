"""Google Calendar as a `VendorPort` and a `PushPort`.

A record is one event, named by its id, or one instance of a series, named by the series and its day there.
What we create lies under an id made of the item's, so that a create which is repeated is refused, and found.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.google_calendar.api import GoogleApi, Refused
from services.gateway.vendors.google_calendar.event import (
    MAX_LIVES,
    changes,
    event_id,
    fields_of,
    instance_of,
    is_cancelled,
    is_series,
    is_writable,
    marker_of,
    new_event,
    original_start,
)
from services.gateway.vendors.google_calendar.scanner import Scanner
from services.gateway.vendors.google_calendar.times import BadTime
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import (
    Account,
    BadRecord,
    Channel,
    Decision,
    RecordGone,
    Scan,
    VendorGarbage,
    VendorRecord,
    VendorRejected,
    VersionMismatch,
)
from wedsync.model.items import FieldValue, ItemKind

Values = Mapping[str, FieldValue]

_EVENT = ItemKind.TIMELINE_EVENT
_GONE = frozenset({404, 410})
_DUPLICATE, _MOVED = 409, 412
_WRITERS = frozenset({"owner", "writer"})
# What is kept of a record that cannot be read, for a person to look at.
_RAW_BYTES = 64 * 1024


def create_adapter(
    http: VendorHttp, manifest: Manifest, account: Account, scope: Mapping[str, str]
) -> GoogleCalendar:
    """Return the adapter of one calendar; `scope` holds `calendar_id` and the wedding's `time_zone`."""
    return GoogleCalendar(http, manifest, account, scope)


class GoogleCalendar:
    """One calendar of one account."""

    def __init__(
        self,
        http: VendorHttp,
        manifest: Manifest,
        account: Account,
        scope: Mapping[str, str],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api = GoogleApi(http, manifest, account)
        self._calendar, self._zone = scope["calendar_id"], scope["time_zone"]
        self._manifest, self._now = manifest, now
        self._ahead = timedelta(days=int(manifest.setting(account, "series_future_days")))
        self._scanner = Scanner(
            api=self._api,
            calendar_id=self._calendar,
            page_size=manifest.setting(account, "page_size"),
            until=lambda: datetime.fromtimestamp(self._now(), UTC) + self._ahead,
            shown=self._shown,
        )
        self._quietly = {"sendUpdates": manifest.setting(account, "send_updates")}

    async def check(self) -> None:
        """Return if the account works and may write to the calendar; raise with the cure otherwise."""
        try:
            entry = await self._api.call("GET", "users", "me", "calendarList", self._calendar)
        except Refused as refused:
            if refused.status not in _GONE:
                raise
            cure = "correct the id, or add the calendar to the account's list"
            raise VendorRejected(f"the account has no such calendar: {cure}") from refused
        if entry.get("accessRole") not in _WRITERS:
            raise VendorRejected("the account may only read the calendar: let it make changes to events")

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what moved since the cursor; everything for None. Raises `CursorLost`."""
        return await self._scanner.scan(cursor)

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one event or instance; None if it is deleted, or a series. Raises `VendorGarbage`."""
        instance = instance_of(record_id)
        event = await (self._instance(*instance) if instance else self._get(record_id))
        if event is None:
            # Deleted events are shown as such. What is not there at all may only be hidden from us now.
            await self.check()
            return None
        if is_cancelled(event) or is_series(event):
            return None
        record = self._shown(record_id, event)
        if isinstance(record, BadRecord):
            raise VendorGarbage(record.reason)
        return record

    async def _instance(self, series_id: str, key: str) -> dict[str, Any] | None:
        """Return an instance by the day on which its series has it now; also one that was moved since."""
        series = await self._get(series_id)
        if series is None or is_cancelled(series) or not is_series(series):
            return series if series is not None and is_cancelled(series) else None
        try:
            query = {"originalStart": original_start(series, key, self._zone)}
        except BadTime:
            return None
        try:
            page = await self._call("GET", series_id, "instances", query=query)
        except Refused as refused:
            if refused.status in _GONE:
                return None
            raise
        return next((event for event in page.get("items", []) if not is_cancelled(event)), None)

    async def find(self, kind: ItemKind, item_id: str) -> VendorRecord | None:
        """Look where a create of ours would lie: under the first id that is not of a deleted event."""
        if kind is not _EVENT:
            return None
        for life in range(MAX_LIVES):
            event = await self._get(event_id(item_id, life))
            if event is None or not is_cancelled(event):
                return None if event is None else await self.read(str(event["id"]))
        return None

    async def create(self, kind: ItemKind, item_id: str, values: Values) -> VendorRecord:
        """Create an event; one that an earlier attempt has created is returned as it is now."""
        if kind is not _EVENT:
            raise VendorRejected(f"a {kind} cannot be kept in a calendar")
        body = _written(lambda: new_event(item_id, self._held(values), self._zone))
        for life in range(MAX_LIVES):
            named = {**body, "id": event_id(item_id, life)}
            try:
                made = await self._call("POST", query=self._quietly, body=named)
                return self._after_write(named["id"], made)
            except Refused as refused:
                if refused.status != _DUPLICATE:
                    raise
            if (existing := await self.read(named["id"])) is not None:
                return replace(existing, existed=True)
        raise VendorRejected(f"its event was deleted and restored {MAX_LIVES} times: make a new item")

    async def update(self, record: VendorRecord, values: Values) -> VendorRecord:
        """Write the values into the event just read. Raises `VersionMismatch`, `RecordGone`."""
        patch = _written(lambda: changes(record.native, self._held(values), self._zone))
        if not patch:
            return record
        try:
            written = await self._call(
                "PATCH", str(record.native["id"]), query=self._quietly, body=patch, if_match=record.version
            )
            return self._after_write(record.record_id, written)
        except Refused as refused:
            if refused.status in _GONE:
                raise RecordGone("the event is no more") from refused
            raise (_moved() if refused.status == _MOVED else refused) from refused

    async def delete(self, record: VendorRecord) -> None:
        """Delete the event just read. Gone already is success. Raises `VersionMismatch`."""
        try:
            name = str(record.native["id"])
            await self._call("DELETE", name, query=self._quietly, if_match=record.version)
        except Refused as refused:
            if refused.status == _MOVED and await self.read(record.record_id) is not None:
                raise _moved() from refused
            if refused.status not in _GONE | {_MOVED}:
                raise

    async def open_channel(self, address: str, channel_id: str, secret: str) -> Channel:
        """Have Google tell this address of every change from now on."""
        ends = int((self._now() + self._lifetime()) * 1000)
        wanted = {
            "id": channel_id,
            "type": "web_hook",
            "address": address,
            "token": secret,
            "expiration": str(ends),
        }
        granted = await self._call("POST", "watch", body=wanted)
        resource, expiration = granted.get("resourceId"), str(granted.get("expiration", ends))
        if not isinstance(resource, str) or not expiration.isdecimal():
            raise VendorGarbage("Google does not say what the channel watches, or until when")
        return Channel(
            channel_id=channel_id,
            secret=secret,
            ends_at=datetime.fromtimestamp(int(expiration) / 1000, UTC),
            native={"resource_id": resource},
        )

    async def close_channel(self, channel: Channel) -> None:
        """Stop a channel. Ended already is success."""
        body = {"id": channel.channel_id, "resourceId": channel.native["resource_id"]}
        try:
            await self._api.call("POST", "channels", "stop", body=body)
        except Refused as refused:
            if refused.status not in _GONE:
                raise

    def hints(self, event: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002 - there is nothing in it
        """Point at nothing: a notification says that something moved, and not what."""
        return ()

    def decisions(self, _: Mapping[str, Any], /) -> Sequence[Decision]:
        """Nobody decides anything here."""
        return ()

    async def aclose(self) -> None:
        """Hold nothing: the connections belong to the process."""

    def _lifetime(self) -> float:
        return self._manifest.push.lifetime_seconds if self._manifest.push else 0.0

    async def _call(self, method: str, *path: str, **options: Any) -> dict[str, Any]:
        return await self._api.call(method, "calendars", self._calendar, "events", *path, **options)

    async def _get(self, record_id: str) -> dict[str, Any] | None:
        try:
            return await self._call("GET", record_id)
        except Refused as refused:
            if refused.status in _GONE:
                return None
            raise

    def _held(self, values: Values) -> dict[str, FieldValue]:
        rules = {path: self._manifest.rule(_EVENT, path) for path in values}
        return {path: rule.holds(values[path]) for path, rule in rules.items() if rule and rule.writable}

    def _after_write(self, record_id: str, event: Mapping[str, Any]) -> VendorRecord:
        if is_cancelled(event):
            raise RecordGone("the event was deleted as soon as it was written")
        record = self._shown(record_id, event)
        if isinstance(record, BadRecord):
            raise VendorGarbage(record.reason)
        return record

    def _shown(self, record_id: str, event: Mapping[str, Any]) -> VendorRecord | BadRecord:
        raw = json.dumps(event).encode()[:_RAW_BYTES]
        version = event.get("etag")
        if not isinstance(version, str) or not version:
            return BadRecord(record_id=record_id, reason="Google gives it no etag", raw=raw)
        try:
            fields = fields_of(event, self._zone)
        except BadTime as error:
            return BadRecord(record_id=record_id, reason=f"{error}: correct or delete the event", raw=raw)
        rules = self._manifest.kinds[_EVENT].fields
        return VendorRecord(
            record_id=record_id,
            kind=_EVENT,
            version=version,
            fields={path: rules[path].holds(value) for path, value in fields.items() if path in rules},
            marker=marker_of(event),
            writable=is_writable(event),
            native=event,
        )


def _written(render: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return render()
    except BadTime as error:
        raise VendorRejected(f"{error}: change the item") from error


def _moved() -> VersionMismatch:
    return VersionMismatch("the event was changed since it was read")
