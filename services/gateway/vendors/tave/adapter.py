"""Tave (VSCO Workspace): one job with its events, people and payments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import (
    Account,
    Decision,
    OutOfScope,
    RecordGone,
    Scan,
    VendorAuthFailed,
    VendorPort,
    VendorRecord,
    VendorRejected,
)
from services.gateway.vendors.tave import contacts, events, jobs, payments, records
from services.gateway.vendors.tave.api import Absent, Http, TaveApi
from services.gateway.vendors.tave.mapping import (
    Context,
    Json,
    is_ulid,
    marker,
    marker_of,
    text_of,
    writable_body,
)
from services.gateway.vendors.tave.records import CONTACT, EVENT, JOB, PAYMENT, Person
from services.gateway.vendors.tave.scanner import Scanner
from wedsync.model.items import FieldValue, ItemKind

Values = Mapping[str, FieldValue]

_PATHS = {EVENT: "/event", JOB: "/job", CONTACT: "/address-book", PAYMENT: "/payment"}
# What the vendor takes where a studio never chose (its schema's default).
_DEFAULT_CURRENCY = "USD"


def create_adapter(http: Http, manifest: Manifest, account: Account, scope: Mapping[str, str]) -> VendorPort:
    """Return the adapter for one job: `scope` holds `job_id` and the wedding's `time_zone`."""
    if not is_ulid(scope.get("job_id")):
        raise VendorRejected("the scope's job_id is no id of a Tave job: copy it from the job's address")
    key = account.credentials.get("api_key")
    if not key:
        raise VendorAuthFailed("there is no API key: reconnect the account")
    return TaveAdapter(http, manifest, account, scope, key)


