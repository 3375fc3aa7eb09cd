from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.processes import eventually, mentioning

_PROGRAM = Path(__file__).parents[2] / "support" / "standin_stack.py"


class Stack:
    """`python -m services` with stand-ins for the services, in a process of its own."""

    def __init__(self, home: Path, prefix: list[str], **environment: str) -> None:
        self.home = home
        self.output = home.with_suffix(".out")
        with self.output.open("ab") as out:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, str(_PROGRAM), "--ports", "auto"],
                env={**os.environ, "WEDSYNC_HOME": str(home), **environment},
                stdout=out,
                stderr=out,
            )

    def said(self) -> str:
        """Return what it wrote to the terminal."""
        return self.output.read_text()

    def facts(self) -> dict[str, Any]:
        """Return what it tells other programs about itself."""
        result: dict[str, Any] = json.loads((self.home / "run.json").read_text())
        return result

    def ready(self) -> Stack:
        """Wait until it says where it is."""
        eventually(self._is_ready, 45, f"the system is up: {self.said()}")
        return self

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.said()
        return (self.home / "run.json").exists() and self.facts()["pid"] == self.process.pid

    def end(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(signum)
        return self.process.wait(40)


class Stacks:
    """Starts stacks on one home directory and makes sure that none stays."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.prefix: list[str] = []
        self._started: list[Stack] = []

    def start(self, **environment: str) -> Stack:
        """Start one, not waiting until it is ready."""
        self._started.append(Stack(self.home, self.prefix, **environment))
        return self._started[-1]

    def no_process_left(self) -> None:
        """Fail unless every process is gone."""
        eventually(lambda: not mentioning(str(self.home)), 15, "no process of the system is left")

    def nothing_left(self) -> None:
        """Fail unless every process and every file that is not data is gone."""
        self.no_process_left()
        left = {path.name for path in self.home.iterdir()}
        assert left <= {"logs", "postgres", "postgres.port", "secrets"}

    def close(self) -> None:
        """End what still runs."""
        for stack in self._started:
            if stack.process.poll() is None:
                stack.end()


@pytest.fixture
def stacks() -> Iterator[Stacks]:
    """A home directory, and the systems started on it."""
    directory = Path(tempfile.mkdtemp(prefix="wedsync-stack-"))
    stacks = Stacks(directory / "home")
    yield stacks
    stacks.close()
    shutil.rmtree(directory)


def test_a_stack_starts_heals_refuses_a_second_one_and_ends_without_a_trace(stacks: Stacks) -> None:
    """One life: up, a killed service comes back, a second start names the first, SIGINT leaves nothing."""
    stack = stacks.start().ready()
    facts = stack.facts()
    assert set(facts["pids"]) == {"postgres", "valkey", "ray", "tave", "gateway", "sync"}
    assert (stack.home / "run.json").stat().st_mode & 0o777 == 0o600
    assert Path(facts["demo_key_file"]).read_text() in stack.said()

    os.kill(facts["pids"]["gateway"], signal.SIGKILL)
    os.kill(facts["pids"]["valkey"], signal.SIGKILL)
    eventually(
        lambda: all(
            stack.facts()["pids"].get(name) not in {None, facts["pids"][name]}
            for name in ("gateway", "valkey")
        ),
        15,
        "the killed ones run again",
    )
    assert stack.facts()["pids"]["sync"] == facts["pids"]["sync"]

    second = stacks.start()
    assert second.process.wait(20) == 1
    assert f"pid {stack.process.pid}" in second.said()
    assert "WEDSYNC_PORTS=auto" in second.said()

    assert stack.end(signal.SIGINT) == 0
    ended = [line.split()[1] for line in stack.said().splitlines() if line.startswith("  -- ")]
    assert set(ended[:2]) == {"gateway", "sync"}
    assert ended[2:] == ["tave", "ray", "valkey", "postgres"]
    stacks.nothing_left()


def test_a_killed_supervisor_takes_everything_with_it_and_the_next_start_recovers(stacks: Stacks) -> None:
    """Kill -9 of the supervisor ends every child; the next start works on the same data and keys."""
    stack = stacks.start().ready()
    key = Path(stack.facts()["demo_key_file"]).read_text()
    scratch = Path((stack.home / "ray_scratch").read_text())
    assert stack.end(signal.SIGKILL) == -signal.SIGKILL
    stacks.no_process_left()
    assert not scratch.exists()

    again = stacks.start().ready()
    assert Path(again.facts()["demo_key_file"]).read_text() == key
    assert again.end() == 0
    stacks.nothing_left()


def test_a_child_that_does_not_come_up_is_shown_and_nothing_stays(stacks: Stacks) -> None:
    """A service that dies at its start ends the start: its last words are printed and all else is ended."""
    stack = stacks.start(
        STANDIN_GATEWAY="raise SystemExit('no such setting')",
        STANDIN_PROBE="never",
        WEDSYNC_RAY_ADDRESS="x:1",
    )
    assert stack.process.wait(45) == 1
    assert "no such setting" in stack.said()
    stacks.nothing_left()


def test_a_second_signal_does_not_wait_for_anybody(stacks: Stacks) -> None:
    """A service that ignores SIGTERM delays the end only until somebody asks again."""
    stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()"
    stack = stacks.start(STANDIN_GATEWAY=stubborn, STANDIN_PATIENCE="60", WEDSYNC_RAY_ADDRESS="x:1").ready()
    stack.process.send_signal(signal.SIGTERM)
    eventually(lambda: "stopping" in stack.said(), 5, "the end has begun")
    assert stack.end() == 0
    stacks.nothing_left()


def test_an_ordinary_user_can_run_it(stacks: Stacks) -> None:
    """Nothing needs root: a start, and an end that leaves nothing, as an account that is not root."""
    uid = os.geteuid()
    if uid == 0:
        account = pwd.getpwnam("nobody")
        uid = account.pw_uid
        os.chown(stacks.home.parent, uid, account.pw_gid)
        # The account may read, as it could an installation made for it, and nothing more.
        reading = "-all,+dac_read_search"
        stacks.prefix = [
            *("setpriv", f"--reuid={uid}", f"--regid={account.pw_gid}", "--clear-groups"),
            *(f"--inh-caps={reading}", f"--ambient-caps={reading}", f"--bounding-set={reading}"),
        ]
    stack = stacks.start().ready()
    assert psutil.Process(stack.facts()["pids"]["postgres"]).uids().real == uid
    assert stack.end() == 0
    stacks.nothing_left()
