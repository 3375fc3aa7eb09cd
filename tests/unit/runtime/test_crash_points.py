"""A crash point acts once, where it is armed, and otherwise not at all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from services.sync.crash_points import AFTER_COMMIT, BEFORE_COMMIT
from wedsync.runtime import crash_points
from wedsync.runtime.crash_points import points


def test_an_armed_point_acts_once(tmp_path: Path) -> None:
    """The process that reaches it gets the signal, and the file then says which process that was."""
    sent: list[tuple[int, int]] = []
    reach = points(str(tmp_path), lambda pid, number: sent.append((pid, number)))
    reach(AFTER_COMMIT)
    (tmp_path / AFTER_COMMIT).write_text("STOP")
    reach(BEFORE_COMMIT)
    assert sent == []
    reach(AFTER_COMMIT)
    reach(AFTER_COMMIT)
    assert sent == [(os.getpid(), signal.SIGSTOP)]
    assert [path.name for path in tmp_path.iterdir()] == [f"{AFTER_COMMIT}.{os.getpid()}"]


def test_a_point_armed_for_one_process_waits_for_it(tmp_path: Path) -> None:
    """Others pass it, and it stays armed."""
    sent: list[int] = []
    reach = points(str(tmp_path), lambda _, number: sent.append(number))
    (tmp_path / AFTER_COMMIT).write_text(f"KILL {os.getppid()}")
    reach(AFTER_COMMIT)
    assert sent == []
    (tmp_path / AFTER_COMMIT).write_text(f"KILL {os.getpid()}")
    reach(AFTER_COMMIT)
    assert sent == [signal.SIGKILL]


@pytest.mark.parametrize("directory", [None, "", "/nowhere/at/all"])
def test_without_a_directory_nothing_happens(directory: str | None) -> None:
    """No variable, an empty one, one that names nothing: reaching a point does nothing."""
    sent: list[int] = []
    points(directory, lambda _, number: sent.append(number))(AFTER_COMMIT)
    assert sent == []


def test_nobody_has_it_by_accident() -> None:
    """A process without the variable, such as this one, cannot be armed."""
    assert crash_points.DIRECTORY not in os.environ
    assert crash_points.reach.__name__ == "<lambda>"
