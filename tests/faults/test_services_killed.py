"""kill -9 of each service of a whole system, which its supervisor starts again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.conftest import WEDDINGS, lines_of
from tests.faults.evidence import Evidence, is_gone
from tests.faults.load import Crowd, Keys
from tests.faults.trial import Place, running_trial
from tests.support.processes import eventually, mentioning
from tests.support.stack import Stack, running_stack
from wedsync.runtime.embedded.postgres import ADMIN
from wedsync.testing.history import Call, Entry

_QUIET = """
SELECT NOT EXISTS (SELECT FROM sync.outbox)
  AND NOT EXISTS (SELECT FROM conflicts.conflict_acts WHERE state = 'due')
"""
_PROJECTED = "SELECT item_id::text, sequence FROM gateway.canonical_items WHERE wedding_id = %s"
_CONFLICTS = """
SELECT sequence, item_id::text, path FROM conflicts.integration_conflicts WHERE wedding_id = %s
"""
_SYSTEM = "WedSync"
"""The author of messages that ask people about conflicts."""


@dataclass(frozen=True)
class WholeSystem:
    """All four services with their own receivers' tables as witnesses."""

    stack: Stack
    keys: Keys
    evidence: Evidence

    def is_quiet(self, weddings: Sequence[str]) -> bool:
        """Say whether everything was handed over, and what follows from it was done."""
        return bool(self.evidence.rows(_QUIET)[0][0])

    def own_calls(self, wedding: str, log: Sequence[Entry]) -> Sequence[Call]:
        """Return that the conflicts service wrote to people."""
        own = [entry.change for entry in log if entry.change.source.actor == _SYSTEM]
        return [
            Call(client="the system", wedding_id=wedding, changes=[change], invoked=0.0) for change in own
        ]

    def require_told(self, wedding: str, log: Sequence[Entry], collisions: Collection[Place]) -> None:
        """Fail unless the gateway has every item's last change, and each open collision is a conflict."""
        last = {entry.change.item_id: entry.sequence for entry in log}
        assert dict(self.evidence.rows(_PROJECTED, wedding)) == last
        assert set(collisions) <= set(self.evidence.rows(_CONFLICTS, wedding))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSystem]:
    """A whole system; at its end no process of it is left."""
    home: Path = tmp_path_factory.mktemp("faults") / "home"
    with running_stack(home) as stack:
        secrets = home / "secrets"
        internal = (secrets / "gateway_key").read_text().strip()
        password = (secrets / "postgres_admin_password").read_text()
        port = (home / "postgres.port").read_text().strip()
        database = f"postgresql://{ADMIN}:{password}@127.0.0.1:{port}/wedsync"
        yield WholeSystem(stack, Keys(stack.demo_key, internal), Evidence(database))
    eventually(lambda: not mentioning(str(home)), 10, "no process of the system is left")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("program", ["gateway", "conflicts", "health", "sync"])
async def test_a_killed_service_of_a_whole_system_loses_and_doubles_nothing(
    system: WholeSystem, program: str, request: pytest.FixtureRequest
) -> None:
    """Whichever dies, every answered change is kept, and gateway and conflicts service hear of all."""
    stack, lines = system.stack, lines_of(request.config)
    targets = [stack.run["grpc"]["sync"]]
    async with running_trial(
        system,
        targets,
        Crowd(weddings=WEDDINGS, seed=2),
        fault=f"{program} of a whole system killed",
        lines=lines,
    ) as trial:
        before = stack.run["pids"][program]
        trial.begin()
        await asyncio.to_thread(stack.kill, program)
        assert is_gone(before)
        await trial.answered()
