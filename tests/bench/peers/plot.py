"""`python -m tests.bench.peers.plot RESULTS.json PICTURE.svg`: latency against rate, of all systems.

It draws every steady load with a fan-out of 1: how long from the planned moment of sending until the vendor
has it. Both axes grow by factors, since peers and WedSync are far apart.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.bench.peers.ratios import loads

_WIDTH, _HEIGHT = 860, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 50, 60
# Told apart by people who see no red or green, and on white as well as on black.
_COLOURS = ("#0072b2", "#e69f00", "#cc79a7", "#009e73", "#d55e00", "#56b4e9")
_STEPS = (1, 2, 5)
_GREY = "#808080"


@dataclass(frozen=True, slots=True)
class Point:
    """What a system did at one rate."""

    rate: float
    p50: float
    p99: float


def curves(results: Mapping[str, Any]) -> dict[str, list[Point]]:
    """Return the points of each system, WedSync's first, by rising rate."""
    found: dict[str, list[Point]] = defaultdict(list)
    for row in loads(results):
        if latency := row["latency_ms"].get("send_to_vendor"):
            found[name_of(row)].append(Point(row["planned_rate"], latency["p50"], latency["p99"]))
    ours_first = sorted(found, key=lambda name: (not name.startswith("WedSync"), name))
    return {name: sorted(found[name], key=lambda point: point.rate) for name in ours_first}


def name_of(row: Mapping[str, Any]) -> str:
    """Return what a row is about; rows of WedSync itself say its placement."""
    return str(row.get("system") or f"WedSync, {row['placement']}")


@dataclass(frozen=True, slots=True)
class Axis:
    """Where a value stands between two ends of the picture; factors, not sums, are equal distances."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> Axis:
        """Return one whose ends are the round values around all of these."""
        known = list(values)
        low = max(mark for mark in _marks() if mark <= min(known))
        high = min(mark for mark in _marks() if mark >= max(known))
        return cls(low, high if high > low else low * 2, start, end)

    def at(self, value: float) -> float:
        """Return the place of a value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def marks(self) -> list[float]:
        """Return the round values on it."""
        return [mark for mark in _marks() if self.low <= mark <= self.high]


def draw(found: Mapping[str, Sequence[Point]]) -> str:
    """Return the picture as SVG."""
    points = [point for each in found.values() for point in each]
    if not points:
        raise ValueError("the results hold no steady load with a fan-out of 1")
    across = Axis.over((point.rate for point in points), _LEFT, _WIDTH - _RIGHT)
    up = Axis.over((v for point in points for v in (point.p50, point.p99)), _HEIGHT - _BOTTOM, _TOP)
    lines = [*_frame(across, up)]
    for place, (name, each) in enumerate(found.items()):
        lines += _curve(name, each, across, up, place)
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _frame(across: Axis, up: Axis) -> Iterator[str]:
    yield _text(_LEFT, 24, "From a webhook's planned moment to the other vendor's system", size=15)
    middle = (across.start + across.end) / 2
    yield _text(middle, _HEIGHT - 14, "webhooks a second (fan-out 1)", anchor="middle")
    yield _text(_LEFT, _TOP - 10, "ms: p99 drawn through, p50 dashed")
    for mark in across.marks():
        x = across.at(mark)
        yield _line([(x, up.start), (x, up.end)], _GREY, 'stroke-opacity="0.25"')
        yield _text(x, up.start + 18, f"{mark:,g}", anchor="middle")
    for mark in up.marks():
        y = up.at(mark)
        yield _line([(across.start, y), (across.end, y)], _GREY, 'stroke-opacity="0.25"')
        yield _text(across.start - 8, y + 4, f"{mark:,g}", anchor="end")


def _curve(name: str, points: Sequence[Point], across: Axis, up: Axis, place: int) -> Iterator[str]:
    colour = _COLOURS[place % len(_COLOURS)]
    high = [(across.at(point.rate), up.at(point.p99)) for point in points]
    low = [(across.at(point.rate), up.at(point.p50)) for point in points]
    yield _line(high, colour, 'stroke-width="2"')
    yield _line(low, colour, 'stroke-width="1.5" stroke-dasharray="5 4"')
    for x, y in high:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    y = _TOP + 16 + 20 * place
    yield _line([(_WIDTH - _RIGHT + 16, y - 4), (_WIDTH - _RIGHT + 40, y - 4)], colour, 'stroke-width="2"')
    yield _text(_WIDTH - _RIGHT + 46, y, name)


def _line(places: Sequence[tuple[float, float]], colour: str, style: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" {style}/>'


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def _marks() -> Iterator[float]:
    return (step * 10.0**power for power in range(-2, 7) for step in _STEPS)


def main(results: Path, picture: Path) -> None:
    """Read the results of `make bench JSON=--json` and write the picture."""
    picture.write_text(draw(curves(json.loads(results.read_text("utf-8")))), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
