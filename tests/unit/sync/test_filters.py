"""Which entries of a log fit."""

from __future__ import annotations

import pytest

from services.sync.filters import EVERYTHING, LogFilter, SourceFilter
from services.sync.records import LogEntry
from tests.unit.sync.builders import create, vendor
from wedsync.model.changes import ChangeResult, FieldResult, Outcome
from wedsync.model.items import ItemKind

MADE = create("Toast", source=vendor("tave", "event/1"))
ENTRY = LogEntry(
    change=MADE,
    result=ChangeResult(
        change_id=MADE.change_id,
        outcome=Outcome.CONFLICTED,
        sequence=1,
        fields=(
            FieldResult(path="title", outcome=Outcome.CONFLICTED, revision=1),
            FieldResult(path="notes", outcome=Outcome.APPLIED, revision=1),
        ),
    ),
)


@pytest.mark.parametrize(
    ("only", "fits"),
    [
        (EVERYTHING, True),
        (LogFilter(path="notes"), True),
        (LogFilter(path="location"), False),
        (LogFilter(item_kind=ItemKind.TIMELINE_EVENT), True),
        (LogFilter(item_kind=ItemKind.TASK), False),
        (LogFilter(source=SourceFilter(vendor="tave")), True),
        (LogFilter(source=SourceFilter(vendor="cal")), False),
        (LogFilter(source=SourceFilter(link_id="tave")), True),
        (LogFilter(source=SourceFilter(link_id="cal")), False),
        (LogFilter(source=SourceFilter(actor="sync")), True),
        (LogFilter(source=SourceFilter(actor="ada")), False),
        (LogFilter(outcomes=frozenset([Outcome.CONFLICTED])), True),
        (LogFilter(outcomes=frozenset([Outcome.APPLIED, Outcome.MERGED])), True),
        (LogFilter(outcomes=frozenset([Outcome.MERGED])), False),
        (LogFilter(change_id=MADE.change_id), True),
        (LogFilter(change_id=MADE.item_id), False),
        (LogFilter(path="notes", source=SourceFilter(vendor="cal")), False),
    ],
)
def test_everything_that_is_set_must_fit(only: LogFilter, fits: bool) -> None:
    """An entry fits by its fields, kind, source, outcomes and id, and by all that are set together."""
    assert only.fits(ENTRY) is fits
    assert only.looks_inside is (only != EVERYTHING)


def test_what_columns_know_is_not_looked_for_inside() -> None:
    """An item's entries and a stretch of time are found without opening any entry."""
    assert not LogFilter(item_id=MADE.item_id).looks_inside
