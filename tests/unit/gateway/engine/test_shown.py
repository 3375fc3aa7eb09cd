"""What a record is worth that a webhook shows, beside what is known of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway.records import Shadow, Shown
from services.gateway.shown import Word, weigh
from services.gateway.vendors.port import VendorRecord
from services.gateway.vendors.versions import OPAQUE, Versions
from tests.support.gateway_vendor import EVENT, PLAIN
from wedsync.model.items import ItemKind

RISING = Versions(rise=True)
SHADOW = Shadow(
    link_id="l",
    item_id="i",
    kind=EVENT,
    record_id="r",
    version="9",
    generation=3,
    fields={"title": Shown(value="Cake", revision=4)},
)


def told(version: str, title: str = "Toast", kind: ItemKind = EVENT, record_id: str = "r") -> VendorRecord:
    """Return a record as a webhook shows it."""
    return VendorRecord(record_id=record_id, kind=kind, version=version, fields={"title": title})


def word(record: VendorRecord | None, shadow: Shadow = SHADOW, versions: Versions = RISING) -> Word:
    """Return what it is worth."""
    return weigh(shadow, record, versions, PLAIN.fields)


def test_a_greater_version_is_news() -> None:
    """Numbers are compared as such: the tenth version comes after the ninth."""
    assert word(told("10")) is Word.NEWS


@pytest.mark.parametrize("version", ["9", "8", "1"])
def test_what_was_seen_already_is_known(version: str) -> None:
    """The same version that shows the same is a repetition; a smaller one is late, whatever it shows."""
    assert word(told(version, "Cake" if version == "9" else "Toast")) is Word.KNOWN


def test_the_same_version_with_another_value_is_asked_about() -> None:
    """Then what was answered before was not all that the vendor had."""
    assert word(told("9", "Toast")) is Word.UNSURE


@pytest.mark.parametrize(
    "shadow",
    [
        replace(SHADOW, record_id=None),
        replace(SHADOW, gone=True),
        replace(SHADOW, record_id="another"),
        replace(SHADOW, kind=ItemKind.TASK),
        replace(SHADOW, version=""),
    ],
    ids=["never seen", "gone", "another record", "another kind", "no version"],
)
def test_of_what_is_not_known_to_be_there_nothing_is_believed(shadow: Shadow) -> None:
    """A late webhook may show what was before a delete: the vendor is asked."""
    assert word(told("10"), shadow) is Word.UNSURE


@pytest.mark.parametrize("version", ["", "-1", "1.5", "W/10", "٣", "9" * 5000])
def test_a_version_that_is_no_number_is_asked_about(version: str) -> None:
    """Nobody can say what comes after it."""
    assert word(told(version)) is Word.UNSURE


def test_versions_that_the_manifest_does_not_vouch_for_say_nothing() -> None:
    """Neither do webhooks that show no record."""
    assert word(told("10"), versions=OPAQUE) is Word.UNSURE
    assert word(None) is Word.UNSURE
