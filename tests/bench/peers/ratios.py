"""How WedSync compares with its peers, and with what its parts do alone, in the same run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LIMIT_MS = 200.0
"""What p99 from the planned moment to the vendor may be, for a rate of WedSync's to count."""

LOADS = ("steady", "knee", "peers")
"""The scenarios whose rates may be compared: all go on at one rate."""

Row = Mapping[str, Any]


def ratios(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return how often WedSync's best rate holds that of each peer, and which share it is of each part's.

    Of WedSync a rate counts that it held: nothing lost or doubled, and p99 within the limit. Of all
    others their best counts; of a peer however late it was then. What was not measured is left out.
    """
    ours = max((row["achieved_rate"] for row in loads(results) if _held(row)), default=0.0)
    if not ours:
        return {}
    peers = _best(loads(results), "achieved_rate")
    parts = _best(results["scenarios"].get("ceilings", ()), "per_second")
    return {
        "times_a_peer": {name: round(ours / rate, 1) for name, rate in peers.items()},
        "share_of_a_part": {name: round(ours / rate, 4) for name, rate in parts.items()},
    }


def loads(results: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of a webhook to one vendor at a steady rate, of WedSync and of all peers."""
    for name in LOADS:
        yield from (row for row in results["scenarios"].get(name, ()) if row.get("fan_out") == 1)


def _best(rows: Iterable[Row], figure: str) -> dict[str, float]:
    best: dict[str, float] = {}
    for row in rows:
        if row.get("system") and row[figure]:
            best[row["system"]] = max(best.get(row["system"], 0.0), row[figure])
    return best


def _held(row: Row) -> bool:
    latency = row["latency_ms"].get("send_to_vendor")
    exact = not (row["lost"] or row["doubled"])
    return bool("system" not in row and exact and latency and latency["p99"] <= LIMIT_MS)
