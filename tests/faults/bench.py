"""What the faults happen to: servers of our own, sync services as processes, and receivers of their facts.

Everything here may be killed, so nothing of it is shared with other tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.evidence import Evidence, is_frozen, is_gone, marked
from tests.faults.load import Keys
from tests.faults.node import Node, second_node
from tests.faults.receivers import Receivers
from tests.faults.replica import Replica
from tests.faults.trial import Place, Trial
from tests.support.database import MigratedDatabase, copy_of_template, migrated_template
from wedsync.runtime import crash_points
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.postgres import EmbeddedPostgres
from wedsync.runtime.embedded.process import Child, Launch
from wedsync.runtime.embedded.ray import EmbeddedRay
from wedsync.runtime.embedded.ray_warden import MARKER
from wedsync.runtime.embedded.valkey import EmbeddedValkey
from wedsync.runtime.principal import Scope, mint_key, write_keys
from wedsync.testing.history import Call, Entry

_SETTINGS = {
    "WEDSYNC_SYNC_MAX_ACTORS": "9",  # one for each wedding of a trial, and some warm ones
    "WEDSYNC_DRAIN_SECONDS": "3",
}


@dataclass
class Bench:
    """The servers, and what is needed to run sync services on them."""

    home: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    ray: EmbeddedRay
    database: MigratedDatabase
    second_database: MigratedDatabase
    """For services that are to see nothing of those that use the first."""
    keys: Keys
    keys_file: Path
    receivers: Receivers
    addresses: Mapping[str, str]
    evidence: Evidence = field(init=False)

    def __post_init__(self) -> None:
        self.evidence = Evidence(self.database.admin_url)

    @contextlib.contextmanager
    def second_node(self) -> Iterator[Node]:
        """Join another machine to Ray."""
        environment = {**_inherited(), **self.ray.environment, **_armed(self.home)}
        with second_node(self.addresses["ray"], environment) as node:
            yield node

    @contextlib.contextmanager
    def replica(self, name: str, *, program: str = "sync", **settings: str) -> Iterator[Replica]:
        """Run a sync service, or another one, with settings of its own."""
        port, metrics_port = int(settings.get("WEDSYNC_GRPC_PORT", free_port())), free_port()
        environment = {
            **_inherited(),
            **self.ray.environment,
            **self._settings(),
            **_armed(self.home),
            "WEDSYNC_GRPC_PORT": str(port),
            "WEDSYNC_METRICS_PORT": str(metrics_port),
            **settings,
        }
        argv = [sys.executable, "-m", f"services.{program}"]
        child = Child(Launch(name=name, argv=argv, log=self.home / f"{name}.log", env=environment))
        replica = Replica(child, port, metrics_port)
        try:
            replica.start()
            yield replica
        finally:
            child.stop()

    def is_quiet(self, weddings: Sequence[str]) -> bool:
        """Say whether everything was handed over."""
        return not self.evidence.in_outbox(weddings)

    def own_calls(self, wedding: str, log: Sequence[Entry]) -> Sequence[Call]:
        """Return that nobody but the callers edits here."""
        return []

    def require_told(self, wedding: str, log: Sequence[Entry], collisions: Collection[Place]) -> None:
        """Fail unless the receivers were told exactly what is in the log."""
        assert self.receivers.commits(wedding) == {entry.sequence: entry.change.change_id for entry in log}
        assert set(collisions) <= self.receivers.collisions(wedding)
        assert not self.receivers.contradictions

    def ray_processes(self) -> list[int]:
        """Return the pids of the Ray of the first node: what watches over it, its daemons and its workers."""
        scratch = (self.home / "ray_scratch").read_text()
        return [process.pid for process in marked(MARKER, scratch)]

    async def crash(self, trial: Trial, point: str) -> int:
        """Have the next owner that reaches the point killed there; return which process that was."""
        victim = await self._reached(trial, point, "KILL")
        await trial.until(lambda: is_gone(victim), "the owner is gone")
        return victim

    async def freeze(self, trial: Trial, point: str) -> int:
        """Have the next owner that reaches the point stopped there; return which process that was."""
        victim = await self._reached(trial, point, "STOP")
        await trial.until(lambda: is_frozen(victim), "the owner is frozen")
        return victim

    async def goes_on(self, trial: Trial, point: str, victim: int) -> bool:
        """Have a frozen owner go on as far as to the point; return whether it came there before it left."""
        self._arm(point, f"STOP {victim}")
        os.kill(victim, signal.SIGCONT)

        def there() -> bool:
            return self._victim(point) == victim and is_frozen(victim)

        await trial.until(lambda: there() or is_gone(victim), f"it reached {point}, or left")
        return not is_gone(victim)

    async def _reached(self, trial: Trial, point: str, what: str) -> int:
        self._arm(point, what)
        victim: int = await trial.until(lambda: self._victim(point), f"an owner reached {point}")
        return victim

    def _arm(self, point: str, what: str) -> None:
        for earlier in _crash_points(self.home).glob(f"{point}.*"):
            earlier.unlink()
        fresh = _crash_points(self.home) / f".{point}"
        fresh.write_text(what)
        fresh.rename(fresh.with_name(point))

    def _victim(self, point: str) -> int | None:
        reached = list(_crash_points(self.home).glob(f"{point}.*"))
        return int(reached[0].suffix[1:]) if reached else None

    def _settings(self) -> dict[str, str]:
        return {
            **_SETTINGS,
            "WEDSYNC_HOME": str(self.home),
            "WEDSYNC_DATABASE_URL": self.database.app_url("sync"),
            "WEDSYNC_WORKER_DATABASE_URL": self.database.worker_url("sync"),
            "WEDSYNC_REDIS_URL": self.addresses["redis"],
            "WEDSYNC_RAY_ADDRESS": self.addresses["ray"],
            "WEDSYNC_API_KEYS_FILE": str(self.keys_file),
            "WEDSYNC_INTERNAL_KEY_FILE": str(self.keys_file.with_name("internal_key")),
            "WEDSYNC_GATEWAY_TARGET": self.receivers.target,
            "WEDSYNC_CONFLICTS_TARGET": self.receivers.target,
        }


@contextlib.contextmanager
def running_bench(home: Path) -> Iterator[Bench]:
    """Start the servers; end them, whatever became of them meanwhile."""
    secrets = home / "secrets"
    _crash_points(home).mkdir(parents=True)
    # With fsync, unlike other tests: what a fault must not lose has to be kept as in production.
    postgres = EmbeddedPostgres(home / "postgres", secrets)
    valkey = EmbeddedValkey(home / "valkey.log")
    ray = EmbeddedRay(home, secrets, home / "ray.log", env={**_inherited(), **_armed(home)})
    receivers = Receivers(f"127.0.0.1:{free_port()}")
    with contextlib.ExitStack() as stack:
        for server in (postgres, valkey, ray, receivers):
            stack.callback(server.stop)
        receivers.start()
        addresses = {"redis": valkey.start(), "ray": ray.start()}
        database = migrated_template(admin_url := postgres.start())
        second = stack.enter_context(copy_of_template(database, admin_url))
        keys_file = secrets / "api_keys.json"
        keys = _keys(keys_file)
        yield Bench(home, postgres, valkey, ray, database, second, keys, keys_file, receivers, addresses)


def _keys(file: Path) -> Keys:
    studio = mint_key(organization_id="studio", role="planner", actor="ada", scopes={Scope.READ, Scope.WRITE})
    internal = mint_key(organization_id="wedsync", role="gateway", actor="gateway", scopes={Scope.INTERNAL})
    write_keys(file, [studio[1], internal[1]])
    file.with_name("internal_key").write_text(internal[0])
    return Keys(studio[0], internal[0])


def _crash_points(home: Path) -> Path:
    return home / "crash-points"


def _armed(home: Path) -> dict[str, str]:
    return {crash_points.DIRECTORY: str(_crash_points(home))}


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("WEDSYNC_", "RAY_"))}
