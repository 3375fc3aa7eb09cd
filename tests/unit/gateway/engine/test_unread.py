"""What may be written to as it was last seen, and what is read before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway.deliver.plan import Rest, Write
from services.gateway.deliver.unread import last_seen
from services.gateway.records import Intent, IntentKind, Shadow, Shown
from services.gateway.vendors.port import VendorRecord
from services.gateway.vendors.versions import OPAQUE, Versions
from tests.support.gateway_vendor import EVENT
from wedsync.model.items import LIFE

GUARDED = Versions(guard_writes=True)
SHADOW = Shadow(
    link_id="l",
    item_id="i",
    kind=EVENT,
    record_id="r",
    version="9",
    fields={"title": Shown(value="Cake", revision=4), LIFE: Shown(value=None, revision=1)},
)
RENAME = Write(kind=IntentKind.UPDATE, values={"title": Shown(value="Toast", revision=5)})
DELETE = Write(kind=IntentKind.DELETE, values={LIFE: Shown(value=True, revision=6)})
OPEN = Intent(intent_id="1", kind=IntentKind.UPDATE, values=RENAME.values)


@pytest.mark.parametrize("write", [RENAME, DELETE], ids=["update", "delete"])
def test_what_the_vendor_guards_is_not_read_again(write: Write) -> None:
    """The record is given as it was last seen, with the version that guards it."""
    seen = VendorRecord(record_id="r", kind=EVENT, version="9", fields={"title": "Cake"})
    assert last_seen(SHADOW, [], write, GUARDED) == seen


@pytest.mark.parametrize("write", [RENAME, DELETE], ids=["update", "delete"])
@pytest.mark.parametrize(
    "shadow",
    [
        replace(SHADOW, gone=True),
        replace(SHADOW, record_id=None),
        replace(SHADOW, version=""),
        replace(SHADOW, fields={}),
    ],
    ids=["gone", "never seen", "no version", "to be looked at anew"],
)
def test_what_is_not_known_is_read(shadow: Shadow, write: Write) -> None:
    """Without a version nothing guards the write; without values nobody knows what it would replace."""
    assert last_seen(shadow, [], write, GUARDED) is None


def test_a_field_that_was_never_seen_is_read_before_it_is_written() -> None:
    """Whatever the vendor has there comes in first."""
    more = replace(RENAME, values={**RENAME.values, "location": Shown(value="Barn", revision=5)})
    assert last_seen(SHADOW, [], more, GUARDED) is None


def test_after_a_write_of_unknown_outcome_the_record_is_read() -> None:
    """What it shows tells our own doing from other people's."""
    assert last_seen(SHADOW, [OPEN], RENAME, GUARDED) is None


def test_where_nothing_guards_writes_everything_is_read() -> None:
    """And where nothing is to be written, nothing is."""
    assert last_seen(SHADOW, [], RENAME, OPAQUE) is None
    assert last_seen(SHADOW, [], Rest(state="held"), GUARDED) is None
