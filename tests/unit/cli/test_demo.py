"""The demo from its first word to its last, in a world of its own."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from tests.unit.cli.demo_world import NOBODY_ANSWERS, SANDBOX, Gateway, Sync, World
from tests.unit.cli.fakes import NOON
from tests.unit.cli.test_connection import gone_pid, write_run_file
from wedsync.cli.app import app
from wedsync.cli.connection import find_connection
from wedsync.cli.demo.performance import tell
from wedsync.cli.demo.sandbox import find_sandbox
from wedsync.cli.demo.screen import Data, Screen, Terminal
from wedsync.client import GatewayClient, SyncClient
from wedsync.errors import FailedPrecondition


class QuickClock:
    """Time that passes only in sleeps, at once."""

    def __init__(self) -> None:
        self._elapsed = 0.0

    def now(self) -> datetime:
        """Return a time shortly before the journeys begin."""
        return NOON - timedelta(seconds=0.5)

    def monotonic(self) -> float:
        """Return what was slept."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Let everybody else run once, and call it that long."""
        self._elapsed += seconds
        await asyncio.sleep(0)


async def play(world: World, screen: Screen, *, keep: bool = False) -> bool:
    """Tell the demo."""
    return await tell(
        screen,
        cast("SyncClient", Sync(world)),
        cast("GatewayClient", Gateway(world)),
        SANDBOX,
        send=world.send,
        clock=QuickClock(),
        keep=keep,
    )


async def told(world: World, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    """Return what --json prints."""
    ok = await play(world, Data(), **options)
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert said["ok"] is ok
    return said


async def test_eight_steps_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    """--json tells eight steps, each with arrival times and the stages of every change's journey."""
    said = await told(World(), capsys)
    assert said["ok"]
    assert [step["step"] for step in said["steps"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [sorted(step["arrived_ms"]) for step in said["steps"]] == [
        ["apple_calendar"],
        ["tave"],
        ["apple_calendar", "tave"],
        ["apple_calendar", "tave"],
        ["apple_calendar", "slack", "tave"],
        ["tave"],
        ["tave"],
        ["slack"],
    ]
    assert [len(step["journeys"]) for step in said["steps"]] == [1, 2, 1, 2, 1, 1, 1, 1]
    assert {path["source"] for path in said["steps"][3]["journeys"]} == {"tave", "apple_calendar"}
    path = said["steps"][2]["journeys"][0]
    assert (path["source"], path["detected_ms"], path["processed_ms"]) == ("demo", 500.0, 50.0)
    assert [stage["stage"] for stage in path["stages"]] == ["detected", "tave: delivered"]


async def test_taken_down(capsys: pytest.CaptureFixture[str]) -> None:
    """At the end the links are paused and the rest hooks are gone, so that it can be played for ever."""
    world = World()
    await told(world, capsys)
    assert (sorted(world.paused), world.hooks) == (["apple_calendar", "slack", "stripe", "tave"], {})
    assert world.told == {"stripe": "http://gateway/hooks/stripe", "slack": ""}


async def test_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """--keep leaves the links alive and Tave's hooks pointing at the gateway."""
    world = World()
    await told(world, capsys, keep=True)
    assert world.paused == []
    assert world.hooks["job.created"] == "http://gateway/hooks/tave?event=job.created"


async def test_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """In the terminal each step shows its times and its waterfall."""
    assert await play(World(), Terminal())
    shown = capsys.readouterr().out
    assert "1. created in Tave, appears in the calendar" in shown
    assert "6. deleted in the calendar, disappears from Tave" in shown
    assert "noticed after 500 ms, then 50 ms" in shown
    assert "tave: delivered" in shown
    assert shown.rstrip().endswith("shows one again.")


async def test_what_never_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    """An edit that does not arrive within the limit ends the demo, naming where it is missing."""
    world = World(deaf=True)
    said = await told(world, capsys)
    assert not said["ok"]
    assert said["error"].startswith("Waited 20 s in vain: created in Tave")
    assert said["steps"] == []
    assert sorted(world.paused) == ["apple_calendar", "slack", "stripe", "tave"]
    assert not await play(World(deaf=True), Terminal())
    assert "wedsync: Waited 20 s in vain" in capsys.readouterr().err


async def test_subscription_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    """A live log that ends with an error ends the demo with it, not with a time-out."""
    said = await told(World(watch_error=NOBODY_ANSWERS), capsys)
    assert said["error"].startswith("The sync service is gone")


async def test_taking_down_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be taken down in the end does not spoil what was shown."""
    assert (await told(World(pause_error=OSError("gone")), capsys))["ok"]


@pytest.fixture
def sandbox_home(tmp_path: Path) -> Path:
    """A run file with the sandbox's account beside it."""
    home = tmp_path / ".wedsync"
    write_run_file(home)
    (home / "sandbox" / "radicale").mkdir(parents=True)
    account = {"url": "http://127.0.0.1:4/", "username": "couple", "password": "secret"}
    (home / "sandbox" / "radicale" / "account.json").write_text(json.dumps(account))
    return home


def test_sandbox(sandbox_home: Path) -> None:
    """The sandbox's addresses come from the run file, its account from its own; no repr shows a secret."""
    sandbox = find_sandbox(find_connection({}, sandbox_home.parent))
    assert sandbox.tave_url == "http://127.0.0.1:3/api/v2"
    assert sandbox.calendar_url("x") == "http://127.0.0.1:4/couple/x/"
    assert "secret" not in repr(sandbox)


def test_no_sandbox(sandbox_home: Path, tmp_path: Path) -> None:
    """Without a running system, or with a broken account, the demo says what it needs."""
    elsewhere = tmp_path / "elsewhere"
    for connection in (
        find_connection({"WEDSYNC_HOME": str(elsewhere)}),
        find_connection({"WEDSYNC_HOME": str(write_run_file(elsewhere, pid=gone_pid()).parent)}),
    ):
        with pytest.raises(FailedPrecondition, match="make run"):
            find_sandbox(connection)
    (sandbox_home / "sandbox" / "radicale" / "account.json").write_text("{}")
    with pytest.raises(FailedPrecondition, match="start the system again"):
        find_sandbox(find_connection({}, sandbox_home.parent))


def test_command_without_a_system(sandbox_home: Path) -> None:
    """`wedsync demo` without a system ends with status 1 and how to start one."""
    result = CliRunner().invoke(app, ["demo"], env={"WEDSYNC_HOME": str(sandbox_home / "none")})
    assert result.exit_code == 1
    assert "make run" in result.stderr


@pytest.mark.parametrize("words", [["demo"], ["demo", "--json"]])
def test_command_when_services_are_gone(sandbox_home: Path, words: list[str]) -> None:
    """`wedsync demo` against services that do not answer fails in one line and with status 1."""
    result = CliRunner().invoke(app, words)
    assert os.getpid() == find_connection({}, sandbox_home.parent).run["pid"]
    assert result.exit_code == 1
    assert "UNAVAILABLE" in result.output
