"""What 1,250 weddings in steady use cost in both placements, at rates the answers do not slow down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from tests.bench import processes
from tests.bench.figures import Row, milliseconds
from tests.bench.load import an_editor, open_loop
from tests.bench.site import SIXTY_FOUR, Service, Site
from tests.bench.verify import exactly_once
from tests.bench.weddings import Stored, made, zipf

_WEDDINGS, _ITEMS = 1250, 8
_REST_SECONDS, _WARM_UP_SECONDS, _SECONDS = 5.0, 5.0, 10.0


@dataclass(frozen=True)
class Case:
    """One placement under one load."""

    placement: str
    actors: int
    rate: int
    spread: str


_CASES = (
    Case("dedicated", SIXTY_FOUR, 100, "uniform"),
    Case("dedicated", SIXTY_FOUR, 300, "zipf"),
    Case("shared", 4, 100, "uniform"),
    Case("shared", 4, 300, "zipf"),
    Case("shared", 4, 833, "uniform"),
)


async def run(site: Site) -> AsyncGenerator[Row, None]:
    """Run each case on the same weddings."""
    weddings: list[Stored] = []
    for case in _CASES:
        service = await site.sync(case.placement, actors=case.actors)
        weddings = weddings or await made(service, _WEDDINGS, items=_ITEMS)
        await site.quiet()
        rest = await processes.at_rest(_REST_SECONDS)
        yield {**await _measured(site, service, case, weddings), "CPU % at rest": rest}


async def _measured(site: Site, service: Service, case: Case, weddings: Sequence[Stored]) -> Row:
    weights = zipf(len(weddings)) if case.spread == "zipf" else None
    async with an_editor(service) as editor:
        await open_loop(editor, weddings, rate=case.rate, seconds=_WARM_UP_SECONDS, weights=weights)
        editor.tally.seconds.clear()
        refused, failed = editor.tally.refused, editor.tally.failed
        activations = await service.counted("wedsync_sync_activations_total")
        used, began = processes.Usage.now(), asyncio.get_running_loop().time()
        await open_loop(editor, weddings, rate=case.rate, seconds=_SECONDS, weights=weights)
        took, cost = asyncio.get_running_loop().time() - began, processes.Usage.now().since(used)
        activations = await service.counted("wedsync_sync_activations_total") - activations
        exactly_once(site, editor.tally, [wedding.wedding_id for wedding in weddings])
        answered = len(editor.tally.seconds)
        return {
            "placement": case.placement,
            "wanted/s": case.rate,
            "spread": case.spread,
            "weddings": len(weddings),
            "seconds": _SECONDS,
            "answered/s": round(answered / took, 1),
            **milliseconds(editor.tally.seconds),
            "refused": editor.tally.refused - refused,
            "failed": editor.tally.failed - failed,
            "activations/s": round(activations / took, 1),
            **processes.microseconds_each(cost, answered),
            **processes.megabytes_per_actor(),
        }
