"""The way from the gateway to a vendor: an adapter whose calls take time, fail, and are answered or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from services.gateway.vendors.port import (
    Decision,
    Scan,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorPort,
    VendorRecord,
    VendorUnavailable,
)
from tests.convergence.faults import TROUBLES
from tests.convergence.vendor import VendorSystem
from tests.simulation.loop import Process
from tests.simulation.surroundings import Surroundings
from wedsync.model.items import FieldValue, ItemKind

T = TypeVar("T")

_LATEST_SECONDS = 15.0
"""How long after its caller gave up a request may still be carried out."""


@dataclass
class Line:
    """The line to one vendor, and what is wrong with it."""

    around: Surroundings
    system: VendorSystem
    trouble: float = 0.0
    """How often a call goes wrong."""
    down: bool = False
    locked: bool = False
    """Whether our credentials are refused."""
    next_trouble: str = ""
    """What befalls the next write."""
    landing: int = 0
    """How many requests are still under way that nobody waits for any more."""

    def heal(self) -> None:
        """End all that is wrong."""
        self.trouble, self.down, self.locked, self.next_trouble = 0.0, False, False, ""

    async def call(self, process: Process, what: str, act: Callable[[], T], *, writes: bool = False) -> T:
        """Have the vendor do something."""
        await self.around.at(f"vendor.{what} before", process)
        await self.around.way()
        trouble = self._trouble(writes=writes)
        if trouble:
            self.around.note(process, f"{self.system.name}: {what} is {trouble}")
            self.around.faults.struck[f"call {trouble}"] += 1
            raise self._fails(trouble, act)
        answer = act()
        if writes:
            self.around.note(process, f"{self.system.name}: {what}")
        await self.around.at(f"vendor.{what} after", process)
        await self.around.way()
        return answer

    def is_old(self) -> bool:
        """Say whether an answer comes from a copy of the vendor's database that is behind.

        Where a scan tells of each change but once, nobody would ever look again.
        """
        return self.system.habits.lists_all and self.around.random() < self.trouble

    def _trouble(self, *, writes: bool) -> str:
        if writes and self.next_trouble:
            trouble, self.next_trouble = self.next_trouble, ""
            return trouble
        if self.locked:
            return "locked"
        if self.down:
            return "refused"
        return self.around.chance.choice(TROUBLES) if self.around.random() < self.trouble else ""

    def _fails(self, trouble: str, act: Callable[[], Any]) -> VendorError:
        match trouble:
            case "locked":
                return VendorAuthFailed("the token was revoked")
            case "refused":
                return VendorUnavailable("it is busy")
            case "limited":
                return VendorUnavailable("too many calls", retry_after=self.around.random() * 5)
            case "late":
                self.landing += 1
                self.around.later(self.around.random() * _LATEST_SECONDS, lambda: self._land(act))
            case "reset" if self.around.random() < 0.5:
                pass
            case _:
                self._carry_out(act)
        if trouble == "garbage":
            return VendorGarbage("the answer makes no sense")
        return VendorUnavailable("no answer", unknown_outcome=True)

    def _land(self, act: Callable[[], Any]) -> None:
        self.landing -= 1
        self.around.note(None, f"{self.system.name}: something lands late")
        self._carry_out(act)

    def _carry_out(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except VendorError:
            return


class Api(VendorPort):
    """What an adapter is to the gateway."""

    def __init__(self, line: Line, process: Process) -> None:
        self._line, self._system, self._process = line, line.system, process

    async def check(self) -> None:
        """Let anybody in."""

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return a page."""
        self._system.reads["scan"] += 1
        return await self._line.call(self._process, "scan", lambda: self._system.scan(cursor))

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one record."""
        self._system.reads["read"] += 1
        old = self._line.is_old()
        return await self._line.call(self._process, "read", lambda: self._system.read(record_id, old=old))

    async def find(self, kind: ItemKind, item_id: str) -> VendorRecord | None:
        """Look up our marker."""
        self._system.reads["find"] += 1
        return await self._line.call(self._process, "find", lambda: self._system.find(item_id))

    async def create(self, kind: ItemKind, item_id: str, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Create a record."""
        return await self._line.call(
            self._process, "create", lambda: self._system.create(kind, item_id, values), writes=True
        )

    async def update(self, record: VendorRecord, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Write values."""
        return await self._line.call(
            self._process, "update", lambda: self._system.update(record, values), writes=True
        )

    async def delete(self, record: VendorRecord) -> None:
        """Delete a record."""
        await self._line.call(self._process, "delete", lambda: self._system.delete(record), writes=True)

    def hints(self, event: Mapping[str, Any]) -> Sequence[str]:
        """Return the records an event points at."""
        found = event.get("records")
        if not isinstance(found, list):
            raise VendorGarbage("records is no list")
        return found

    def shown(self, event: Mapping[str, Any]) -> Sequence[VendorRecord]:
        """Return the records an event shows."""
        return [_record(**each) for each in event.get("shown", [])]

    def decisions(self, event: Mapping[str, Any], /) -> Sequence[Decision]:
        """Nobody decides anything at this vendor."""
        return []

    async def aclose(self) -> None:
        """It holds nothing."""


def _record(*, kind: str, fields: Mapping[str, Any], existed: bool, **more: Any) -> VendorRecord:
    """Return a record as it came through JSON, which has no tuples."""
    told = {path: tuple(value) if isinstance(value, list) else value for path, value in fields.items()}
    return VendorRecord(kind=ItemKind(kind), fields=told, existed=existed, **more)
