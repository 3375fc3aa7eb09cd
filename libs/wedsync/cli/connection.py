"""Which system the command talks to: what the environment says, else the `run.json` of a running one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wedsync.errors import FailedPrecondition

SERVICES = ("gateway", "sync", "conflicts", "health")
HOME, API_KEY = "WEDSYNC_HOME", "WEDSYNC_API_KEY"

_DIRECTORY, _RUN_FILE = ".wedsync", "run.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where each service is and the key to it. Whatever is missing is asked for only when needed."""

    targets: Mapping[str, str]
    run_file: Path
    """Where a running system says where it is; it need not exist."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """Its content; empty where nothing runs."""
    given_key: str | None = field(default=None, repr=False)

    def target(self, service: str) -> str:
        """Return the `host:port` of a service. Raises `FailedPrecondition` saying how to get one."""
        if service in self.targets:
            return self.targets[service]
        raise FailedPrecondition(
            f"No running system found: there is no {self.run_file}. Start one with `make run`, "
            f"or set {target_variable(service)} and {API_KEY}."
        )

    def key(self) -> str:
        """Return the API key. Raises `FailedPrecondition` if there is none."""
        if self.given_key:
            return self.given_key
        if not self.run:
            raise FailedPrecondition(f"No API key: set {API_KEY}.")
        return _read(Path(self.run["demo_key_file"])).strip()

    @property
    def http(self) -> str | None:
        """The gateway's public address, where a run file names it."""
        return self.run.get("http")

    @property
    def stale(self) -> bool:
        """Whether the run file was left behind by a system that is gone."""
        return bool(self.run) and not _lives(int(self.run["pid"]))


def find_connection(
    environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> Connection:
    """Read the environment and the run file. Raises `FailedPrecondition` if the file makes no sense."""
    given = os.environ if environment is None else environment
    run_file = _run_file(given, directory or Path.cwd())
    run = _parsed(run_file) if run_file.exists() else {}
    named = {name: value for name in SERVICES if (value := given.get(target_variable(name)))}
    return Connection(
        targets={**run.get("grpc", {}), **named},
        run_file=run_file,
        run=run,
        given_key=given.get(API_KEY) or None,
    )


def target_variable(service: str) -> str:
    """Return the name of the variable that says where a service is."""
    return f"WEDSYNC_{service.upper()}_TARGET"


def _run_file(environment: Mapping[str, str], directory: Path) -> Path:
    """Return the run file of WEDSYNC_HOME, else the nearest one from the directory upwards."""
    if home := environment.get(HOME):
        return Path(home).expanduser().absolute() / _RUN_FILE
    candidates = [parent / _DIRECTORY / _RUN_FILE for parent in (directory, *directory.parents)]
    return next(filter(Path.exists, candidates), candidates[0])


def _parsed(run_file: Path) -> dict[str, Any]:
    try:
        run = json.loads(_read(run_file))
        if run["pid"] and run["grpc"] and run["demo_key_file"]:
            return dict(run)
    except (ValueError, KeyError, TypeError):
        pass
    raise FailedPrecondition(f"{run_file} makes no sense: stop the system, remove the file, start again.")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise FailedPrecondition(
            f"Cannot read {path} ({error.strerror}): run as the user who started the system, or set {API_KEY}"
            " and the WEDSYNC_…_TARGET variables."
        ) from error


def _lives(pid: int) -> bool:
    try:
        with contextlib.suppress(PermissionError):  # it lives, as another user
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
