"""Partner API: the simulator, and people who work in the partner's own system."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.certification.bench import Account, OpenAccount, VendorClock, an_event, without
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Answer, Asked
from wedsync.testing.partner_api import COLLECTION, TOKEN, WEBHOOK_SECRET, Collection, Sandbox, running

_TIME = {"local": "2027-06-12T15:00:00", "zone": "America/New_York"}


@asynccontextmanager
async def system(_: Path) -> AsyncIterator[OpenAccount]:
    """Nothing is started once: an account is a simulator of its own."""
    yield _account


@asynccontextmanager
async def _account() -> AsyncIterator[PartnerAccount]:
    clock = VendorClock()
    sandbox = Sandbox(clock)
    async with running(sandbox) as url:
        yield PartnerAccount(url, sandbox, clock)


class PartnerAccount(Account):
    """An account with one empty collection."""

    def __init__(self, url: str, sandbox: Sandbox, clock: VendorClock) -> None:
        self.base_url, self._sandbox, self._clock = url, sandbox, clock
        self.credentials = {"token": TOKEN, "webhook_secret": WEBHOOK_SECRET}
        self.scope = {"collection_id": COLLECTION}
        collection = sandbox.collections[COLLECTION]
        event = {"starts_at": _TIME, "ends_at": _TIME}
        paid = {"amount": {"minor_units": 250_00, "currency": "USD"}}
        self.hands = {
            ItemKind.TIMELINE_EVENT: Records(collection, "timeline_event", "title", event, an_event("")),
            ItemKind.CONTACT: Records(collection, "contact", "name", {}, {}),
            ItemKind.BOOKING: Records(collection, "booking", "title", {}, {}),
            ItemKind.PAYMENT: Records(collection, "payment", "memo", paid, {"amount": "25000 USD"}),
            ItemKind.TASK: Records(collection, "task", "title", {}, {}),
        }

    async def tell(self, address: str) -> None:
        """Enter the address."""
        self._sandbox.deliveries.url = address

    def forget_cursors(self) -> None:
        """Let every cursor be too old."""
        self._sandbox.forget_cursors()

    def set_clock(self, ahead: timedelta) -> None:
        """Set the simulator's clock."""
        self._clock.ahead = ahead

    def emptied(self, asked: Asked, answer: Answer) -> Answer:
        """A list has `records`. What is there of an account is not what is looked for."""
        return without(answer, "records", more=False)


class Records:
    """Works on one kind of record."""

    cannot: Mapping[str, str] = {}

    def __init__(
        self,
        collection: Collection,
        kind: str,
        field: str,
        theirs: Mapping[str, Any],
        ours: Mapping[str, FieldValue],
    ) -> None:
        self._collection, self._kind, self.field = collection, kind, field
        self._theirs, self._ours = theirs, ours

    async def make(self, text: str) -> str:
        """Make a record."""
        record_id = f"p-{new_id()}"
        body = {"kind": self._kind, "fields": {**self._theirs, self.field: text}}
        self._collection.put(record_id, body, match=None, none_match="*")
        return record_id

    async def edit(self, record: str, text: str) -> None:
        """Give a record another text."""
        body = {"kind": self._kind, "fields": {self.field: text}}
        self._collection.put(record, body, match=self._version(record), none_match=None)

    async def remove(self, record: str) -> None:
        """Delete a record."""
        self._collection.delete(record, self._version(record))

    async def texts(self) -> Mapping[str, str]:
        """Return the texts."""
        there = [record for record in self._collection.records.values() if not record.get("deleted")]
        return {
            record["id"]: record["fields"].get(self.field, "")
            for record in there
            if record["kind"] == self._kind
        }

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return an item of ours."""
        return {**self._ours, self.field: text}

    def _version(self, record: str) -> str:
        return f'"{self._collection.get(record)["version"]}"'
