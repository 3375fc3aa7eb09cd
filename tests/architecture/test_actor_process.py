"""What an actor's process loads: there is one for every active wedding, so each import counts."""

from __future__ import annotations

import json
import subprocess
import sys

# Ray alone costs 0.6 s of CPU and 45 MB; these would come on top, for each wedding.
_FOR_SERVERS_ONLY = frozenset(
    {
        "aiohttp",
        "alembic",
        "grpc",
        "opentelemetry",
        "prometheus_client",
        "pydantic",
        "pydantic_settings",
        "redis",
        "sqlalchemy",
        "structlog",
        "uvloop",
        "wedsync.api",
        "wedsync.client",
        "wedsync.convert",
    }
)


def _loaded_by(module: str) -> set[str]:
    program = f"import {module}, json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout))


def test_an_actor_loads_no_orm_no_server_and_no_wire_format() -> None:
    """Importing the actor brings in nothing that only a server needs, beyond what Ray loads by itself."""
    ours = _loaded_by("services.sync.actor") - _loaded_by("ray")
    assert "services.sync.owner" in ours
    assert not ours & _FOR_SERVERS_ONLY
