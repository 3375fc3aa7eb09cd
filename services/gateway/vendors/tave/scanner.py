"""Finds what moved in one job: the lists, newest change first, compared with what was seen before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from services.gateway.vendors.port import CursorLost, Scan, VendorRecord
from services.gateway.vendors.tave import records
from services.gateway.vendors.tave.api import Absent, TaveApi
from services.gateway.vendors.tave.mapping import Context, Json, digest, is_ulid
from services.gateway.vendors.tave.memory import Memory
from services.gateway.vendors.tave.records import CONTACT, EVENT, JOB, PAYMENT, Person

# A first scan reads each of the job's people by itself; the rest follows with the next page.
_PEOPLE_A_SCAN = 25
# How far back the studio's whole address book is read for changes before we ask for each person instead.
_ADDRESS_BOOK_PAGES = 5

Found = list[tuple[str, Json, Callable[[], VendorRecord]]]


@dataclass(slots=True)
class Pass:
    """One pass over the job: what it found, what it saw exist, and what the next one must know."""

    cursor: dict[str, Any] = field(default_factory=dict)
    found: Found = field(default_factory=list)
    present: set[str] = field(default_factory=set)
    complete: bool = True
    more: bool = False

    def saw(self, collection: str, object_ids: Any) -> None:
        """Note that these exist."""
        self.present |= {f"{collection}/{object_id}" for object_id in object_ids}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """Scans one job."""

    api: TaveApi
    context: Context
    overlap: float
    scans_per_sweep: int
    role_names: Callable[[], Awaitable[Mapping[str, str]]]

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what moved since the cursor."""
        before = dict(cursor or {})
        done = Pass()
        try:
            for look in (self._job, self._events, self._payments, self._people):
                await look(before, done)
        except Absent:
            # A job that is gone takes its lists along; that says nothing about what was in them.
            return Scan(missing=[f"{JOB}/{self.context.job_id}"], cursor=before)
        found, bad = records.sorted_out(done.found)
        present = frozenset(done.present) if done.complete else None
        return Scan(
            records=found,
            bad=bad,
            present=present,
            cursor=done.cursor,
            more=done.more,
            total=len(done.present) if done.complete else None,
        )

    async def _job(self, before: Mapping[str, Any], done: Pass) -> None:
        job = await self.api.get(f"/job/{self.context.job_id}")
        done.cursor["job"] = digest(job)
        done.saw(JOB, [self.context.job_id])
        if done.cursor["job"] != before.get("job"):
            done.found.append((JOB, job, partial(records.job, job, self.context)))

    async def _events(self, before: Mapping[str, Any], done: Pass) -> None:
        memory = Memory.restore(before.get("events"))
        since_sweep = _count(before.get("since_sweep"))
        until = memory.since(self.overlap) if since_sweep + 1 < self.scans_per_sweep else ""
        listing = await self.api.all("/event", until=until, jobId=self.context.job_id)
        done.complete &= listing.complete
        done.cursor["since_sweep"] = 0 if listing.complete else since_sweep + 1
        done.saw(EVENT, (item.get("id") for item in listing.items))
        news, memory = memory.news(listing.items, self.overlap)
        done.cursor["events"] = memory.dump()
        done.found += [(EVENT, n, partial(records.event, n, self.context)) for n in news]

    async def _payments(self, before: Mapping[str, Any], done: Pass) -> None:
        answer = await self.api.whole(f"/job/{self.context.job_id}/payment")
        done.saw(PAYMENT, (item.get("id") for item in answer))
        news, memory = Memory.restore(before.get("payments")).news(answer, self.overlap)
        done.cursor["payments"] = memory.dump()
        done.found += [(PAYMENT, n, partial(records.payment, n, self.context)) for n in news]

    async def _people(self, before: Mapping[str, Any], done: Pass) -> None:
        listing = await self.api.all("/job-contact", jobId=self.context.job_id)
        people = {
            str(item.get("contactId")): item for item in listing.items if is_ulid(item.get("contactId"))
        }
        done.saw(CONTACT, people)
        known = _known(before.get("people"))
        changed, memory, reached = await self._changed_contacts(before)
        known = known if reached else {}
        stale = {i for i in people if i in changed or known.get(i) != digest(people[i])}
        now = sorted(stale)[:_PEOPLE_A_SCAN]
        done.more = len(stale) > len(now)
        done.cursor["address_book"] = memory.dump()
        left = stale.difference(now)
        done.cursor["people"] = {i: digest(item) for i, item in people.items() if i not in left}
        if now:
            await self._read_people(done, [(i, people[i], changed.get(i)) for i in now])

    async def _changed_contacts(self, before: Mapping[str, Any]) -> tuple[dict[str, Json], Memory, bool]:
        first = before.get("address_book") is None
        memory = Memory.restore(before.get("address_book"))
        until, pages = memory.since(self.overlap), 1 if first else _ADDRESS_BOOK_PAGES
        listing = await self.api.newest("/address-book", until=until, pages=pages)
        news, memory = memory.news(listing.items, self.overlap)
        return {str(item.get("id")): item for item in news}, memory, listing.reached

    async def _read_people(self, done: Pass, people: list[tuple[str, Json, Json | None]]) -> None:
        names = await self.role_names()
        for contact_id, job_contact, listed in people:
            try:
                contact = listed or await self.api.get(f"/address-book/{contact_id}")
            except Absent:
                done.present.discard(f"{CONTACT}/{contact_id}")
                continue
            person = Person(contact=contact, job_contact=job_contact)
            done.found.append((CONTACT, contact, partial(records.contact, person, names)))


def _known(data: Any) -> Mapping[str, str]:
    if data is not None and not isinstance(data, Mapping):
        raise CursorLost("the cursor was not made here")
    return data or {}


def _count(data: Any) -> int:
    return data if isinstance(data, int) else 0
