"""Every service says in Prometheus' words how long each stage of an edit takes."""

from __future__ import annotations

import aiohttp

from tests.e2e.conftest import Wedding, until
from tests.support.stack import Stack

_STAGES = {"gateway": "deliver", "sync": "commit", "conflicts": "adjudicate", "health": "observe"}


async def test_every_service_measures_its_stage_of_an_edit(
    stack: Stack, wedding: Wedding, session: aiohttp.ClientSession
) -> None:
    """After edits that met each other, the histogram of stages has counts in all four services."""
    event_id = await wedding.photographer.plan("Dance", "20:00", "20:30")
    await wedding.in_calendar("Dance")
    await wedding.paused(paused=True)
    await wedding.photographer.change(event_id, name="Waltz")
    await wedding.couple.change("Dance", summary="Tango")
    await wedding.paused(paused=False)
    for service, stage in _STAGES.items():

        async def counted(service: str = service, stage: str = stage) -> bool:
            async with session.get(stack.run["metrics"][service]) as answer:
                lines = (await answer.text()).splitlines()
            wanted = f'wedsync_stage_seconds_count{{service="{service}",stage="{stage}"'
            return any(line.startswith(wanted) and float(line.split()[1]) > 0 for line in lines)

        await until(counted, f"{service} has counted {stage}")


async def test_metrics_name_no_wedding_and_no_person(
    stack: Stack, wedding: Wedding, session: aiohttp.ClientSession
) -> None:
    """No label or exemplar of any metric holds a wedding's id or a name."""
    for service in _STAGES:
        async with session.get(stack.run["metrics"][service]) as answer:
            text = await answer.text()
        assert "wedsync_stage_seconds" in text
        assert wedding.wedding_id not in text
        assert "Okafor" not in text
