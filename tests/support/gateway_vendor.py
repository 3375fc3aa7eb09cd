"""A vendor in memory that can be edited by its people, fail, lose answers and land writes late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.gateway.ports import Ports
from services.gateway.records import Link
from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.field_rules import Direction, Equivalence, FieldRule
from services.gateway.vendors.inbound import Inbound, Place
from services.gateway.vendors.manifest import (
    Auth,
    Credential,
    KindRule,
    Manifest,
    Poll,
    RateLimit,
    Vendor,
)
from services.gateway.vendors.port import (
    Account,
    Decision,
    OutOfScope,
    RecordGone,
    Scan,
    VendorError,
    VendorGarbage,
    VendorPort,
    VendorRecord,
    VendorRejected,
    VendorUnavailable,
)
from tests.support.gateway_links import MemoryLinks
from tests.support.gateway_memory import Memory
from wedsync.model.items import FieldValue, ItemKind

EVENT = ItemKind.TIMELINE_EVENT


def rule(equivalence: Equivalence = Equivalence.EXACT, direction: Direction = Direction.BOTH) -> FieldRule:
    """Return a field's rule."""
    return FieldRule(direction=direction, equivalence=equivalence)


PLAIN = KindRule(
    create=True,
    update=True,
    delete=True,
    fields={path: rule() for path in ("title", "location", "starts_at")},
)


def manifest(vendor: str = "desk", events: KindRule = PLAIN, **changes: Any) -> Manifest:
    """Return the manifest of a made-up vendor."""
    made = Manifest(
        vendor=vendor,
        display_name=vendor.title(),
        category="calendar",
        bridge_class="webhook",
        auth=Auth(type="api_key", credentials=(Credential(name="key", description="A key.", secret=True),)),
        base_url="https://desk.invalid",
        inbound=Inbound(
            by_address=True,
            content_types=frozenset({"application/json"}),
            events=frozenset({"event.changed"}),
            event_name=(Place(part="query", name="event"), Place(part="json", name="/event")),
            delivery_id=(Place(part="json", name="/id"),),
        ),
        poll=Poll(interval_seconds=10, sweep_interval_seconds=100),
        rate_limit=RateLimit(requests_per_second=1, concurrency=1),
        timeout_seconds=1,
        kinds={EVENT: events},
        delete_semantics="reported",
        scope={"calendar": "Which calendar."},
    )
    return replace(made, **changes)


