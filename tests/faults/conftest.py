"""The bench of all fault tests, and the table of what each fault cost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.faults.bench import Bench, running_bench
from tests.faults.load import Crowd
from tests.faults.replica import Replica
from tests.faults.report import Line, table
from tests.faults.trial import Trial, running_trial
from tests.support.processes import eventually, mentioning

WEDDINGS = 6

_LINES = pytest.StashKey[list[Line]]()

StartTrial = Callable[..., AbstractAsyncContextManager[Trial]]


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    """PostgreSQL, Valkey, Ray and receivers; at the end nothing of them is left."""
    with tempfile.TemporaryDirectory(prefix="wedsync-faults-") as place:
        home = Path(place) / "home"
        with running_bench(home) as running:
            yield running
        eventually(lambda: not mentioning(str(home)), 10, "no process of the bench is left")


@pytest.fixture(scope="session")
def sync(bench: Bench) -> Iterator[Replica]:
    """One sync service."""
    with bench.replica("sync") as replica:
        yield replica


@pytest.fixture
def start_trial(bench: Bench, sync: Replica, request: pytest.FixtureRequest) -> StartTrial:
    """Puts weddings under load for one named fault."""
    lines = lines_of(request.config)

    def start(fault: str, *replicas: Replica) -> AbstractAsyncContextManager[Trial]:
        targets = [replica.target for replica in replicas or (sync,)]
        return running_trial(bench, targets, Crowd(weddings=WEDDINGS, seed=1), fault=fault, lines=lines)

    return start


def lines_of(config: pytest.Config) -> list[Line]:
    """Return the report so far."""
    return config.stash.setdefault(_LINES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what each fault cost."""
    if lines := lines_of(config):
        terminalreporter.section("recovery from faults under load")
        terminalreporter.write("\n".join(table(lines)) + "\n")
