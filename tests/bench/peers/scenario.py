"""The same webhooks worked by general job runners: procrastinate, Celery and DBOS, at rising rates."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from tests.bench.figures import Row
from tests.bench.peers.servers import servers
from tests.bench.peers.stand import PEERS, Stand, a_stand
from tests.bench.peers.trial import prove
from tests.bench.whole import Whole
from wedsync.testing.load.plan import poisson

_WEDDINGS, _SECONDS = 1250, 6.0
_WARM_UP_RATE, _WARM_UP_SECONDS = 20.0, 2.0
# Far above what any of them does: how long they take for it says what they are able to.
_FLOOD_RATE, _FLOOD_SECONDS = 1000.0, 0.8
_SHARES = (0.25, 0.5, 0.75, 0.9, 1.05, 1.2)


async def run(whole: Whole) -> AsyncGenerator[Row, None]:
    """Run one peer after the other, on servers of their own: nothing of WedSync runs beside them."""
    await whole.stop()
    wanted = whole.wanted
    weddings, seconds = wanted.weddings or _WEDDINGS, wanted.duration or _SECONDS
    async with servers(whole.home / "peers") as found:
        for name in PEERS:
            async with a_stand(name, found, weddings=weddings) as stand:
                await load(stand, _WARM_UP_RATE, _WARM_UP_SECONDS)
                for rate in [wanted.rate] if wanted.rate else await rising(stand):
                    row = await load(stand, rate, seconds)
                    yield {"system": name, "weddings": weddings, "fan_out": 1, "seconds": seconds, **row}


async def rising(stand: Stand) -> list[float]:
    """Return rates from a quarter of what the peer is able to up to somewhat more than that."""
    flood = await load(stand, _FLOOD_RATE, _FLOOD_SECONDS)
    return [round(share * flood["achieved_rate"], 1) for share in _SHARES]


async def load(stand: Stand, rate: float, seconds: float) -> Row:
    """Send webhooks at this rate, whatever becomes of them."""
    origins = stand.origins()
    return await prove(stand, origins, poisson(origins, rate=rate, seconds=seconds))
