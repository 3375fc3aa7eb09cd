"""Tave's objects as vendor records, and what of them lies within a link's scope. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.gateway.vendors.port import BadRecord, VendorGarbage, VendorRecord, VendorRejected
from services.gateway.vendors.tave import contacts, events, jobs, payments
from services.gateway.vendors.tave.mapping import Context, Json, is_ulid, marker_of, version
from wedsync.model.items import ItemKind

EVENT, JOB, CONTACT, PAYMENT = "event", "job", "contact", "payment"
_HOOKS = {"contact.created": CONTACT, "job.created": JOB, "payment.created": PAYMENT}
# A parked record is shown to people; the start of it is enough to recognise it.
_KEPT_RAW = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A contact and its part in the job."""

    contact: Json
    job_contact: Json


def split_id(record_id: str) -> tuple[str, str]:
    """Return the collection and the vendor's id. Raises `VendorRejected` for what we never made."""
    collection, _, object_id = record_id.partition("/")
    if collection not in {EVENT, JOB, CONTACT, PAYMENT} or not is_ulid(object_id):
        raise VendorRejected("this is no id of a Tave record")
    return collection, object_id


def event(native: Json, context: Context) -> VendorRecord:
    """Return an event as a record. Raises `ValueError` if it makes no sense."""
    return VendorRecord(
        record_id=_record_id(EVENT, native),
        kind=ItemKind.TIMELINE_EVENT,
        version=version(native),
        fields=events.read(native, context),
        marker=marker_of(native, context),
        writable=native.get("readOnly") is not True,
        native=native,
    )


def job(native: Json, context: Context) -> VendorRecord:
    """Return the job as a record. Raises `ValueError` if it makes no sense."""
    return VendorRecord(
        record_id=_record_id(JOB, native),
        kind=ItemKind.BOOKING,
        version=version(native),
        fields=jobs.read(native, context),
        marker=marker_of(native, context),
        native=native,
    )


def payment(native: Json, context: Context) -> VendorRecord:
    """Return a payment as a record. Raises `ValueError` if it makes no sense."""
    return VendorRecord(
        record_id=_record_id(PAYMENT, native),
        kind=ItemKind.PAYMENT,
        version=version(native),
        fields=payments.read(native, context),
        marker=payments.marker_of(native),
        native=native,
    )


def contact(person: Person, role_names: Mapping[str, str], context: Context) -> VendorRecord:
    """Return a person as a record. Raises `ValueError` if it makes no sense."""
    return VendorRecord(
        record_id=_record_id(CONTACT, person.contact),
        kind=ItemKind.CONTACT,
        version=version(person.contact, person.job_contact),
        fields=contacts.read(person.contact, person.job_contact, role_names, context),
        writable=person.contact.get("kind") in contacts.WRITABLE_KINDS,
        native=person,
    )


def understood(record: Callable[[], VendorRecord]) -> VendorRecord:
    """Return the record. Raises `VendorGarbage` if it cannot be understood."""
    try:
        return record()
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise VendorGarbage(f"the record {error}") from error


def sorted_out(
    found: Sequence[tuple[str, Json, Callable[[], VendorRecord]]],
) -> tuple[list[VendorRecord], list[BadRecord]]:
    """Tell records from those that cannot be understood; each of these is parked alone."""
    records, bad = [], []
    for collection, native, record in found:
        try:
            records.append(understood(record))
        except VendorGarbage as error:
            raw = json.dumps(native).encode()[:_KEPT_RAW]
            bad.append(BadRecord(record_id=f"{collection}/{native.get('id')}", reason=str(error), raw=raw))
    return records, bad


def hinted(hook: Mapping[str, Any], job_id: str) -> list[str]:
    """Return the record ids a rest hook may be about. Raises `VendorGarbage` if it makes no sense.

    The body is either the whole object or only its `targetId`, and names its event only perhaps:
    where it does not say what it is about, every kind is a candidate and a read will tell.
    """
    object_id = hook.get("targetId") or hook.get("id")
    if not is_ulid(object_id):
        raise VendorGarbage("a hook without the id of what it is about")
    if hook.get("jobId") not in {None, job_id}:
        return []
    if hook.get("event") == "order.booked":
        return [f"{JOB}/{job_id}"]
    collections = [_HOOKS[hook["event"]]] if hook.get("event") in _HOOKS else _recognised(hook)
    ids = [f"{collection}/{object_id}" for collection in collections]
    return [i for i in ids if not i.startswith(f"{JOB}/") or i == f"{JOB}/{job_id}"]


def _recognised(hook: Mapping[str, Any]) -> list[str]:
    if "stage" in hook:
        return [JOB]
    if "kind" in hook:
        return [CONTACT]
    if "amount" in hook:
        return [PAYMENT]
    return [CONTACT, PAYMENT, JOB]


def _record_id(collection: str, native: Json) -> str:
    if not is_ulid(native.get("id")):
        raise ValueError("has no id")
    return f"{collection}/{native['id']}"
