"""The commands that list and show, against in-process services."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli import fakes
from tests.unit.cli.conftest import Wedsync
from tests.unit.cli.fakes import CHANGE, ITEM, WEBHOOK, WEDDING, System
from wedsync.api.common.v1 import item_pb2
from wedsync.api.conflicts.v1 import service_pb2 as conflicts_pb2
from wedsync.api.gateway.v1 import delivery_pb2
from wedsync.api.health.v1 import service_pb2 as health_pb2
from wedsync.convert import source_to_message, value_to_message
from wedsync.model.items import ItemKind

Data = Callable[..., Any]


def test_no_grpc_for_help() -> None:
    """Asking for help loads neither gRPC nor protobuf, so that it is instant."""
    code = (
        "import sys; from wedsync.cli.app import app; "
        "print([m for m in ('grpc', 'google.protobuf', 'rich.console') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "words",
    [
        ("wedding", "show", "not-an-id"),
        ("tail",),
        ("webhooks", "--state", "lost"),
        ("wedding", "list", "--limit", "0"),
        ("wedding", "create", "--title", "x", "--date", "2027-13-01", "--time-zone", "UTC"),
        ("wedding", "create", "--title", "x", "--date", "2027-06-12", "--time-zone", "Mars/Base"),
        ("webhooks", "--since", "yesterday"),
        ("replay", "not-an-id"),
        ("deliveries", "retry", "not-an-id"),
        ("vendor", "plan", WEDDING, CHANGE, "--scope", "job_id"),
        ("no-such-command",),
    ],
)
def test_wrong_usage(wedsync: Wedsync, words: tuple[str, ...]) -> None:
    """A wrong word ends with status 2 before anything is called."""
    assert wedsync(*words).exit_code == 2


def test_wedding_list(wedsync: Wedsync, data: Data, system: System) -> None:
    """`wedding list` shows id, title, date, zone and log length; --json the resources."""
    shown = wedsync("wedding", "list").stdout
    assert all(part in shown for part in (WEDDING, "Ada & Grace", "2027-06-12", "Europe/Paris", "7"))
    assert data("wedding", "list")[0]["wedding_id"] == WEDDING
    system.weddings.clear()
    assert "wedsync wedding create" in wedsync("wedding", "list").stdout


def test_limit(data: Data, system: System) -> None:
    """--limit shows no more than so many."""
    system.weddings = [fakes.wedding()] * 3
    assert len(data("wedding", "list", "--limit", "2")) == 2


def test_wedding_show(wedsync: Wedsync, data: Data) -> None:
    """`wedding show` shows the items with what they say and which fields are held; ids in capitals do too."""
    shown = wedsync("wedding", "show", WEDDING.upper()).stdout
    assert "title: First dance; location: Terrace; tags: music, party" in shown
    assert "notes" not in shown
    said = data("wedding", "show", WEDDING)
    assert (said["wedding"]["title"], said["items"][0]["item_id"]) == ("Ada & Grace", ITEM)


def test_wedding_create(wedsync: Wedsync, data: Data, system: System) -> None:
    """`wedding create` makes a wedding of title, day and zone and shows it."""
    words = ("wedding", "create", "--title", "Eve & Mia", "--date", "2028-02-29", "--time-zone", "Asia/Tokyo")
    assert "Eve & Mia" in wedsync(*words).stdout
    assert data(*words)["date"] == {"year": 2028, "month": 2, "day": 29}
    assert system.asked[-1].wedding.time_zone == "Asia/Tokyo"


def test_tail(wedsync: Wedsync, system: System) -> None:
    """`tail` shows each entry with who set what, and says where it starts."""
    lines = wedsync("tail", WEDDING, "--after", "0").stdout.splitlines()
    assert lines[0].startswith("watching from sequence 0")
    assert "tave  update timeline_event" in lines[1]
    assert lines[1].endswith("title: (nothing) → First dance")
    assert "ann" in lines[2]
    assert lines[2].endswith("(conflicted)")
    assert system.asked[0].after_sequence == 0


def test_tail_as_json(wedsync: Wedsync) -> None:
    """`tail --json` prints one entry per line and nothing else."""
    lines = wedsync("tail", WEDDING, "--json").stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == ["1", "2"]


def test_vendor_list(wedsync: Wedsync, data: Data) -> None:
    """`vendor list` says what can be written where and what connecting needs."""
    shown = wedsync("vendor", "list").stdout
    assert "timeline_event (create update), contact (read only)" in shown
    assert "api_key, job_id" in shown
    assert data("vendor", "list")[0]["bridge_class"] == "rest_hook"


def test_journey(wedsync: Wedsync, data: Data, system: System) -> None:
    """`journey` prints each stage with its offset, duration and bar, and the trace."""
    stages = (("detected", 0.0, 0.010), ("committed", 0.010, 0.030), ("tave: due", 0.030, None))
    system.journeys[CHANGE] = fakes.journey(*stages, complete=False)
    shown = wedsync("journey", CHANGE).stdout
    assert "trace 4bf92f3577b34da6a3ce929d0e0e4736  under way" in shown
    committed = next(line for line in shown.splitlines() if line.startswith("committed"))
    assert committed.split()[1:3] == ["10.0", "20.0"]
    assert "█" in committed
    said = data("journey", CHANGE)
    assert [stage["start_ms"] for stage in said["stages"]] == [0.0, 10.0, 30.0]
    assert [stage["duration_ms"] for stage in said["stages"]] == [10.0, 20.0, None]
    assert said["complete"] is False


def test_journey_says_what_happened(wedsync: Wedsync, data: Data, system: System) -> None:
    """`journey` begins with what happened, in words."""
    told = fakes.journey(("detected", 0.0, 0.010))
    told.summary = "tave sent a webhook. It changed nothing: an echo of a write of ours."
    system.journeys[CHANGE] = told
    assert told.summary in wedsync("journey", CHANGE).stdout
    assert data("journey", CHANGE)["summary"] == told.summary


def test_latency(wedsync: Wedsync, data: Data, system: System) -> None:
    """`latency` shows each stage's percentiles by vendor, and says when nothing was recorded."""
    assert "Nothing was recorded in that time." in wedsync("latency").stdout
    system.latency = [
        delivery_pb2.StageLatency(
            vendor="tave",
            stage="call",
            count=3,
            p50_milliseconds=20.04,
            p95_milliseconds=30,
            p99_milliseconds=31,
        )
    ]
    shown = wedsync("latency", "--wedding", WEDDING, "--window", "60").stdout
    assert (system.asked[-1].wedding_id, system.asked[-1].window_seconds) == (WEDDING, 60)
    assert ["tave", "call", "3", "20.0", "30.0", "31.0"] in [line.split() for line in shown.splitlines()]
    assert data("latency")[0]["p99_milliseconds"] == 31


