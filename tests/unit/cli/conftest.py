"""A running system for the command line to talk to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.unit.cli.fakes import System, environment, serving
from wedsync.cli.app import app

Wedsync = Callable[..., Result]


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("GATEWAY_TARGET", "SYNC_TARGET", "CONFLICTS_TARGET", "HEALTH_TARGET", "API_KEY", "HOME"):
        monkeypatch.delenv(f"WEDSYNC_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def system() -> System:
    """What the services answer."""
    return System()


@pytest.fixture
def target(system: System) -> Iterator[str]:
    """Where they are."""
    with serving(system) as address:
        yield address


@pytest.fixture
def wedsync(target: str) -> Wedsync:
    """Run a command against them."""

    def invoke(*arguments: str, **changes: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env={**environment(target), **changes})

    return invoke


@pytest.fixture
def data(wedsync: Wedsync) -> Callable[..., Any]:
    """Run a command with --json and return what it says."""

    def invoke(*arguments: str) -> Any:
        result = wedsync(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return invoke
