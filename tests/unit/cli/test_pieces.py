"""The small parts: waterfall, output, errors in words, `up`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import pytest
import typer

from tests.unit.cli.fakes import journey
from wedsync.cli import main, waterfall
from wedsync.cli.output import clean, take
from wedsync.cli.session import explain, run
from wedsync.cli.up import start
from wedsync.errors import FieldViolation, InvalidRequest, StaleRevision, WedSyncError


def test_bars_stand_where_their_stages_were() -> None:
    """A bar begins and ends in proportion, the shortest is still seen, and an open end is marked."""
    rows = waterfall.rows(journey(("a", 0, 0.05), ("b", 0.05, 0.1), ("c", 0.1, 0.1), ("d", 0.02, None)))
    bars = waterfall.bars(rows)
    assert bars[0] == "█" * 20
    assert bars[1] == " " * 20 + "█" * 20
    assert bars[2] == " " * 39 + "█"
    assert bars[3] == " " * 8 + "…"


def test_a_moment_is_a_bar_too() -> None:
    """A journey that took no time has bars of one block."""
    assert waterfall.bars(waterfall.rows(journey(("a", 0, 0)))) == ["█"]
    assert waterfall.milliseconds(None) == "…"


def test_clean() -> None:
    """What could steer a terminal is replaced; letters of all languages stay."""
    assert clean("Zoë\x1b]0;x\x07\n") == "Zoë�]0;x��"


async def test_take_fetches_no_more() -> None:
    """Taking stops at the limit without asking for the next, and ends where the rows end."""
    asked = []

    async def rows() -> AsyncIterator[int]:
        for number in range(5):
            asked.append(number)
            yield number

    assert await take(rows(), 2) == [0, 1]
    assert asked == [0, 1]
    assert len(await take(rows(), 9)) == 5


def test_explain_names_fields() -> None:
    """A refused request names each field; what may be tried again says so."""
    error = InvalidRequest("Bad request.", violations=[FieldViolation("title", "must not be empty")])
    assert explain(error) == "Bad request; title must not be empty."
    assert explain(StaleRevision("It moved.")) == "It moved. Try again."


def test_run_ends_with_one() -> None:
    """An error ends with status 1, Ctrl-C with 130."""

    async def fails(error: BaseException) -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        run(fails(WedSyncError("no")))
    assert ended.value.exit_code == 1
    with pytest.raises(typer.Exit) as ended:
        run(fails(KeyboardInterrupt()))
    assert ended.value.exit_code == 130


def test_up_becomes_the_launcher() -> None:
    """`up` becomes `python -m services` of the same interpreter."""
    became = []
    start("services.launcher", lambda *words: became.append(words))
    assert became == [(sys.executable, [sys.executable, "-m", "services"])]


@pytest.mark.parametrize("launcher", ["wedsync.no_such_module", "no_such_package.launcher"])
def test_up_without_a_checkout(launcher: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no launcher `up` says what to do instead."""
    with pytest.raises(typer.Exit) as ended:
        start(launcher, lambda *words: pytest.fail(f"became {words}"))
    assert ended.value.exit_code == 1
    assert "make run" in capsys.readouterr().err


def test_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The installed command runs the command line and ends the process with its status."""
    monkeypatch.setattr(sys, "argv", ["wedsync", "vendor", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "list" in capsys.readouterr().out