class TaveAdapter:
    """Speaks Tave's API within one job.

    The one thing it remembers is the studio's currency, without which no amount can be read and which
    does not change.
    """

    def __init__(
        self, http: Http, manifest: Manifest, account: Account, scope: Mapping[str, str], key: str
    ) -> None:
        def setting(name: str) -> str:
            return manifest.setting(account, name)

        self._manifest = manifest
        self._api = TaveApi(
            http=http,
            base_url=account.base_url.rstrip("/"),
            key=key,
            timeout=manifest.timeout_seconds,
            page_size=int(setting("page_size")),
        )
        self._context = Context(
            job_id=scope["job_id"],
            kinds=manifest.kinds,
            conversion=manifest.conversion(account, scope),
            service=setting("service"),
            marker_url=setting("marker_url"),
            inclusive_end=setting("all_day_end") == "inclusive",
        )
        self._overlap = float(setting("overlap_seconds"))
        self._currency: str | None = None

    async def check(self) -> None:
        """Return if the key works and the job exists."""
        await self._settled()
        try:
            await self._api.get(f"/job/{self._context.job_id}")
        except Absent as error:
            raise VendorRejected("Tave has no such job: link another one") from error

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what moved in the job since the cursor; one call reads all its lists."""
        poll = self._manifest.poll
        scanner = Scanner(
            api=self._api,
            context=await self._settled(),
            overlap=self._overlap,
            scans_per_sweep=max(1, round(poll.sweep_interval_seconds / poll.interval_seconds)),
            role_names=self._role_names,
        )
        return await scanner.scan(cursor)

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one record; None if it is gone or hidden. Raises `OutOfScope` if it is another job's."""
        collection, object_id = records.split_id(record_id)
        if collection == JOB and object_id != self._context.job_id:
            raise OutOfScope
        try:
            native = await self._api.get(f"{_PATHS[collection]}/{object_id}")
        except Absent:
            return None
        if collection == CONTACT:
            return await self._contact(native, await self._job_contact(object_id))
        if native.get("hidden") is True:
            return None
        if collection != JOB and native.get("jobId") != self._context.job_id:
            raise OutOfScope
        return await self._record(collection, native)

    async def find(self, kind: ItemKind, item_id: str) -> VendorRecord | None:
        """Look up what we created for the item. Jobs and contacts are never ours to create."""
        collection, found = await self._candidates(kind, item_id)
        mine = next((native for native in found if self._marker(collection, native) == item_id), None)
        return await self._record(collection, mine) if mine else None

    async def create(self, kind: ItemKind, item_id: str, values: Values) -> VendorRecord:
        """Create an event or a payment that carries our marker."""
        collection, body = self._new(kind, item_id, self._held(kind, values), await self._settled())
        try:
            native = await self._api.write("POST", _PATHS[collection], body)
        except Absent as error:
            raise VendorRejected("Tave has no such job: link another one") from error
        return await self._record(collection, native)

    async def update(self, record: VendorRecord, values: Values) -> VendorRecord:
        """Write the values into the whole object just read; nothing is sent if it shows them already.

        Tave has neither ETag nor version: it cannot tell us that the record moved meanwhile.
        """
        if not record.writable:
            raise VendorRejected("Tave does not let anyone change this record")
        collection, object_id = records.split_id(record.record_id)
        changes = await self._changes(collection, record, self._held(record.kind, values))
        if not changes:
            return record
        body = self._body(collection, record, changes)
        try:
            native = await self._api.write("PUT", f"{_PATHS[collection]}/{object_id}", body)
        except Absent as error:
            raise RecordGone from error
        if collection == CONTACT:
            return await self._contact(native, record.native.job_contact)
        return await self._record(collection, native)

    async def delete(self, record: VendorRecord) -> None:
        """Delete an event; nothing else of a job is ours to delete."""
        if record.kind is not ItemKind.TIMELINE_EVENT or not record.writable:
            raise VendorRejected("Tave does not let this record be deleted through its API: do it in Tave")
        _, object_id = records.split_id(record.record_id)
        try:
            await self._api.delete(f"/event/{object_id}")
        except Absent:
            return

    def decisions(self, _: Mapping[str, Any], /) -> Sequence[Decision]:
        """Nobody decides anything here."""
        return ()

    def hints(self, event: Mapping[str, Any]) -> Sequence[str]:
        """Return the record ids a rest hook may be about."""
        return records.hinted(event, self._context.job_id)

    async def aclose(self) -> None:
        """Hold nothing: the connections belong to the process."""

    async def _settled(self) -> Context:
        if self._currency is None:
            studio = await self._api.get("/studio/me")
            self._currency = text_of(studio.get("currencyCode")) or _DEFAULT_CURRENCY
        conversion = replace(self._context.conversion, currency=self._currency)
        return replace(self._context, conversion=conversion)

    async def _record(self, collection: str, native: dict[str, Any]) -> VendorRecord:
        make: Callable[[Json, Context], VendorRecord] = {
            EVENT: records.event,
            JOB: records.job,
            PAYMENT: records.payment,
        }[collection]
        context = await self._settled()
        return records.understood(lambda: make(native, context))

    async def _contact(self, native: dict[str, Any], job_contact: Json) -> VendorRecord:
        names = await self._role_names()
        person = Person(contact=native, job_contact=job_contact)
        return records.understood(lambda: records.contact(person, names, self._context))

    async def _job_contact(self, contact_id: str) -> Json:
        job_id = self._context.job_id
        found = await self._api.all("/job-contact", jobId=job_id, contactId=contact_id)
        if not found.items:
            raise OutOfScope
        return found.items[0]

    async def _role_names(self) -> Mapping[str, str]:
        found = await self._api.all("/job-role")
        return {str(role.get("id")): str(role.get("name")) for role in found.items}

    async def _candidates(self, kind: ItemKind, item_id: str) -> tuple[str, Sequence[dict[str, Any]]]:
        if kind is ItemKind.TIMELINE_EVENT:
            query = {"externalMappingId": item_id, "jobId": self._context.job_id}
            return EVENT, (await self._api.all("/event", **query)).items
        if kind is ItemKind.PAYMENT:
            return PAYMENT, await self._api.whole(f"/job/{self._context.job_id}/payment")
        return JOB, ()

    def _marker(self, collection: str, native: Json) -> str | None:
        return marker_of(native, self._context) if collection == EVENT else payments.marker_of(native)

    def _held(self, kind: ItemKind, values: Values) -> Values:
        rules = {path: self._manifest.rule(kind, path) for path in values}
        return {path: rule.holds(values[path]) for path, rule in rules.items() if rule and rule.writable}

    def _new(
        self, kind: ItemKind, item_id: str, values: Values, context: Context
    ) -> tuple[str, dict[str, Any]]:
        if kind is ItemKind.PAYMENT:
            return PAYMENT, payments.new(item_id, values, context)
        if kind is not ItemKind.TIMELINE_EVENT:
            raise VendorRejected(f"a {kind} cannot be created in Tave through its API")
        ours = {"jobId": context.job_id, "externalMappings": marker(item_id, context)}
        return EVENT, events.changes({}, values, context) | ours

    async def _changes(self, collection: str, record: VendorRecord, values: Values) -> dict[str, Any]:
        if collection == CONTACT:
            return contacts.changes(record.native.contact, record.fields, values, self._context)
        change = {EVENT: events.changes, JOB: jobs.changes, PAYMENT: payments.changes}[collection]
        return change(record.native, values, await self._settled())

    def _body(self, collection: str, record: VendorRecord, changes: Mapping[str, Any]) -> dict[str, Any]:
        if collection != CONTACT:
            return writable_body(collection, record.native) | dict(changes)
        contact = record.native.contact
        return contacts.body_without_derived(contact, writable_body(CONTACT, contact) | dict(changes))
