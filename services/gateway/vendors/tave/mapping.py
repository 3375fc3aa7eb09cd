"""What all of Tave's kinds share: settings, versions, markers, the body of a full-object write. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.gateway.converters import contract
from services.gateway.converters.fields import read_fields, write_fields
from services.gateway.vendors.field_rules import KindRule
from services.gateway.vendors.port import VendorRejected
from wedsync.model.ids import is_id
from wedsync.model.items import FieldValue, ItemKind

Json = Mapping[str, Any]

_ULID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")

# Shown differently in lists and single reads, so they cannot tell whether an object changed.
_NOT_COMPARED = frozenset({"links", "notes"})

_SERVED = frozenset({"links", "id", "created", "modified", "hidden"})
READ_ONLY: Mapping[str, frozenset[str]] = {
    "event": _SERVED | {"startUtc", "endUtc", "readOnly"},
    "job": _SERVED
    | {"accountBalance", "closedReasonName", "creditBalance", "customNumber", "jobTypeName"}
    | {"lastClientActivity", "leadSourceName", "leadStatusName", "leadStatusChangedAt", "sample"}
    | {"nextInteractionDate", "nextInteractionItem", "previousInteractionDate", "previousInteractionItem"}
    | {"primarySessionId", "staleDate", "title", "totalCost", "totalProfit", "totalRevenue", "workflowName"},
    "contact": _SERVED
    | {"accountBalance", "anonymized", "creditBalance", "customNumber", "notes", "totalCost", "totalRevenue"},
    "payment": _SERVED
    | {"amount", "refundedAmount", "processedViaClientAccess", "refunds", "paymentAllocations"},
}
"""Fields each kind refuses in a body, from the vendor's schema.

A payment's amount is fixed at birth. A contact's notes are objects of their own, which a single read
shows along: sent back they might be added again.
"""

_NESTED_READ_ONLY: Mapping[str, frozenset[str]] = {
    "address": _SERVED | {"name", "latitude", "longitude", "googlePlaceId", "timezone"},
    "phone": frozenset({"id", "dialCode"}),
    "customFields": _SERVED,
}
_PHONES = frozenset({"phoneNumber", "cellPhone", "homePhone", "workPhone", "phone", "fax", "tollFree"})
_ADDRESSES = frozenset({"address", "mailingAddress"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the mapping of one job's records depends on."""

    job_id: str
    kinds: Mapping[ItemKind, KindRule]
    conversion: contract.Context
    service: str = "photography"
    marker_url: str = "https://wedsync.invalid/items/"
    inclusive_end: bool = True

    def shown(self, kind: ItemKind, native: Json) -> dict[str, FieldValue]:
        """Return what the manifest alone makes of an object. Raises `ValueError` if it makes no sense."""
        return read_fields(self.kinds[kind].fields, native, self.conversion)

    def written(self, kind: ItemKind, values: Mapping[str, FieldValue]) -> dict[str, Any]:
        """Return the fields by which the manifest alone says the values. Raises `VendorRejected`."""
        try:
            return write_fields(self.kinds[kind].fields, values, self.conversion)
        except ValueError as error:
            raise VendorRejected(f"Tave cannot be told this: {error}") from error


def is_ulid(value: object) -> bool:
    """Say whether this is an id of the vendor's; only such go into a URL."""
    return isinstance(value, str) and _ULID.fullmatch(value) is not None


def digest(*objects: Json | None) -> str:
    """Return a marker of the objects' content: `modified` alone misses a second edit within a second."""
    compared = [o and {n: v for n, v in o.items() if n not in _NOT_COMPARED} for o in objects]
    return hashlib.blake2b(json.dumps(compared, sort_keys=True).encode(), digest_size=9).hexdigest()


def version(*objects: Json | None) -> str:
    """Return the version of a record that consists of these objects."""
    return f"{(objects[0] or {}).get('modified')}#{digest(*objects)}"


def writable_body(kind: str, native: Json) -> dict[str, Any]:
    """Return the object as a PUT takes it: all of it, without what the vendor computes."""
    return {n: _nested(n, value) for n, value in native.items() if n not in READ_ONLY[kind]}


def _nested(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_nested(name, entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kind = "phone" if name in _PHONES else "address" if name in _ADDRESSES else name
    refused = _NESTED_READ_ONLY.get(kind, frozenset())
    return {n: _nested(n, inner) for n, inner in value.items() if n not in refused}


def marker_of(native: Json, context: Context) -> str | None:
    """Return our item id among the object's external mappings; others' mappings are not ours."""
    for mapping in native.get("externalMappings") or ():
        if str(mapping.get("url", "")).startswith(context.marker_url) and is_id(str(mapping.get("id"))):
            return str(mapping["id"])
    return None


def marker(item_id: str, context: Context) -> list[dict[str, str]]:
    """Return the external mapping by which a create of ours is found again."""
    return [{"id": item_id, "url": f"{context.marker_url}{item_id}"}]


def text_of(value: Any) -> str | None:
    """Return text, None for nothing. Raises `ValueError` if it is something else."""
    if value is not None and not isinstance(value, str):
        raise ValueError("has something else where text belongs")
    return (value or "").strip() or None
