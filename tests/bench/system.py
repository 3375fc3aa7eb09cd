"""`python -m tests.bench.system`: the whole system as `make run` starts it, without vendors of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.__main__ import main
from services.launcher.prepare import prepare
from services.launcher.programs import Credentials, Servers, service_programs
from services.launcher.settings import StackSettings
from services.launcher.stack import Parts
from wedsync.model.ids import new_id
from wedsync.runtime.embedded.local import write_private
from wedsync.runtime.principal import Scope, mint_key, read_keys, write_keys

STUDIOS = 20
"""Organizations that use it."""
_SCOPES = frozenset({Scope.READ, Scope.WRITE, Scope.ADMIN, Scope.EMERGENCY})


def notes(home: Path) -> Path:
    """Return the file that holds the studios' keys and the superuser's database URL."""
    return home / "secrets" / "bench.json"


def _prepared(settings: StackSettings, servers: Servers) -> Credentials:
    credentials = prepare(settings, servers)
    minted = [
        mint_key(organization_id=new_id(), role="planner", actor=f"studio {number}", scopes=_SCOPES)
        for number in range(STUDIOS)
    ]
    file = credentials.api_keys_file
    write_keys(file, [*read_keys(file), *(entry for _, entry in minted)])
    known = {"keys": [secret for secret, _ in minted], "database_url": servers.database_url}
    write_private(notes(settings.home), json.dumps(known))
    return credentials


if __name__ == "__main__":
    parts = Parts(prepare=_prepared, sandbox=lambda _: [], services=service_programs)
    sys.exit(main([], parts))
