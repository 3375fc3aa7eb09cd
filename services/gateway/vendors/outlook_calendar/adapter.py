"""Outlook's calendar as a `VendorPort`.

A record is one event, or one instance of a series, named by the id that stays when it moves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.outlook_calendar import event as events
from services.gateway.vendors.outlook_calendar.api import GraphApi, Refused
from services.gateway.vendors.outlook_calendar.delta import SERIES, Delta
from services.gateway.vendors.outlook_calendar.event import KEPT, MARKER, PROPERTIES
from services.gateway.vendors.outlook_calendar.subscriptions import Subscriptions
from services.gateway.vendors.outlook_calendar.times import EventError
from services.gateway.vendors.port import (
    Account,
    BadRecord,
    Channel,
    Decision,
    OutOfScope,
    RecordGone,
    Scan,
    VendorGarbage,
    VendorRecord,
    VendorRejected,
    VendorUnavailable,
    VersionMismatch,
)
from wedsync.clock import Clock, SystemClock
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind

Values = Mapping[str, FieldValue]

_EVENT = ItemKind.TIMELINE_EVENT
_EXPAND = {"$expand": f"{PROPERTIES}($filter=id eq '{MARKER}' or id eq '{KEPT}')"}
# What is kept of a record that cannot be read, for a person to look at.
_RAW_BYTES = 64 * 1024


def create_adapter(
    http: VendorHttp, manifest: Manifest, account: Account, scope: Mapping[str, str]
) -> OutlookCalendar:
    """Return the adapter of one calendar; `scope` holds `calendar_id` and the wedding's `time_zone`."""
    return OutlookCalendar(http, manifest, account, scope)


