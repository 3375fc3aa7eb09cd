"""What several suites of one contract share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.tave_bench import Bench, open_bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A studio with one job, its owner's browser, and our adapter."""
    async with open_bench() as opened:
        yield opened