def test_journey_without_stages(wedsync: Wedsync, system: System) -> None:
    """A journey of which nothing is recorded yet says so."""
    system.journeys[CHANGE] = delivery_pb2.Journey(journey_id=CHANGE, complete=True)
    shown = wedsync("journey", CHANGE).stdout
    assert "trace none  complete" in shown
    assert "Nothing is recorded yet." in shown


def test_webhooks(wedsync: Wedsync, data: Data, system: System) -> None:
    """`webhooks --state parked` asks for these only and shows why each is parked."""
    parked = delivery_pb2.Webhook(
        webhook_id=WEBHOOK,
        vendor="tave",
        state="parked",
        reason="event/1: no\x1b[31m name",
        accept_time=fakes.stamp(0),
        change_ids=[CHANGE],
    )
    system.webhooks = [parked, delivery_pb2.Webhook(webhook_id=WEBHOOK, state="received")]
    shown = wedsync("webhooks", "--state", "parked", "--vendor", "tave").stdout
    assert (system.asked[-1].state, system.asked[-1].vendor) == ("parked", "tave")
    assert "no\N{REPLACEMENT CHARACTER}[31m name" in shown
    assert data("webhooks")[0]["change_ids"] == [CHANGE]


def test_deliveries(wedsync: Wedsync, data: Data, system: System) -> None:
    """`deliveries` shows what became of each duty towards a vendor."""
    assert "no deliveries yet" in wedsync("deliveries", "list", WEDDING).stdout
    system.deliveries = [delivery_pb2.Delivery(delivery_id=CHANGE, vendor="tave", state="held", attempts=2)]
    assert "held" in wedsync("deliveries", "list", WEDDING).stdout
    assert data("deliveries", "list", WEDDING)[0]["attempts"] == 2


def claim(text: str, source: Any) -> conflicts_pb2.Claim:
    """Return one side of a conflict about a place."""
    value = value_to_message(ItemKind.TIMELINE_EVENT, "location", text)
    return conflicts_pb2.Claim(value=value, source=source_to_message(source))


def test_conflicts(wedsync: Wedsync, data: Data, system: System) -> None:
    """`conflicts list` shows both values, who wants each, and how it ended."""
    assert "no conflicts" in wedsync("conflicts", "list").stdout

    system.conflicts = [
        conflicts_pb2.Conflict(
            conflict_id=CHANGE,
            path="location",
            current=claim("Terrace", fakes.ANN),
            proposed=claim("Garden", fakes.TAVE),
            state=conflicts_pb2.CONFLICT_STATE_OPEN,
        ),
        conflicts_pb2.Conflict(
            conflict_id=CHANGE,
            path="location",
            state=conflicts_pb2.CONFLICT_STATE_RESOLVED,
            final=claim("Orangery", fakes.ANN),
        ),
    ]
    shown = wedsync("conflicts", "list", "--wedding", WEDDING).stdout
    assert "Terrace (ann)" in shown
    assert "Garden (tave)" in shown
    assert "open" in shown
    assert "resolved: Orangery (ann)" in " ".join(shown.split())
    assert system.asked[-1].wedding_id == WEDDING
    assert data("conflicts", "list")[0]["path"] == "location"


