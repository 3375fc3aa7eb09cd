"""What HTTP, PostgreSQL and Ray do in a second alone: no system made of them does more."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from tests.bench.alone import parts
from tests.bench.figures import Row
from tests.bench.whole import Whole


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Measure with nothing else running; every later load is compared with it."""
    await whole.stop()
    found = []
    async for row in parts.rows(whole.home / "alone"):
        found.append(row)
        yield row
    whole.ceilings = parts.named(found)
