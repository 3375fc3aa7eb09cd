"""How long the first change to a passive wedding takes, its load from the database included."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from tests.bench import processes
from tests.bench.figures import Row, milliseconds
from tests.bench.load import an_editor
from tests.bench.site import Service, Site
from tests.bench.verify import exactly_once
from tests.bench.weddings import Stored, made

_WEDDINGS, _ITEMS, _ACTORS = 200, 200, 8


async def run(site: Site) -> AsyncGenerator[Row, None]:
    """Edit one passive wedding after the other: each takes an actor over from the one edited longest ago."""
    service = await site.sync("dedicated", actors=_ACTORS)
    weddings = await made(service, _WEDDINGS, items=_ITEMS)
    await site.quiet()
    actors = {process.pid for process in processes.of(processes.ACTORS)}
    yield await _edits(site, service, "first change of a passive wedding", weddings)
    yield await _edits(site, service, "further changes of an active one", weddings[-1:] * _WEDDINGS)
    if {process.pid for process in processes.of(processes.ACTORS)} != actors:
        raise AssertionError("a process was started on the way of an edit")


async def _edits(site: Site, service: Service, case: str, weddings: Sequence[Stored]) -> Row:
    async with an_editor(service) as editor:
        before = await service.counted("wedsync_sync_activations_total")
        used = processes.Usage.now()
        for wedding in weddings:
            await editor.edit(wedding)
        cost = processes.Usage.now().since(used)
        activations = await service.counted("wedsync_sync_activations_total") - before
        exactly_once(site, editor.tally, {wedding.wedding_id for wedding in weddings})
        return {
            "case": case,
            "items": _ITEMS,
            "edits": len(editor.tally.acknowledged),
            "activations": int(activations),
            **milliseconds(editor.tally.seconds),
            **processes.microseconds_each(cost, len(weddings)),
        }
