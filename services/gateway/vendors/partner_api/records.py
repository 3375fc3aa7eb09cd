"""A record of the Partner API as one of ours, and our values as what is written. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.gateway.converters.contract import Context
from services.gateway.converters.fields import read_fields, write_fields
from services.gateway.vendors.field_rules import KindRule
from services.gateway.vendors.port import BadRecord, VendorGarbage, VendorRecord, VendorRejected
from wedsync.model.ids import is_id
from wedsync.model.items import FieldValue, ItemKind

Json = Mapping[str, Any]
Kinds = Mapping[ItemKind, KindRule]

# What is kept of a record that cannot be read, for a person to look at.
_RAW_BYTES = 64 * 1024
_LONGEST_ID = 255


def id_of(record: Any) -> str:
    """Return a record's id. Raises `VendorGarbage` if it has none that can be used."""
    found = record.get("id") if isinstance(record, Mapping) else None
    if not isinstance(found, str) or not 0 < len(found) <= _LONGEST_ID:
        raise VendorGarbage("a record has no id")
    return found


def is_deleted(record: Json) -> bool:
    """Say whether a list tells of a delete."""
    return record.get("deleted") is True


def is_kept(record: Json, kinds: Kinds) -> bool:
    """Say whether the record is of a kind that is kept in step."""
    return record.get("kind") in kinds


def understood(record: Json, kinds: Kinds, context: Context) -> VendorRecord | BadRecord:
    """Return the record, or what is wrong with it. Raises `VendorGarbage` if it has no id."""
    record_id = id_of(record)
    try:
        return _read(record_id, record, kinds, context)
    except (ValueError, TypeError, OverflowError) as error:
        raw = json.dumps(record).encode()[:_RAW_BYTES]
        return BadRecord(record_id=record_id, reason=f"the record {error}: correct or delete it", raw=raw)


def written(kind: ItemKind, values: Mapping[str, FieldValue], kinds: Kinds, context: Context) -> Json:
    """Return what to PUT: the fields named are written, and those left out stay. Raises `VendorRejected`."""
    rules = kinds.get(kind)
    if rules is None:
        raise VendorRejected(f"a {kind} is none of the kinds of the Partner API")
    told = {path: value for path, value in values.items() if path in rules.fields}
    try:
        fields = write_fields(rules.fields, told, context)
    except ValueError as error:
        raise VendorRejected(f"{error}: change the item") from error
    # An empty time or amount is null as a whole.
    emptied = {path: None for path, value in told.items() if value is None and path in fields}
    return {"kind": kind.value, "fields": fields | emptied}


def _read(record_id: str, record: Json, kinds: Kinds, context: Context) -> VendorRecord:
    version, fields = record.get("version"), record.get("fields")
    if type(version) is not int or version < 1:
        raise ValueError("has no version")
    if not isinstance(fields, Mapping):
        raise TypeError("has no fields")
    kind = ItemKind(record["kind"])
    return VendorRecord(
        record_id=record_id,
        kind=kind,
        version=str(version),
        fields=read_fields(kinds[kind].fields, fields, context),
        # What we make lies under its item's id.
        marker=record_id if is_id(record_id) else None,
    )
