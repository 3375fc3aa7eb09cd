"""A system that is stopped and started again goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import eventually, mentioning
from tests.support.stack import clients, running_stack
from wedsync.client.sync import wedding_message


@pytest.mark.timeout(240)
async def test_data_survives_a_restart(tmp_path: Path) -> None:
    """A wedding created before a stop is there after the next start, under the same API key."""
    home = tmp_path / "home"
    with running_stack(home) as first:
        key = first.demo_key
        async with clients(first) as opened:
            wedding = await opened.sync.create_wedding(
                wedding_message("Survivors", "2027-06-12", "Europe/Paris")
            )
    assert first.process.returncode == 0
    eventually(lambda: not mentioning(str(home)), 10, "no process of the first start is left")
    with running_stack(home) as second:
        assert second.demo_key == key
        async with clients(second) as opened:
            assert (await opened.sync.get_wedding(wedding.wedding_id)).title == "Survivors"
