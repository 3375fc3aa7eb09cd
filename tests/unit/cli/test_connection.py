"""Which system the command talks to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.fakes import run_file_content
from wedsync.cli.connection import find_connection
from wedsync.errors import FailedPrecondition


def write_run_file(home: Path, **changes: Any) -> Path:
    """Write what a running system writes, with its key beside it."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "demo_key").write_text("wsk_from_file\n")
    content = run_file_content(
        **{"pid": os.getpid(), "home": str(home), "demo_key_file": str(home / "demo_key"), **changes}
    )
    (home / "run.json").write_text(json.dumps(content))
    return home / "run.json"


def gone_pid() -> int:
    """Return the id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(30)
    return process.pid


def test_home_from_the_environment(tmp_path: Path) -> None:
    """WEDSYNC_HOME names the system, wherever the command is run."""
    write_run_file(tmp_path / "home")
    connection = find_connection({"WEDSYNC_HOME": str(tmp_path / "home")}, tmp_path)
    assert connection.target("sync") == "127.0.0.1:2"
    assert connection.key() == "wsk_from_file"
    assert connection.http == "http://127.0.0.1:9"
    assert not connection.stale


def test_home_of_a_directory_above(tmp_path: Path) -> None:
    """Without WEDSYNC_HOME the nearest .wedsync upwards counts."""
    run_file = write_run_file(tmp_path / ".wedsync")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_connection({}, tmp_path / "a" / "b").run_file == run_file


def test_environment_wins(tmp_path: Path) -> None:
    """A target and a key from the environment are taken before those of the run file."""
    write_run_file(tmp_path / ".wedsync")
    given = {"WEDSYNC_SYNC_TARGET": "sync.example:443", "WEDSYNC_API_KEY": "wsk_given"}
    connection = find_connection(given, tmp_path)
    assert (connection.target("sync"), connection.target("gateway")) == ("sync.example:443", "127.0.0.1:1")
    assert connection.key() == "wsk_given"
    assert "wsk_given" not in repr(connection)


def test_nothing_found(tmp_path: Path) -> None:
    """Without either, the error names the file that was looked for and the variables to set."""
    connection = find_connection({}, tmp_path)
    with pytest.raises(FailedPrecondition, match=r"make run.*WEDSYNC_HEALTH_TARGET"):
        connection.target("health")
    with pytest.raises(FailedPrecondition, match="WEDSYNC_API_KEY"):
        connection.key()
    assert not connection.stale


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"pid": 1, "grpc": {}, "demo_key_file": "x"}'])
def test_broken_run_file(tmp_path: Path, content: str) -> None:
    """A run file that makes no sense is named, with the way out."""
    write_run_file(tmp_path / ".wedsync").write_text(content)
    with pytest.raises(FailedPrecondition, match=r"run\.json makes no sense.*remove"):
        find_connection({}, tmp_path)


def test_unreadable_key(tmp_path: Path) -> None:
    """A key that cannot be read says as whom to run."""
    write_run_file(tmp_path / ".wedsync")
    (tmp_path / ".wedsync" / "demo_key").unlink()
    with pytest.raises(FailedPrecondition, match="run as the user"):
        find_connection({}, tmp_path).key()


def test_left_behind(tmp_path: Path) -> None:
    """A run file whose process is gone is stale; one of another user's process is not."""
    write_run_file(tmp_path / "gone", pid=gone_pid())
    assert find_connection({"WEDSYNC_HOME": str(tmp_path / "gone")}).stale
    write_run_file(tmp_path / "init", pid=1)
    assert not find_connection({"WEDSYNC_HOME": str(tmp_path / "init")}).stale
