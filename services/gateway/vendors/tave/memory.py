"""What a scan remembers of a list: its newest change, and what was seen about that time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.gateway.vendors.port import CursorLost
from services.gateway.vendors.tave.mapping import Json, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The newest `modified` seen, and the content of everything changed shortly before it.

    `modified` counts in seconds, so what changed within the overlap is told apart by its content.
    """

    mark: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def restore(cls, data: Any) -> Memory:
        """Return what a cursor remembers. Raises `CursorLost` if that makes no sense."""
        if data is None:
            return cls()
        if not isinstance(data, Mapping) or not isinstance(data.get("seen"), Mapping):
            raise CursorLost("the cursor was not made here")
        return cls(mark=str(data.get("mark", "")), seen=data["seen"])

    def dump(self) -> dict[str, Any]:
        """Return it for a cursor."""
        return {"mark": self.mark, "seen": dict(self.seen)}

    def since(self, overlap: float) -> str:
        """Return the time from which on changes may be news."""
        return _before(self.mark, overlap)

    def news(self, items: Iterable[Json], overlap: float) -> tuple[list[Json], Memory]:
        """Return what was not seen like this before, and what to remember."""
        listed = list(items)
        since = self.since(overlap)
        fresh = [i for i in listed if _recent(i, since) and self.seen.get(str(i.get("id"))) != digest(i)]
        mark = max([self.mark, *(str(i["modified"]) for i in listed if _timed(i))])
        floor = _before(mark, overlap)
        seen = {str(i.get("id")): digest(i) for i in listed if _recent(i, floor)}
        return fresh, Memory(mark=mark, seen=seen)


def _recent(item: Json, since: str) -> bool:
    # What has no sensible time is always looked at; its content tells whether it was before.
    return not _timed(item) or str(item["modified"]) >= since


def _timed(item: Json) -> bool:
    return _instant(item.get("modified")) is not None


def _before(mark: str, seconds: float) -> str:
    instant = _instant(mark)
    return (instant - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ") if instant else ""


def _instant(text: Any) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except (TypeError, ValueError):
        return None
