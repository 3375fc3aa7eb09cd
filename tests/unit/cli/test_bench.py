"""What `wedsync bench` hands on, and what it says of what was found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Wedsync
from wedsync.cli import bench
from wedsync.cli.bench import loaded, show
from wedsync.cli.connection import Connection
from wedsync.errors import FailedPrecondition

FOUND: dict[str, Any] = {
    "achieved_rate": 49.5,
    "accepted": 495,
    "lost": 0,
    "doubled": 0,
    "rejected": 0,
    "cores": 0.2,
    "latency_ms": {"accept": {"p50": 4.0, "p95": 6.0, "p99": 9.0, "max": 12.0}, "commit": {}},
    "cpu_us_per_webhook": {"all": 4000, "gateway": 3000, "health": 0},
    "ratios": {"http_accept_alone": 0.025},
    "problems": ["edit 3 of record 1: log"],
}


def running(tmp_path: Path, pid: int) -> Connection:
    """Return a connection to a system that this process stands for."""
    run = {"pid": pid, "home": str(tmp_path)}
    return Connection(targets={}, run_file=tmp_path / "run.json", run=run, given_key="k")


def test_without_a_running_system_it_says_how_to_start_one(wedsync: Wedsync) -> None:
    """The command fails with a line that names the cure."""
    result = wedsync("bench", "steady")
    assert result.exit_code == 1
    assert "make run" in result.stderr


def test_the_load_is_told_the_scenario_the_system_and_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the key by its environment, never by its command line, and its findings come back."""
    (tmp_path / "told.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps({'told': sys.argv[1:], 'key': os.environ['WEDSYNC_API_KEY']}))"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = loaded(running(tmp_path, os.getpid()), "steady", {"rate": 5, "fan-out": 2}, program="told")
    assert found["key"] == "k"
    assert found["told"] == ["steady", "--home", str(tmp_path), "--rate", "5", "--fan-out", "2"]


def test_a_load_that_ends_without_findings_is_an_error(tmp_path: Path) -> None:
    """Nothing is made up for it."""
    with pytest.raises(FailedPrecondition):
        loaded(running(tmp_path, os.getpid()), "steady", {}, program="json.tool.missing")


@pytest.mark.parametrize("name", ["lost", "doubled", "rejected"])
def test_what_is_lost_doubled_or_rejected_fails_the_command(
    wedsync: Wedsync, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The figures are printed all the same."""
    monkeypatch.setattr(bench, "loaded", lambda *_, **__: {**FOUND, name: 1})
    result = wedsync("bench", "steady", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)[name] == 1


def test_the_findings_are_shown_with_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """Stages by line, the CPU of what used any, ratios, and the first problems."""
    show({**FOUND, "knee": 50})
    said = capsys.readouterr().out
    assert "accept" in said
    assert "all 4000, gateway 3000\n" in said
    assert "2.5% of http accept alone" in said
    assert "edit 3 of record 1: log" in said
    assert "50/s" in said
