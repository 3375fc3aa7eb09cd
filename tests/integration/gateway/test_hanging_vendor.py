"""Bulkheads, measured: what a hanging neighbour costs a vendor that is well, within one run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from tests.support.gateway_process import ORGANIZATION, Gateway, Linked, Studio, open_studio, until
from wedsync.model.items import FieldValue

_log = logging.getLogger(__name__)

EDITS, HANGING_EDITS = 60, 200
_HANG = {"delay_ms": 60_000, "times": 100_000}


def event(number: int) -> dict[str, FieldValue]:
    """Return an event nobody has yet."""
    return {"title": f"Event {number}", "starts_at": "2027-06-12T15:00:00[America/New_York]"}


async def edits(gateway: Gateway, linked: Linked, count: int) -> list[str]:
    """Let a planner make so many events; return their changes."""
    made = [await gateway.sync.edit(linked.wedding_id, event(number)) for number in range(count)]
    for start in range(0, count, 20):
        await gateway.accept(*made[start : start + 20])
    return [commit.change_id for commit in made]


async def seconds(gateway: Gateway, changes: Sequence[str]) -> list[float]:
    """Return how long each change took from its hand-over to its vendor's answer, the shortest first."""
    query = """
        SELECT extract(epoch FROM confirmed_at - accepted_at) AS seconds FROM gateway.vendor_deliveries
        WHERE change_id = ANY(%s::uuid[]) AND state = 'delivered' ORDER BY 1
    """
    found = list[float]()

    async def delivered() -> bool:
        found[:] = [float(row["seconds"]) for row in gateway.sql(query, list(changes))]
        return len(found) == len(changes)

    await until(delivered, "every edit is at its vendor", 60)
    return found


def at(share: float, sorted_seconds: Sequence[float]) -> float:
    """Return a percentile."""
    return sorted_seconds[min(len(sorted_seconds) - 1, int(share * len(sorted_seconds)))]


async def test_a_hanging_vendor_does_not_slow_another(slow: Gateway) -> None:
    """With hundreds of older writes to one that never answers, others' take about as long as alone."""
    async with contextlib.AsyncExitStack() as stack:
        well, hanging = [await stack.enter_async_context(open_studio()) for _ in range(2)]
        here, there = [await linked(slow, studio) for studio in (well, hanging)]
        await seconds(slow, await edits(slow, here, EDITS))  # whatever is slow the first time only
        alone = await seconds(slow, await edits(slow, here, EDITS))
        hanging.fault(**_HANG)
        await edits(slow, there, HANGING_EDITS)
        await until(lambda: hung(hanging), "the vendor hangs")
        beside = await seconds(slow, await edits(slow, here, EDITS))
        assert hanging.sandbox.traffic.faults
    figures = ", ".join(
        f"{name}: p50 {at(0.5, found):.3f} s, p99 {at(0.99, found):.3f} s"
        for name, found in (("alone", alone), ("beside", beside))
    )
    _log.info(figures)
    # Without bulkheads every place is the hanging vendor's until its time-outs: 15 s.
    assert at(0.99, beside) < 3 * at(0.99, alone) + 1.0, figures


async def linked(gateway: Gateway, studio: Studio) -> Linked:
    """Link a studio to a wedding of its own."""
    return await studio.link(gateway, gateway.sync.add_wedding(ORGANIZATION))


def hung(studio: Studio) -> bool:
    """Say whether calls wait for an answer that does not come."""
    return any(fault.times < _HANG["times"] for fault in studio.sandbox.traffic.faults)
