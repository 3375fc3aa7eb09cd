"""One photographer's studio in Tave, in memory: what the API keeps and the rules it keeps it by."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from wedsync.clock import Clock
from wedsync.testing.tave import derive, listing
from wedsync.testing.tave.refusal import invalid, not_found
from wedsync.testing.tave.resources import RESOURCES, Resource
from wedsync.testing.tave.schema import violations

Json = dict[str, Any]

_CREATED = {"address-book": "contact.created", "job": "job.created", "payment": "payment.created"}
_CHILDREN = {
    "job": ("jobId", ("event", "job-contact", "payment", "order")),
    "address-book": ("contactId", ("job-contact",)),
}
_ROLES = ("Bride", "Groom", "Partner", "Planner", "Venue", "Florist", "Photographer")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioSettings:
    """What the vendor's documentation leaves open, or what differs from studio to studio."""

    currency: str | None = "USD"
    time_zone: str = "America/New_York"
    missing_fields: str = "clear"
    """What a PUT does to a field it leaves out: `clear` or `keep`."""
    read_only_fields: str = "refuse"
    """What becomes of read-only fields in a body: `refuse` or `ignore`."""
    delete: str = "remove"
    """Whether DELETE makes an object `remove`d or `hide`s it."""


@dataclass(slots=True)
class TaveStudio:
    """The studio's objects by collection and id. Every method raises `Refused` as the API would."""

    clock: Clock
    settings: StudioSettings = field(default_factory=StudioSettings)
    objects: dict[str, dict[str, Json]] = field(default_factory=dict)
    fired: list[tuple[str, Json]] = field(default_factory=list)
    """Hook events not yet picked up: (event, the object it is about)."""

    def __post_init__(self) -> None:
        self.objects = {name: self.objects.get(name, {}) for name in RESOURCES}
        if not self.objects["job-role"]:
            self._seed()

    def create(self, collection: str, body: Any) -> Json:
        """Create an object and return it as kept."""
        self._validate(collection, body, frozenset())
        kept = self._stamp(collection, self._settled(collection, {}, body), self._new_id())
        self._fire(_CREATED.get(collection), kept)
        return kept

    def replace(self, collection: str, object_id: str, body: Any) -> Json:
        """Overwrite an object with the body and return it as kept."""
        current = self.get(collection, object_id)
        if current.get("readOnly"):
            raise invalid({"readOnly": ["this event cannot be changed"]})
        self._validate(collection, body, RESOURCES[collection].create_only)
        return self._stamp(collection, self._settled(collection, current, body), object_id)

    def get(self, collection: str, object_id: str) -> Json:
        """Return one object, a hidden one too."""
        try:
            return self.objects[collection][object_id]
        except KeyError:
            raise not_found(f"{collection} {object_id}") from None

    def delete(self, collection: str, object_id: str) -> None:
        """Remove or hide an object; a job or a contact takes what hangs on it along."""
        current = self.get(collection, object_id)
        if current.get("readOnly"):
            raise invalid({"readOnly": ["this event cannot be deleted"]})
        if self.settings.delete == "hide":
            self.tamper(collection, object_id, {"hidden": True})
            return
        del self.objects[collection][object_id]
        if collection in _CHILDREN:
            self._delete_children(collection, object_id)

    def page(self, collection: str, query: Mapping[str, str]) -> Json:
        """Return the page of a collection that the query asks for."""
        return listing.page_of(RESOURCES[collection], self.objects[collection].values(), query)

    def payments_of(self, job_id: str, query: Mapping[str, str]) -> Json:
        """Return all of a job's payments."""
        self.get("job", job_id)
        found = [p for p in self.objects["payment"].values() if p["jobId"] == job_id and not p["hidden"]]
        return listing.whole("jobpayment", RESOURCES["payment"], found, query)

    def me(self) -> Json:
        """Return the studio itself."""
        zone = derive.timezone_ids()[self.settings.time_zone]
        return {"name": "Sandbox Studio", "currencyCode": self.settings.currency, "timezoneId": zone}

    def timezones(self, query: Mapping[str, str]) -> Json:
        """Return the approved time zones whose name contains `search`."""
        search = query.get("search", "").lower()
        found = [{"id": i, "name": n} for i, n in derive.timezones().items() if search in n.lower()]
        rest = {name: value for name, value in query.items() if name != "search"}
        timezone = Resource(type="timezone", rules={}, sort=("id", "name"))
        return listing.page_of(timezone, found, rest)

    def tamper(self, collection: str, object_id: str, values: Json) -> Json:
        """Change an object past all rules, as the vendor's own software can (`readOnly`, `hidden`)."""
        return self._stamp(collection, {**self.get(collection, object_id), **values}, object_id)

    def book_order(self, job_id: str) -> Json:
        """Book an order for the job: the job is booked with it."""
        self.tamper("job", job_id, {"stage": "booked"})
        order = self.create("order", {"jobId": job_id, "bookedDate": self.clock.now().date().isoformat()})
        self._fire("order.booked", order)
        return order

    def take_fired(self) -> list[tuple[str, Json]]:
        """Return the hook events since the last call, each once."""
        taken, self.fired = self.fired, []
        return taken

    def clear(self) -> None:
        """Forget everything but the lookups."""
        self.objects, self.fired = {name: {} for name in RESOURCES}, []
        self._seed()

    def _validate(self, collection: str, body: Any, now_read_only: frozenset[str]) -> None:
        ignore = self.settings.read_only_fields == "ignore"
        rules = {n: r for n, r in RESOURCES[collection].rules.items() if n not in now_read_only}
        found = violations(rules, body, ignore_read_only=ignore)
        if found:
            raise invalid(found)
        if collection == "address-book" and body["kind"] == "person" and "name" in body and not ignore:
            raise invalid({"name": ["is read-only: a person has firstName and lastName"]})
        self._validate_references(body)

    def _validate_references(self, body: Json) -> None:
        wrong = {}
        for name, collection in (("jobId", "job"), ("contactId", "address-book"), ("typeId", "event-type")):
            if body.get(name) and body[name] not in self.objects[collection]:
                wrong[name] = ["refers to nothing"]
        # The id wins over the name, so a wrong name beside a good id goes unnoticed.
        if (zone_id := body.get("timezoneId")) and zone_id not in derive.timezones():
            wrong["timezoneId"] = ["is not an approved time zone"]
        if not zone_id and (zone := body.get("timezoneName")) and zone not in derive.timezone_ids():
            wrong["timezoneName"] = ["is not an approved time zone"]
        if wrong:
            raise invalid(wrong)

    def _settled(self, collection: str, current: Json, body: Json) -> Json:
        resource = RESOURCES[collection]
        fixed = {n for n, r in resource.rules.items() if r.read_only} | (
            resource.create_only if current else set()
        )
        kept = {n: current.get(n) for n in fixed}
        cleared = {n: r.default for n, r in resource.rules.items() if n not in fixed}
        if self.settings.missing_fields == "keep" and current:
            cleared = {n: current[n] for n in cleared}
        written = {n: deepcopy(v) for n, v in body.items() if n not in fixed}
        settle = derive.DERIVE.get(collection, lambda done, _: done)
        return settle({**cleared, **written, **kept}, self.settings.time_zone)

    def _stamp(self, collection: str, body: Json, object_id: str) -> Json:
        now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        links = {"self": {"href": f"/api/v2/{collection}/{object_id}"}}
        served = {"id": object_id, "created": body.get("created") or now, "modified": now, "links": links}
        kept = {**body, **served, "hidden": body.get("hidden") or False}
        self.objects[collection][object_id] = kept
        return kept

    def _fire(self, event: str | None, kept: Json) -> None:
        if event:
            self.fired.append((event, deepcopy(kept)))

    def _new_id(self) -> str:
        return derive.ulid(int(self.clock.now().timestamp() * 1000), secrets.randbits(80))

    def _delete_children(self, collection: str, parent_id: str) -> None:
        reference, children = _CHILDREN[collection]
        for name in children:
            kept = {i: o for i, o in self.objects[name].items() if o[reference] != parent_id}
            self.objects[name] = kept

    def _seed(self) -> None:
        for role in _ROLES:
            self.create("job-role", {"name": role, "tokenPrefix": role.lower()})
        for kind in ("Ceremony", "Reception", "Session"):
            self.create("event-type", {"name": kind, "tokenPrefix": kind.lower()})