def a_conflict(**but: Any) -> conflicts_pb2.Conflict:
    """Return a conflict about a place, of which only what is said differs."""
    fields = {
        "conflict_id": CHANGE,
        "path": "location",
        "item_kind": item_pb2.ITEM_KIND_TIMELINE_EVENT,
        "current": claim("Terrace", fakes.ANN),
        "proposed": claim("Garden", fakes.TAVE),
        "summary": "Location of a timeline event: Terrace (ann) or Garden (tave)?",
        **but,
    }
    return conflicts_pb2.Conflict(**fields)


def test_conflicts_show(wedsync: Wedsync, data: Data, system: System) -> None:
    """`conflicts show` says what it is about, both values, who and since when."""
    found = a_conflict()
    found.current.set_time.CopyFrom(fakes.stamp(0))
    system.conflicts = [found]
    shown = wedsync("conflicts", "show", CHANGE).stdout
    assert found.summary in shown
    current = next(line for line in shown.splitlines() if line.startswith("current"))
    assert all(part in current for part in ("Terrace", "ann", "2027"))
    assert "proposed" in shown
    assert data("conflicts", "show", CHANGE)["path"] == "location"


@pytest.mark.parametrize(
    ("options", "choice", "text"),
    [
        (["--keep"], conflicts_pb2.CHOICE_CURRENT, ""),
        (["--take", "--note", "as asked"], conflicts_pb2.CHOICE_PROPOSED, ""),
        (["--value", "Orangery"], conflicts_pb2.CHOICE_VALUE, "Orangery"),
    ],
)
def test_conflicts_resolve(
    wedsync: Wedsync, system: System, options: list[str], choice: int, text: str
) -> None:
    """`conflicts resolve` takes either side or a third value, and shows what was decided."""
    decision = conflicts_pb2.Decision(reason="as asked", decide_time=fakes.stamp(0))
    final = claim("Orangery", fakes.ANN)
    system.conflicts = [a_conflict(), a_conflict(decision=decision, final=final)]
    shown = wedsync("conflicts", "resolve", CHANGE, *options).stdout
    assert (system.asked[-1].choice, system.asked[-1].value.text) == (choice, text)
    assert "Orangery" in shown
    assert ": as asked" in shown


@pytest.mark.parametrize(
    "options", [[], ["--keep", "--take"], ["--keep", "--value", "x"], ["--value", "x" * 5000]]
)
def test_conflicts_resolve_needs_one_good_choice(
    wedsync: Wedsync, system: System, options: list[str]
) -> None:
    """No choice, two of them, and a value the field cannot hold are usage errors; nothing is decided."""
    system.conflicts = [a_conflict()]
    assert wedsync("conflicts", "resolve", CHANGE, *options).exit_code == 2
    assert not any(isinstance(asked, conflicts_pb2.ResolveConflictRequest) for asked in system.asked)


def test_health(wedsync: Wedsync, data: Data, system: System) -> None:
    """`health` shows freshness and success rate, and tells no tries from no success."""
    system.health = [
        health_pb2.IntegrationHealth(
            vendor="tave",
            last_success_time=fakes.stamp(0),
            freshness_seconds=1.25,
            success_rate=0.975,
            attempts=40,
        ),
        health_pb2.IntegrationHealth(vendor="apple_calendar", last_error="refused"),
    ]
    shown = wedsync("health").stdout
    assert "1.2 s ago" in shown
    assert "97.5% of 40" in shown
    assert "never" in shown
    assert "no tries" in shown
    assert data("health")[0]["attempts"] == "40"


def test_unknown_wedding(wedsync: Wedsync) -> None:
    """A refusal by a service is one line on stderr and status 1."""
    result = wedsync("wedding", "show", ITEM)
    assert result.exit_code == 1
    assert result.stderr == "wedsync: There is no such wedding, or the caller may not see it.\n"


def test_wrong_key(wedsync: Wedsync) -> None:
    """A refused key names the variable to set."""
    result = wedsync("wedding", "list", WEDSYNC_API_KEY="other")
    assert result.exit_code == 1
    assert "WEDSYNC_API_KEY" in result.stderr


def test_nobody_answers(wedsync: Wedsync) -> None:
    """A service that does not answer leads to the doctor."""
    result = wedsync("conflicts", "list", WEDSYNC_CONFLICTS_TARGET="127.0.0.1:1")
    assert result.exit_code == 1
    assert "wedsync doctor" in result.stderr


def test_nothing_runs(wedsync: Wedsync) -> None:
    """Without a system and without settings it says how to start one."""
    result = wedsync("wedding", "list", WEDSYNC_SYNC_TARGET="", WEDSYNC_API_KEY="")
    assert result.exit_code == 1
    assert "make run" in result.stderr
