"""How far back `latency` looks, as people write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli.conftest import Wedsync
from tests.unit.cli.fakes import System
from wedsync.api.gateway.v1 import delivery_pb2

Data = Callable[..., Any]


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ((), 3600),
        (("--window", "90"), 90),
        (("--window", "90s"), 90),
        (("--window", "15m"), 900),
        (("--window", "1h"), 3600),
        (("--window", "7d"), 604_800),
    ],
    ids=["nothing", "bare", "seconds", "minutes", "hours", "a week"],
)
def test_a_window_is_written_with_its_unit(
    wedsync: Wedsync, system: System, written: tuple[str, ...], asked: int
) -> None:
    """Seconds, minutes, hours and days are understood; a bare number is seconds, no number an hour."""
    assert wedsync("latency", *written).exit_code == 0
    assert (system.asked[-1].wedding_id, system.asked[-1].window_seconds) == ("", asked)


@pytest.mark.parametrize("written", ["0", "8d", "169h", "-1h", "1.5h", "1 h", "soon", "", "9" * 30, "٣h"])
def test_what_is_no_window_is_a_usage_error(wedsync: Wedsync, system: System, written: str) -> None:
    """Neither nothing, nor words, nor more than a week: nobody is asked then."""
    assert wedsync("latency", "--window", written).exit_code == 2
    assert system.asked == []


def test_an_empty_answer_as_json_is_an_empty_list(wedsync: Wedsync, data: Data, system: System) -> None:
    """Programs get a list whatever was recorded; people are told where there was nothing."""
    assert data("latency") == []
    assert "Nothing was recorded" in wedsync("latency").stdout
    system.latency = [delivery_pb2.StageLatency(stage="total", count=2, p50_milliseconds=7)]
    assert data("latency")[0] == {
        "vendor": "",
        "stage": "total",
        "count": "2",
        "p50_milliseconds": 7.0,
        "p95_milliseconds": 0.0,
        "p99_milliseconds": 0.0,
    }