class OutlookCalendar:
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
        def number(name: str) -> int:
            return int(manifest.setting(account, name))

        clock = clock or SystemClock()
        self._manifest, self._zone = manifest, scope["time_zone"]
        self._api = GraphApi(http, account, manifest.timeout_seconds)
        self._calendar = f"/me/calendars/{_quoted(scope['calendar_id'])}"
        self._delta = Delta(
            api=self._api,
            calendar=self._calendar,
            clock=clock,
            past=timedelta(days=number("window_past_days")),
            future=timedelta(days=number("window_future_days")),
            page_size=number("page_size"),
        )
        self._subscriptions = Subscriptions(
            api=self._api,
            clock=clock,
            resource=manifest.setting(account, "subscription_resource"),
            lasts=timedelta(seconds=manifest.push.lifetime_seconds if manifest.push else 0),
        )

    async def check(self) -> None:
        """Return if the account works and the calendar exists; raise with the cure otherwise."""
        await self._api.get(self._calendar)

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what moved since the cursor; everything in the window for None. Raises `CursorLost`.

        A delta shows neither our marker nor what we keep beside an event, so each event is read.
        """
        moves = await self._delta.moves(cursor)
        records, bad, missing = list[VendorRecord](), list[BadRecord](), list(moves.missing)
        for record_id in moves.changed:
            try:
                native = await self._native(record_id)
            except OutOfScope:
                continue
            if native is None:
                missing.append(record_id)
                continue
            shown = self._shown(record_id, native)
            records += [shown] if isinstance(shown, VendorRecord) else []
            bad += [shown] if isinstance(shown, BadRecord) else []
        return Scan(
            records=records,
            bad=bad,
            missing=missing,
            present=moves.present,
            cursor=moves.cursor,
            more=moves.more,
        )

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one event or instance; None if it is deleted. Raises `OutOfScope` for what lies elsewhere."""
        native = await self._native(record_id)
        return None if native is None else self._record(record_id, native)

    async def find(self, kind: ItemKind, item_id: str) -> VendorRecord | None:
        """Look up the event that carries our marker."""
        if kind not in self._manifest.kinds:
            return None
        having = f"{PROPERTIES}/Any(ep: ep/id eq '{MARKER}' and ep/value eq '{_literal(item_id)}')"
        answer = await self._api.get(f"{self._calendar}/events?{_query({'$filter': having} | _EXPAND)}")
        found = answer.get("value")
        if not isinstance(found, list) or not all(isinstance(native, dict) for native in found):
            raise VendorGarbage("a search of the calendar has no list of events")
        # People copy events, and the copy carries the marker too, but not what we created it by.
        single = [native for native in found if native.get("type") != SERIES]
        ours = sorted(single, key=lambda native: native.get("transactionId") != item_id)
        return self._record(_id(ours[0]), ours[0]) if ours else None

    async def create(self, kind: ItemKind, item_id: str, values: Values) -> VendorRecord:
        """Create an event; one that an earlier attempt has created is returned as it is now."""
        try:
            body = events.new_event(item_id, self._held(kind, values))
        except EventError as error:
            raise VendorRejected(f"{error}: change the item") from error
        try:
            return await self._created(body)
        except Refused as refused:
            if refused.status != 409:
                raise
        # Outlook remembers what was created by an id, also when it was changed or deleted since.
        if (existing := await self.find(kind, item_id)) is not None:
            return replace(existing, existed=True)
        return await self._created({**body, "transactionId": new_id()})

    async def update(self, record: VendorRecord, values: Values) -> VendorRecord:
        """Write what differs into the event just read. Raises `VersionMismatch`, `RecordGone`."""
        held = self._held(record.kind, values)
        changed = {path: value for path, value in held.items() if record.fields.get(path) != value}
        try:
            body = events.changed_event(record.native, record.fields, changed)
        except EventError as error:
            raise VendorRejected(f"{error}: change it in Outlook") from error
        if not body:
            return record
        try:
            answer = await self._api.send("PATCH", _path(record.record_id), body, if_match=record.version)
        except Refused as refused:
            raise _moved(refused) from refused
        return self._after_write(answer, record.native, body)

    async def delete(self, record: VendorRecord) -> None:
        """Delete the event just read. Gone already is success. Raises `VersionMismatch`."""
        try:
            await self._api.delete(_path(record.record_id), if_match=record.version)
        except Refused as refused:
            raise _moved(refused) from refused

    def hints(self, event: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002 - it only says that something moved
        """Point at nothing: what moved is told by the delta, deletes and moves between calendars too."""
        return ()

    def decisions(self, _: Mapping[str, Any], /) -> Sequence[Decision]:
        """Nobody decides anything here."""
        return ()

    async def open_channel(self, address: str, channel_id: str, secret: str) -> Channel:  # noqa: ARG002
        """Have Outlook tell this address from now on; it names the channel itself."""
        return await self._subscriptions.open(address, secret)

    async def close_channel(self, channel: Channel) -> None:
        """End a channel. Ended already is success."""
        await self._subscriptions.close(channel)

    async def aclose(self) -> None:
        """Hold nothing, so let go of nothing: the connections belong to the process."""

    async def _native(self, record_id: str) -> dict[str, Any] | None:
        """Return the event as Graph shows it; None if it is gone, or a series, of which the instances count.

        Raises `OutOfScope` if it is elsewhere.
        """
        try:
            found = await self._api.get(f"{self._calendar}/events/{_quoted(record_id)}?{_query(_EXPAND)}")
        except Refused as refused:
            if refused.status != 404:
                raise
        else:
            return None if found.get("type") == SERIES else found
        try:
            await self._api.get(f"{_path(record_id)}/calendar")
        except Refused as refused:
            if refused.status != 404:
                raise
            return None
        raise OutOfScope("the event is in another calendar")

    async def _created(self, body: Mapping[str, Any]) -> VendorRecord:
        return self._after_write(await self._api.send("POST", f"{self._calendar}/events", body), {}, body)

    def _after_write(
        self, answer: dict[str, Any], before: Mapping[str, Any], body: Mapping[str, Any]
    ) -> VendorRecord:
        try:
            return self._record(_id(answer), events.with_properties(answer, before, body))
        except VendorGarbage as error:
            # It was carried out: the caller must look before it repeats a create.
            raise VendorUnavailable(f"written, and then: {error}", unknown_outcome=True) from error

    def _held(self, kind: ItemKind, values: Values) -> dict[str, FieldValue]:
        if kind not in self._manifest.kinds:
            raise VendorRejected(f"a {kind} cannot be kept in a calendar")
        rules = {path: self._manifest.rule(kind, path) for path in values}
        return {path: rule.holds(values[path]) for path, rule in rules.items() if rule and rule.writable}

    def _shown(self, record_id: str, native: dict[str, Any]) -> VendorRecord | BadRecord:
        try:
            return self._record(record_id, native)
        except VendorGarbage as error:
            raw = json.dumps(native).encode()[:_RAW_BYTES]
            return BadRecord(record_id=record_id, reason=f"{error}: correct or delete the event", raw=raw)

    def _record(self, record_id: str, native: dict[str, Any]) -> VendorRecord:
        etag = native.get("@odata.etag")
        if not isinstance(etag, str) or not etag:
            raise VendorGarbage("Outlook gives the event no ETag")
        try:
            shown = events.read_event(native, self._zone)
        except EventError as error:
            raise VendorGarbage(str(error)) from error
        rules = self._manifest.kinds[_EVENT].fields
        return VendorRecord(
            record_id=record_id,
            kind=_EVENT,
            version=etag,
            fields={path: rules[path].holds(value) for path, value in shown.fields.items()},
            marker=shown.marker,
            writable=shown.writable,
            native=native,
        )


def _moved(refused: Refused) -> Exception:
    if refused.status == 412:
        return VersionMismatch("the event was changed since it was read")
    return RecordGone("the event is no more") if refused.status == 404 else refused


def _path(record_id: str) -> str:
    return f"/me/events/{_quoted(record_id)}"


def _query(parameters: Mapping[str, str]) -> str:
    return urlencode(parameters, quote_via=quote)


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _literal(text: str) -> str:
    return text.replace("'", "''")


def _id(native: Mapping[str, Any]) -> str:
    record_id = native.get("id")
    if not isinstance(record_id, str) or not record_id:
        raise VendorGarbage("Outlook does not say which event it is")
    return record_id
