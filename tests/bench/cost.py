"""What one change costs in CPU, by the number of weddings in use and the size of the calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from tests.bench import processes
from tests.bench.figures import Row, milliseconds
from tests.bench.load import an_editor, closed_loop
from tests.bench.site import SIXTY_FOUR, Service, Site
from tests.bench.verify import exactly_once
from tests.bench.weddings import Stored, made

_ACTORS = {"dedicated": SIXTY_FOUR, "shared": 4}
_ACTIVE = (1, 64, 256)
_CALLERS = 16
_BATCH = 25
_WARM_UP_SECONDS, _SECONDS = 1.0, 5.0


async def run(site: Site) -> AsyncGenerator[Row, None]:
    """Have callers who wait for their answers edit 1, 64 and 256 weddings, alone and in batches."""
    weddings: list[Stored] = []
    for placement, actors in _ACTORS.items():
        service = await site.sync(placement, actors=actors)
        weddings = weddings or await made(service, max(_ACTIVE), items=8)
        await site.quiet()
        for active in _ACTIVE:
            for changes in (1, _BATCH):
                yield {
                    "placement": placement,
                    "actors": actors,
                    "active weddings": active,
                    "changes a call": changes,
                    **await _measured(site, service, weddings[:active], changes),
                }


async def _measured(site: Site, service: Service, weddings: Sequence[Stored], changes: int) -> Row:
    async with an_editor(service) as editor:
        await closed_loop(editor, weddings, callers=_CALLERS, changes=changes, seconds=_WARM_UP_SECONDS)
        before = len(editor.tally.acknowledged)
        editor.tally.seconds.clear()
        used = processes.Usage.now()
        await closed_loop(editor, weddings, callers=_CALLERS, changes=changes, seconds=_SECONDS)
        cost = processes.Usage.now().since(used)
        exactly_once(site, editor.tally, [wedding.wedding_id for wedding in weddings])
        done = len(editor.tally.acknowledged) - before
        return {
            "changes/s": round(done / _SECONDS),
            **milliseconds(editor.tally.seconds),
            **processes.microseconds_each(cost, done),
        }
