"""The Partner API as a `VendorPort` and a `ShowingPort`.

A record is named by its id; one that we create lies under its item's id, so that a create which is
repeated is refused, and found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.partner_api import records
from services.gateway.vendors.partner_api.api import GONE, LOST, MOVED, PartnerApi, Refused, over
from services.gateway.vendors.port import (
    Account,
    BadRecord,
    CursorLost,
    Decision,
    OutOfScope,
    RecordGone,
    Scan,
    VendorAuthFailed,
    VendorGarbage,
    VendorRecord,
    VendorRejected,
    VendorUnavailable,
    VersionMismatch,
)
from wedsync.model.items import FieldValue, ItemKind

Values = Mapping[str, FieldValue]

# A collection with more records is no wedding's.
_MAX_RECORDS = 20_000
_DELETED = "record.deleted"


def create_adapter(
    http: VendorHttp, manifest: Manifest, account: Account, scope: Mapping[str, str]
) -> PartnerAdapter:
    """Return the adapter of one collection; `scope` holds `collection_id` and the wedding's `time_zone`."""
    token = account.credentials.get("token")
    if not token:
        raise VendorAuthFailed("there is no token: reconnect the account")
    api = PartnerApi(
        http=http,
        base_url=account.base_url.rstrip("/"),
        token=token,
        timeout=manifest.timeout_seconds,
    )
    return PartnerAdapter(api, manifest, account, scope)


