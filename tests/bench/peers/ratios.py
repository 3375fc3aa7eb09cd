"""How WedSync compares with its peers and with what its parts do alone, in the same run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.bench.peers.stand import PEERS

_CEILING = "per_second"


def ratios(results: Mapping[str, Any]) -> dict[str, float]:
    """Return WedSync's best rate by that of each peer, and as a share of each ceiling.

    Of WedSync only rows count in which it held what it is asked for: nothing lost, p99 within the limit.
    Of a peer its best rate counts, whatever its latency was then.
    """
    ours = _best_of_ours(results)
    if not ours:
        return {}
    best = _best_of_others(results)
    peers = {f"times {name}": round(ours / best[name], 1) for name in PEERS if best.get(name)}
    alone = {
        f"share of {name}": round(ours / rate, 2) for name, rate in best.items() if name not in PEERS and rate
    }
    return {**peers, **alone}


LIMIT_MS = 200.0
"""What p99 from the planned moment to the vendor may be."""


def _best_of_ours(results: Mapping[str, Any]) -> float:
    rows = (row for rows in results["scenarios"].values() for row in rows)
    return max((row["achieved_rate"] for row in rows if _holds(row)), default=0.0)


def _holds(row: Mapping[str, Any]) -> bool:
    latency = row.get("latency_ms", {}).get("send_to_vendor", {})
    exact = not (row.get("lost") or row.get("doubled"))
    ours = "system" not in row and row.get("fan_out") == 1 and "achieved_rate" in row
    return bool(ours and exact and latency and latency["p99"] <= LIMIT_MS)


def _best_of_others(results: Mapping[str, Any]) -> dict[str, float]:
    best: dict[str, float] = {}
    for rows in results["scenarios"].values():
        for row in rows:
            if "system" in row:
                name = f"{row['system']}, {row['together']} together" if "together" in row else row["system"]
                best[name] = max(best.get(name, 0.0), row.get("achieved_rate", row.get(_CEILING, 0.0)))
    return best