@dataclass
class FakeVendor(VendorPort):
    """One account's records. `hold` is what the vendor makes of values, without a word."""

    rules: KindRule = PLAIN
    hold: Callable[[FieldValue], FieldValue] = lambda value: value
    records: dict[str, VendorRecord] = field(default_factory=dict)
    writes: list[tuple[str, str]] = field(default_factory=list)
    failures: list[VendorError] = field(default_factory=list)
    """What the next calls raise, before doing anything."""
    lost_answers: int = 0
    """So many writes are carried out, but never answered."""
    late: bool = False
    """The next write lands only when `land` is called."""
    landing: list[Callable[[], None]] = field(default_factory=list)
    scans: list[Scan | VendorError] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    poison: dict[str, Exception] = field(default_factory=dict)
    """What reading a record raises, each time."""
    closed: int = 0
    says: Mapping[str, Any] = field(default_factory=dict)
    """What its manifest says besides."""
    _numbers: int = 0

    def put(self, record_id: str = "", **fields: FieldValue) -> str:
        """People write a record; a new one without an id."""
        record_id = record_id or self._new_id()
        known = self.records.get(record_id)
        shown = dict(known.fields) if known else dict.fromkeys(self.rules.fields)
        made = known or VendorRecord(record_id=record_id, kind=EVENT, version="", fields={})
        self.records[record_id] = replace(
            made, version=self._version(), fields={**shown, **self._held(fields)}
        )
        return record_id

    def remove(self, record_id: str) -> VendorRecord:
        """People delete a record."""
        return self.records.pop(record_id)

    def land(self) -> None:
        """Carry out the writes that were under way."""
        landing, self.landing = self.landing, []
        for write in landing:
            write()

    async def check(self) -> None:
        """Let anybody in."""
        self._fail()

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what was prepared, else everything."""
        self._fail()
        if not self.scans:
            return Scan(
                records=list(self.records.values()), present=frozenset(self.records), cursor={"at": 1}
            )
        page = self.scans.pop(0)
        if isinstance(page, VendorError):
            raise page
        return page

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one record."""
        self._fail()
        if record_id in self.foreign:
            raise OutOfScope("it belongs elsewhere")
        if record_id in self.refused:
            raise VendorRejected("not for you")
        if record_id in self.poison:
            raise self.poison[record_id]
        return self.records.get(record_id)

    async def find(self, kind: ItemKind, item_id: str) -> VendorRecord | None:
        """Look up our marker."""
        self._fail()
        return next((record for record in self.records.values() if record.marker == item_id), None)

    async def create(self, kind: ItemKind, item_id: str, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Create a record."""
        record = VendorRecord(
            record_id=self._new_id(),
            kind=kind,
            version=self._version(),
            fields={**dict.fromkeys(self.rules.fields), **self._held(values)},
            marker=item_id,
        )
        self._write("create", record.record_id, lambda: self.records.__setitem__(record.record_id, record))
        return record

    async def update(self, record: VendorRecord, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Write values."""
        record_id = record.record_id
        if record_id not in self.records:
            raise RecordGone("the record is no more")

        def land() -> None:
            if record_id in self.records:
                self.put(record_id, **values)

        self._write("update", record_id, land)
        return self.records[record_id]

    async def delete(self, record: VendorRecord) -> None:
        """Delete a record."""
        self._write("delete", record.record_id, lambda: self.records.pop(record.record_id, None))

    def decisions(self, event: Mapping[str, Any], /) -> Sequence[Decision]:
        """Return what an event says people decided."""
        return [Decision(**decision) for decision in event.get("decisions", [])]

    def hints(self, event: Mapping[str, Any]) -> Sequence[str]:
        """Return the records an event points at."""
        found = event.get("records")
        if not isinstance(found, list):
            raise VendorGarbage("records is no list")
        return found

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1

    def _write(self, what: str, record_id: str, land: Callable[[], object]) -> None:
        self._fail()
        self.writes.append((what, record_id))
        if self.late:
            self.late = False
            self.landing.append(lambda: (land(), None)[1])
            raise VendorUnavailable("no answer", unknown_outcome=True)
        land()
        if self.lost_answers:
            self.lost_answers -= 1
            raise VendorUnavailable("no answer", unknown_outcome=True)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def _held(self, values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
        return {path: self.hold(value) for path, value in values.items() if path in self.rules.fields}

    def _new_id(self) -> str:
        self._numbers += 1
        return f"r{self._numbers}"

    def _version(self) -> str:
        self._numbers += 1
        return f"v{self._numbers}"


class FakePorts(Ports):
    """Ports that lead to vendors in memory, by vendor name."""

    def __init__(self, memory: Memory, vendors: Mapping[str, FakeVendor]) -> None:
        self.opened: list[Account] = []
        self.fakes = vendors
        known = {name: self._vendor(name, fake) for name, fake in vendors.items()}
        super().__init__(vendors=known, links=MemoryLinks(memory), http=VendorHttp())
        self.vendors: Mapping[str, Vendor] = known

    def _vendor(self, name: str, fake: FakeVendor) -> Vendor:
        def create(
            http: VendorHttp, manifest: Manifest, account: Account, scope: Mapping[str, str]
        ) -> VendorPort:
            self.opened.append(account)
            return fake

        return Vendor(manifest=manifest(name, fake.rules, **fake.says), create_adapter=create)


def a_link(number: int = 1, **changes: Any) -> Link:
    """Return a link to the vendor `desk`."""
    made = Link(
        link_id=f"00000000-0000-4000-8000-00000000000{number}",
        organization_id="studio",
        wedding_id="00000000-0000-4000-8000-0000000000aa",
        integration_id=f"00000000-0000-4000-8000-00000000001{number}",
        vendor="desk",
        scope={"calendar": "c"},
        time_zone="Europe/Paris",
    )
    return replace(made, **changes)
