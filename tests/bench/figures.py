"""Figures: rows of a table, percentiles, and how both are shown."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]
"""What one case found out: its settings first, then its figures; a figure may have parts."""

_PIPED_WIDTH = 240
_MOST_COLUMNS = 20


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return the usual percentiles of some latencies."""
    if not seconds:
        return {}
    shares = {"p50 ms": 0.5, "p95 ms": 0.95, "p99 ms": 0.99, "max ms": 1.0}
    return {name: round(percentile(seconds, share) * 1000, 1) for name, share in shares.items()}


def machine() -> dict[str, Any]:
    """Return what a reader of the figures must know of the machine, how busy it was included."""
    return {
        "cores": os.cpu_count(),
        "memory GiB": round(psutil.virtual_memory().total / 2**30, 1),
        "load average": round(os.getloadavg()[0], 2),
    }


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a scenario's table: a line for each case, or for each figure where there are many of them."""
    console = Console(width=None if os.isatty(1) else _PIPED_WIDTH, highlight=False)
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    if len(names) > _MOST_COLUMNS:
        table.add_column("")
        lines = [[name, *(_text(row.get(name, "")) for row in flat)] for name in names]
        names = [f"case {number}" for number in range(1, len(flat) + 1)]
    else:
        lines = [[_text(row.get(name, "")) for name in names] for row in flat]
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for line in lines:
        table.add_row(*line)
    console.print(table)


def _flat(row: Row) -> Row:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name.replace('_', ' ')} {part}": each for part, each in _flat(value).items()}
        else:
            flat[name.replace("_", " ")] = "; ".join(value) if isinstance(value, list) else value
    return flat


def _text(value: str | float) -> str:
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