class PartnerAdapter:
    """One collection of one partner's system."""

    def __init__(
        self, api: PartnerApi, manifest: Manifest, account: Account, scope: Mapping[str, str]
    ) -> None:
        self._api, self._kinds, self._collection = api, manifest.kinds, scope["collection_id"]
        self._page_size = manifest.setting(account, "page_size")
        self._context = manifest.conversion(account, scope)

    async def check(self) -> None:
        """Return if the token works and the collection exists; raise with the cure otherwise."""
        await self._api.call("GET", "account")
        await self._require_collection()

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what moved since the cursor; everything for None. Raises `CursorLost`.

        The cursor is {"after"}, and in a scan from the start the ids `seen` so far beside it.
        """
        at = dict(cursor or {"seen": []})
        page = await self._page(at)
        there = [record for record in page["records"] if not records.is_deleted(record)]
        told = [self._shown(record) for record in there if records.is_kept(record, self._kinds)]
        seen = [*at["seen"], *map(records.id_of, there)] if "seen" in at else None
        if seen is not None and len(seen) > _MAX_RECORDS:
            raise VendorRejected(f"the collection holds more than {_MAX_RECORDS} records: link another")
        more, kept = page["more"], {} if seen is None else {"seen": seen}
        gone = (records.id_of(record) for record in page["records"] if records.is_deleted(record))
        return Scan(
            records=[record for record in told if isinstance(record, VendorRecord)],
            bad=[record for record in told if isinstance(record, BadRecord)],
            # In a scan from the start they say of what was never here that it is gone.
            missing=list(gone) if seen is None else (),
            present=None if seen is None or more else frozenset(seen),
            cursor={"after": page["cursor"], **(kept if more else {})},
            more=more,
        )

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one record; None if it is deleted. Raises `VendorGarbage`, `OutOfScope` for other kinds."""
        try:
            record = await self._call("GET", record_id)
        except Refused as refused:
            if refused.status not in GONE:
                raise
            if refused.status != LOST:
                # Without its collection there is no record either, and that is no delete of it.
                await self._require_collection()
            return None
        if not records.is_kept(record, self._kinds):
            raise OutOfScope("it is of a kind that is not kept in step")
        return self._of_answer(record_id, record)

    async def find(self, kind: ItemKind, item_id: str) -> VendorRecord | None:
        """Look where a create of ours would lie."""
        return await self.read(item_id) if kind in self._kinds else None

    async def create(self, kind: ItemKind, item_id: str, values: Values) -> VendorRecord:
        """Create a record; one that an earlier attempt has created is returned as it is now."""
        body = records.written(kind, values, self._kinds, self._context)
        try:
            made = await self._call("PUT", item_id, body=body, condition={"If-None-Match": "*"})
        except Refused as refused:
            if refused.status == MOVED and (existing := await self.read(item_id)) is not None:
                return replace(existing, existed=True)
            raise
        return self._written(item_id, made)

    async def update(self, record: VendorRecord, values: Values) -> VendorRecord:
        """Write the values over just this version. Raises `VersionMismatch`, `RecordGone`."""
        body = records.written(record.kind, values, self._kinds, self._context)
        try:
            shown = await self._call("PUT", record.record_id, body=body, condition=over(record.version))
        except Refused as refused:
            if refused.status in GONE:
                raise RecordGone("the record is no more") from refused
            raise (_moved() if refused.status == MOVED else refused) from refused
        return self._written(record.record_id, shown)

    async def delete(self, record: VendorRecord) -> None:
        """Delete just this version. Gone already is success. Raises `VersionMismatch`."""
        try:
            await self._call("DELETE", record.record_id, condition=over(record.version))
        except Refused as refused:
            if refused.status == MOVED and await self.read(record.record_id) is not None:
                raise _moved() from refused
            if refused.status not in GONE | {MOVED}:
                raise

    def hints(self, event: Mapping[str, Any]) -> Sequence[str]:
        """Return the record of an event; nothing of another collection or kind."""
        record, collection = event.get("record"), event.get("collection")
        if not isinstance(record, Mapping) or not isinstance(collection, str):
            raise VendorGarbage("an event without its collection or its record")
        record_id = records.id_of(record)
        concerned = event.get("type") == _DELETED or records.is_kept(record, self._kinds)
        return [record_id] if collection == self._collection and concerned else []

    def shown(self, event: Mapping[str, Any]) -> Sequence[VendorRecord]:
        """Return the record as the event shows it, unless it was deleted or makes no sense."""
        if not self.hints(event) or event["type"] == _DELETED:
            return ()
        record = self._shown(event["record"])
        return [record] if isinstance(record, VendorRecord) else ()

    def decisions(self, _: Mapping[str, Any], /) -> Sequence[Decision]:
        """Nobody decides anything here."""
        return ()

    async def aclose(self) -> None:
        """Hold nothing: the connections belong to the process."""

    async def _call(self, method: str, record_id: str, **options: Any) -> dict[str, Any]:
        return await self._api.call(method, "collections", self._collection, "records", record_id, **options)

    async def _page(self, at: Mapping[str, Any]) -> dict[str, Any]:
        query = {"limit": self._page_size, **({"after": at["after"]} if "after" in at else {})}
        try:
            page = await self._api.call("GET", "collections", self._collection, "records", query=query)
        except Refused as refused:
            if refused.status == LOST and "after" in at:
                raise CursorLost("the partner's system no longer knows the cursor") from refused
            raise
        listed, cursor, more = page.get("records"), page.get("cursor"), page.get("more")
        whole = isinstance(listed, list) and all(isinstance(record, dict) for record in listed)
        if not whole or not isinstance(cursor, str) or not isinstance(more, bool):
            raise VendorGarbage("a list of records lacks its records, its cursor or its end")
        return page

    async def _require_collection(self) -> None:
        found = (await self._api.call("GET", "collections")).get("collections")
        if not isinstance(found, list):
            raise VendorGarbage("the list of collections is none")
        if not any(isinstance(each, Mapping) and each.get("id") == self._collection for each in found):
            raise VendorRejected("there is no such collection: link another one")

    def _shown(self, record: records.Json) -> VendorRecord | BadRecord:
        return records.understood(record, self._kinds, self._context)

    def _of_answer(self, record_id: str, record: dict[str, Any]) -> VendorRecord:
        shown = self._shown(record)
        if isinstance(shown, BadRecord):
            raise VendorGarbage(shown.reason)
        if shown.record_id != record_id:
            raise VendorGarbage("it answered with another record than was asked for")
        return shown

    def _written(self, record_id: str, record: dict[str, Any]) -> VendorRecord:
        try:
            return self._of_answer(record_id, record)
        except VendorGarbage as error:
            # It was taken, and shown as something else: it is looked at before it is written again.
            raise VendorUnavailable(str(error), unknown_outcome=True) from error


def _moved() -> VersionMismatch:
    return VersionMismatch("the record was changed since it was seen")
