"""A journey as a waterfall: when each stage began, how long it took, and how that looks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wedsync.api.gateway.v1.delivery_pb2 import Journey

_WIDTH = 40
_NANOSECONDS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One stage, in milliseconds since the journey began; no duration means that it is not over."""

    stage: str
    start_ms: float
    duration_ms: float | None
    detail: str

    def as_data(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        return asdict(self)

    @property
    def end_ms(self) -> float:
        """When the stage ended; one that is not over ends where it began."""
        return self.start_ms + (self.duration_ms or 0.0)


def rows(journey: Journey) -> list[Row]:
    """Return the journey's stages."""
    starts = [stage.start_time.ToNanoseconds() for stage in journey.stages]
    origin = min(starts, default=0)
    return [
        Row(
            stage=stage.name,
            start_ms=_milliseconds(start - origin),
            duration_ms=_milliseconds(stage.end_time.ToNanoseconds() - start)
            if stage.HasField("end_time")
            else None,
            detail=stage.detail,
        )
        for stage, start in zip(journey.stages, starts, strict=True)
    ]


def bar(row: Row, total_ms: float, width: int = _WIDTH) -> str:
    """Return the row's place on a line that stands for the whole journey; never empty."""
    scale = width / total_ms if total_ms > 0 else 0.0
    start = min(int(row.start_ms * scale), width - 1)
    if row.duration_ms is None:
        return " " * start + "…"
    return " " * start + "█" * max(1, round(row.end_ms * scale) - start)


def bars(shown: Sequence[Row]) -> list[str]:
    """Return the bar of each row."""
    total = max((row.end_ms for row in shown), default=0.0)
    return [bar(row, total) for row in shown]


def milliseconds(value: float | None) -> str:
    """Return a duration for people."""
    return "…" if value is None else f"{value:.1f}"


def _milliseconds(nanoseconds: int) -> float:
    return round(nanoseconds / _NANOSECONDS, 3)
