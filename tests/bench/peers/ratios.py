"""How much more WedSync does than its peers, in the same run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LIMIT_MS = 200.0
"""What p99 from the planned moment to the vendor may be, for a rate of WedSync's to count."""

Row = Mapping[str, Any]


def ratios(results: Mapping[str, Any]) -> dict[str, float]:
    """Return WedSync's best rate by that of each peer; empty unless both were measured.

    Of WedSync a rate counts that it held: nothing lost or doubled, and p99 within the limit. Of a peer
    its best counts, however late it was then.
    """
    ours = max((row["achieved_rate"] for row in _loads(results) if _held(row)), default=0.0)
    best: dict[str, float] = {}
    for row in _loads(results):
        if "system" in row:
            best[row["system"]] = max(best.get(row["system"], 0.0), row["achieved_rate"])
    return {name: round(ours / rate, 1) for name, rate in best.items() if rate} if ours else {}


def _loads(results: Mapping[str, Any]) -> Iterator[Row]:
    for rows in results["scenarios"].values():
        yield from (row for row in rows if row.get("fan_out") == 1 and "achieved_rate" in row)


def _held(row: Row) -> bool:
    latency = row["latency_ms"].get("send_to_vendor")
    exact = not (row["lost"] or row["doubled"])
    return bool("system" not in row and exact and latency and latency["p99"] <= LIMIT_MS)
