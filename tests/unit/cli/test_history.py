"""The commands that look back, pause and rewind, against in-process services."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli.conftest import Wedsync
from tests.unit.cli.fakes import CHANGE, ITEM, WEBHOOK, WEDDING, System
from wedsync.api.common.v1 import item_pb2
from wedsync.api.sync.v1 import change_pb2, service_pb2

Data = Callable[..., Any]


@pytest.mark.parametrize(
    "words",
    [
        ("show", WEDDING, "--as-of", "yesterday"),
        ("log", WEDDING, "--since", "12 June"),
        ("log", WEDDING, "--outcome", "lost"),
        ("log", WEDDING, "--kind", "party"),
        ("log", WEDDING, "--item", "1"),
        ("pause", WEDDING),
        ("rewind", WEDDING),
        ("rewind", WEDDING, "--to", "-1"),
    ],
)
def test_wrong_usage(wedsync: Wedsync, system: System, words: tuple[str, ...]) -> None:
    """A wrong word ends with status 2 before anything is called."""
    assert wedsync("wedding", *words).exit_code == 2
    assert system.asked == []


def test_show_as_of_a_sequence_or_a_time(wedsync: Wedsync, data: Data, system: System) -> None:
    """`wedding show --as-of` asks for wedding and items as they were at that moment."""
    assert "First dance" in wedsync("wedding", "show", WEDDING, "--as-of", "42").stdout
    assert [request.as_of.sequence for request in system.asked] == [42, 42]
    data("wedding", "show", WEDDING, "--as-of", "2027-06-12T15:00:00+02:00")
    assert system.asked[-1].as_of.time.ToJsonString() == "2027-06-12T13:00:00Z"
    wedsync("wedding", "show", WEDDING)
    assert not system.asked[-1].HasField("as_of")


def test_log_shows_who_why_and_what(wedsync: Wedsync, data: Data) -> None:
    """`wedding log` shows each entry with its source, the vendor's event, and both values."""
    first, second = wedsync("wedding", "log", WEDDING).stdout.splitlines()[1:]
    for part in (
        "1",
        "tave",
        f"event {WEBHOOK}",
        f"update timeline_event {ITEM}",
        "title: (nothing) → First dance",
    ):
        assert part in first
    assert "ann" in second
    assert second.rstrip().endswith("(conflicted)")
    assert [entry["sequence"] for entry in data("wedding", "log", WEDDING)] == ["1", "2"]


def test_log_is_filtered(wedsync: Wedsync, system: System) -> None:
    """Every option of `wedding log` reaches the service."""
    words = (
        *("--field", "title", "--kind", "task", "--vendor", "tave", "--link", ITEM, "--actor", "ann"),
        *("--outcome", "merged", "--outcome", "conflicted", "--change", CHANGE, "--item", ITEM),
        *("--since", "2027-06-01T00:00Z", "--until", "2027-06-02T00:00Z", "--after", "7"),
    )
    assert wedsync("wedding", "log", WEDDING, *words).exit_code == 0
    request = system.asked[-1]
    assert (request.item_id, request.after_sequence) == (ITEM, 7)
    assert request.filter.start_time.ToJsonString() == "2027-06-01T00:00:00Z"
    assert request.filter.end_time.ToJsonString() == "2027-06-02T00:00:00Z"
    request.filter.ClearField("start_time")
    request.filter.ClearField("end_time")
    assert request.filter == service_pb2.ChangeFilter(
        path="title",
        item_kind=item_pb2.ITEM_KIND_TASK,
        vendor="tave",
        link_id=ITEM,
        actor="ann",
        outcomes=[change_pb2.OUTCOME_MERGED, change_pb2.OUTCOME_CONFLICTED],
        change_id=CHANGE,
    )


def test_pause_and_resume(wedsync: Wedsync, data: Data, system: System) -> None:
    """`wedding pause` says why to everybody and shows it; `wedding resume` shows the wedding going on."""
    assert "Rain" in wedsync("wedding", "pause", WEDDING, "--reason", "Rain").stdout
    assert data("wedding", "pause", WEDDING, "--reason", "Rain")["paused"] is True
    assert system.asked[0].request_id != system.asked[1].request_id
    assert "Ada & Grace" in wedsync("wedding", "resume", WEDDING).stdout
    assert data("wedding", "resume", WEDDING)["paused"] is False


def test_rewind(wedsync: Wedsync, data: Data, system: System) -> None:
    """`wedding rewind` shows each change with what became of it, and what stays with the reason."""
    assert "nothing to rewind" in wedsync("wedding", "rewind", WEDDING, "--to", "3").stdout
    content = item_pb2.ItemContent(timeline_event=item_pb2.TimelineEvent(title="Toast"))
    change = change_pb2.Change(
        change_id=CHANGE, item_id=ITEM, kind=change_pb2.CHANGE_KIND_UPDATE, content=content
    )
    change.update_mask.paths.append("title")
    system.rewound = service_pb2.RewindWeddingResponse(
        changes=[change],
        results=[change_pb2.ChangeResult(change_id=CHANGE, outcome=change_pb2.OUTCOME_APPLIED)],
        not_rewound=[service_pb2.NotRewound(item_id=ITEM, path="status", reason="stripe told it")],
        sequence=9,
    )
    shown = wedsync("wedding", "rewind", WEDDING, "--to", "3").stdout
    assert f"update timeline_event {ITEM}" in shown
    for part in ("title", "applied", "status", "stripe told it"):
        assert part in shown
    assert data("wedding", "rewind", WEDDING, "--to", "3")["sequence"] == "9"
    request = system.asked[-1]
    assert (request.to_sequence, request.dry_run, request.HasField("source")) == (3, False, False)


def test_rewind_of_one_source(wedsync: Wedsync, system: System) -> None:
    """Whose changes to undo may stand instead of a sequence; a dry run has no outcomes."""
    system.rewound.changes.add(change_id=CHANGE, item_id=ITEM, kind=change_pb2.CHANGE_KIND_DELETE)
    shown = wedsync("wedding", "rewind", WEDDING, "--vendor", "tave", "--actor", "a", "--dry-run")
    assert f"delete  {ITEM}" in shown.stdout
    request = system.asked[-1]
    assert (request.to_sequence, request.dry_run) == (0, True)
    assert request.source == service_pb2.SourceFilter(vendor="tave", actor="a")


def test_a_paused_wedding_is_said(wedsync: Wedsync, system: System) -> None:
    """A wedding that is paused shows why in every list."""
    system.weddings[0].paused, system.weddings[0].pause_reason = True, "Rain"
    assert "Rain" in wedsync("wedding", "list").stdout
    assert json.loads(wedsync("wedding", "list", "--json").stdout)[0]["pause_reason"] == "Rain"
