"""One load on a peer, from its first webhook to the proof that nothing was lost or logged twice."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import psycopg

from tests.bench.figures import Row
from tests.bench.peers import costs
from tests.bench.peers.stand import Stand
from wedsync.testing.load import marks
from wedsync.testing.load.figures import Evidence, Outcome, Seen, Verdict, judge
from wedsync.testing.load.plan import Origin, Send
from wedsync.testing.load.programs import a_generator

_LEAD_SECONDS, _LOOK_SECONDS, _DRAIN_SECONDS = 0.5, 0.1, 90.0
_SHOWN = 3
_LOGGED = """
SELECT webhook_id, extract(epoch FROM committed_at)::float8, body->>'title' FROM changes
WHERE committed_at >= to_timestamp(%s)
"""


class NotExact(AssertionError):
    """A webhook that was answered with 2xx was lost, or logged twice."""


async def prove(stand: Stand, origins: Sequence[Origin], sends: Sequence[Send]) -> Row:
    """Send it all, wait until it has arrived, and compare. Raises `NotExact`."""
    run = f"{stand.name}-{secrets.token_hex(4)}"
    stand.sent(origins, sends)
    async with a_generator(stand.home, origins, sends, http=stand.url, run=run) as generator:
        groups = {**stand.groups, costs.GENERATOR: [generator.pid]}
        before, start = costs.used(groups), time.time() + _LEAD_SECONDS
        outcomes = await generator.go(start)
        await _arrived(stand, origins, sends, outcomes, start)
        after = costs.used(groups)
    verdict = judge(origins, sends, outcomes, await _evidence(stand, start), start=start)
    # A vendor may be told twice: these promise to work at least once. The log must hold each once.
    doubled = [what for what in verdict.doubled if not what.endswith("at a vendor")]
    if verdict.lost or doubled:
        raise NotExact(
            f"{len(verdict.lost)} lost, {len(doubled)} doubled: {[*verdict.lost, *doubled][:_SHOWN]}"
        )
    return _row(sends, outcomes, verdict, costs.microseconds_each(before, after, len(verdict.accept)), start)


def _row(
    sends: Sequence[Send], outcomes: Sequence[Outcome], verdict: Verdict, cpu: Mapping[str, int], start: float
) -> Row:
    seconds = max(verdict.last - start, sends[-1].after)
    accepted = len(verdict.accept)
    return {
        "planned": len(sends),
        "planned_rate": round(len(sends) / sends[-1].after, 1),
        "achieved_rate": round(accepted / seconds, 1),
        "not_accepted": len(outcomes) - accepted,
        "lost": len(verdict.lost),
        "doubled": 0,
        "latency_ms": verdict.latencies(),
        "cpu_us_per_webhook": cpu,
        "cores": round(cpu["all"] * accepted / seconds / 1e6, 2),
    }


async def _arrived(
    stand: Stand, origins: Sequence[Origin], sends: Sequence[Send], outcomes: Sequence[Outcome], start: float
) -> None:
    """Wait until the vendor has the last accepted edit of each record, or for long enough."""
    last = {
        origins[send.origin].number: send.edit
        for send, outcome in zip(sends, outcomes, strict=True)
        if outcome.accepted
    }
    until = time.monotonic() + _DRAIN_SECONDS
    while last and time.monotonic() < until:
        for (number, _, _), seen in (await _copies(stand, start)).items():
            if number in last and max(edit for _, edit in seen) >= last[number]:
                del last[number]
        await asyncio.sleep(_LOOK_SECONDS)


async def _evidence(stand: Stand, start: float) -> Evidence:
    with psycopg.connect(stand.database_url) as admin:
        logged = admin.execute(_LOGGED, [start - _LEAD_SECONDS]).fetchall()
    log: dict[int, list[Seen]] = defaultdict(list)
    for _, at, title in logged:
        if mark := marks.read(title):
            log[mark[0]].append((at, mark[1]))
    inbox = Counter(webhook_id for webhook_id, _, _ in logged)
    return Evidence(inbox=inbox, log=log, copies=await _copies(stand, start))


async def _copies(stand: Stand, since: float) -> Mapping[tuple[int, str, str], Sequence[Seen]]:
    found: dict[tuple[int, str, str], list[Seen]] = defaultdict(list)
    for at, account, collection, _, number, edit in await stand.sink.arrivals():
        if at >= since:
            found[number, account, collection].append((at, edit))
    return found
