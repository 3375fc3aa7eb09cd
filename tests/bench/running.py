"""A whole system that runs, for a load to be put on it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from wedsync.testing.load.processes import System
from wedsync.testing.load.programs import Sink
from wedsync.testing.load.stage import Stage
from wedsync.testing.load.target import Target
from wedsync.testing.load.trial import Trials


@dataclass(frozen=True, kw_only=True)
class Running:
    """A system that runs, and the vendors beside it."""

    placement: str
    home: Path
    target: Target
    sink: Sink
    system: System
    database_url: str

    def trials(self, stage: Stage) -> Trials:
        """Return loads on a stage."""
        return Trials(stage, self.system, self.home, f"t{time.monotonic_ns()}")

    def ask(self, query: str, *values: object) -> Any:
        """Return the one value a query asks the database for, as its superuser."""
        with psycopg.connect(self.database_url) as admin:
            return (admin.execute(query, values).fetchone() or (None,))[0]
