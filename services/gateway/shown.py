"""May a record that a webhook shows be taken at its word, or must the vendor be asked? Pure.

Webhooks come late, twice, and in any order. Only of a record that we know to be there does a greater
version say that it is news: of one never seen, or gone, it may be what was before a delete.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from services.gateway.observe import moved
from services.gateway.records import Shadow
from services.gateway.vendors.field_rules import FieldRule
from services.gateway.vendors.port import VendorRecord
from services.gateway.vendors.versions import Versions

_MAX_DIGITS = 40
"""A longer version is no number: Python refuses to read it as one."""


class Word(Enum):
    """What a shown record is worth.

    NEWS    the vendor had this after what we know of
    KNOWN   it is what we know, or was before that
    UNSURE  the vendor must be asked
    """

    NEWS = auto()
    KNOWN = auto()
    UNSURE = auto()


def weigh(
    shadow: Shadow, record: VendorRecord | None, versions: Versions, rules: Mapping[str, FieldRule]
) -> Word:
    """Say what a record that a webhook shows is worth beside what we know of it."""
    if record is None or not versions.rise or not _is_same(shadow, record):
        return Word.UNSURE
    known, told = _number(shadow.version), _number(record.version)
    if known is None or told is None:
        return Word.UNSURE
    if told > known:
        return Word.NEWS
    # The same version with other values: what we know was not all that the vendor had then.
    return Word.UNSURE if told == known and moved(shadow, record, rules) else Word.KNOWN


def _is_same(shadow: Shadow, record: VendorRecord) -> bool:
    return shadow.present and (shadow.record_id, shadow.kind) == (record.record_id, record.kind)


def _number(version: str) -> int | None:
    fits = len(version) <= _MAX_DIGITS and version.isascii() and version.isdecimal()
    return int(version) if fits else None
