"""A vendor's webhooks as its manifest describes them: what proves, names and numbers each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.gateway.vendors.manifest_yaml import Document
from services.gateway.vendors.pointers import pointed
from services.gateway.vendors.schemes import (
    Certificate,
    Jwt,
    Signature,
    read_certificate,
    read_jwt,
    read_signature,
    scheme_contradictions,
)

DEFAULT_EVENT_NAME = ("query:event", "json:/event")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a webhook carries something: a header, a query parameter or a JSON pointer (RFC 6901)."""

    part: str
    """`header`, `query` or `json`."""
    name: str

    def read(self, headers: Mapping[str, str], query: Mapping[str, str], event: Any) -> Any:
        """Return what stands there, None for nothing. Header names are in lower case."""
        if self.part == "json":
            return pointed(event, self.name)
        return (headers if self.part == "header" else query).get(self.name) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """How the vendor tries an address out: a value that marks it, and the value to answer with."""

    pointer: str
    equals: str
    echo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlaces:
    """Where a notification says which channel it came by, and what proves that it did."""

    channel_id: Place
    secret: Place
    resource: Place | None = None
    """Where it names what is watched; that must be the channel's own native `resource_id`."""
    each: str = ""
    """Pointer to the list of notices in one body; the JSON places are then those of an entry."""
    greeting: str = ""
    """The event that only says that a channel works; empty where there is none."""
    ends: Place | None = None
    """Where a notice tells of the channel's own life; by one of `ending` it tells of its end."""
    ending: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notice: the channel it claims to come by, with its proofs; empty for what it does not say."""

    channel_id: str
    secret: str
    resource: str
    ends: bool = False
    """It says that the channel ends before its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """The vendor's webhooks: what authenticates them and what they may contain."""

    content_types: frozenset[str]
    events: frozenset[str]
    event_name: tuple[Place, ...]
    delivery_id: tuple[Place, ...]
    ignores_other_events: bool = False
    accepted_status: int = 202
    form_field: str = ""
    by_address: bool = False
    """Whether the unguessable key in the address is all the proof there is; if not, one of these is."""
    signature: Signature | None = None
    channel: ChannelPlaces | None = None
    """Where a notification names the channel it came by, whose secret proves it."""
    token: Place | None = None
    """Where the secret stands as it is."""
    basic: bool = False
    certificate: Certificate | None = None
    jwt: Jwt | None = None
    handshake: Handshake | None = None
    echoed_parameter: str = ""
    """A query parameter that only a trial of the address has; its value alone, as text, is the answer."""
    whole_records: bool = False
    """Whether an event shows its record as a whole, with its version."""
    scope_at: tuple[str, Place] | None = None
    """The key of a link's scope, and where an event shows its value."""
    echoed_header: str = ""
    """A header that only a trial of the address has: it holds the secret, and is the answer."""

    @property
    def has_secret(self) -> bool:
        """Whether a secret proves who sends."""
        return bool(self.signature or self.token or self.basic or self.certificate or self.jwt)

    def scope_of(self, event: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return the key and value of the scope that an event tells of, None where it may be any."""
        if self.scope_at is None:
            return None
        key, place = self.scope_at
        value = place.read({}, {}, event)
        # PostgreSQL has no text with a NUL in it: no scope has one, and nobody is known yet who sends it.
        return (key, value) if isinstance(value, str) and "\0" not in value else None

    def objection(self, secret: str) -> str | None:
        """Return why a secret cannot be used here, None if it can."""
        if self.signature and self.signature.key(secret) is None:
            return "must be base64, as the vendor shows it"
        if self.basic and ":" not in secret:
            return "must be name:password, as entered at the vendor"
        return None


def every(place: Place, headers: Mapping[str, str], query: Mapping[str, str], event: Any) -> list[Any]:
    """Return what stands at a place, of a batch (`*` in the pointer) for each item: None where it lacks."""
    before, star, after = place.name.partition("/*")
    if place.part != "json" or not star:
        return [place.read(headers, query, event)]
    items = pointed(event, before)
    return [pointed(item, after) for item in items] if isinstance(items, list) else []


def first_of(
    places: Iterable[Place], headers: Mapping[str, str], query: Mapping[str, str], event: Any
) -> Any:
    """Return what stands at the first place that has something, None if none has."""
    found = (place.read(headers, query, event) for place in places)
    return next((value for value in found if value is not None and value != ""), None)


def notices(
    places: ChannelPlaces, headers: Mapping[str, str], query: Mapping[str, str], event: Any
) -> list[Notice]:
    """Return the notices in a webhook."""
    found = pointed(event, places.each) if places.each else [event]

    def said(place: Place | None, entry: Any) -> str:
        value = place.read(headers, query, entry) if place else ""
        return value if isinstance(value, str) else ""

    return [
        Notice(
            channel_id=said(places.channel_id, entry),
            secret=said(places.secret, entry),
            resource=said(places.resource, entry),
            ends=said(places.ends, entry) in places.ending,
        )
        for entry in (found if isinstance(found, list) else [])
    ]


def read_inbound(data: Mapping[str, Any], folder: Path) -> Inbound:
    """Return the manifest's section, which has been found valid; files it names are in the folder."""
    greeting = data.get("handshake", {})
    return Inbound(
        content_types=frozenset(data["content_types"]),
        events=frozenset(data["events"]),
        event_name=_places(data.get("event_name", DEFAULT_EVENT_NAME)),
        delivery_id=() if data["delivery_id"] == "none" else _places(data["delivery_id"]),
        ignores_other_events=data.get("other_events") == "ignore",
        accepted_status=data.get("accepted_status", 202),
        form_field=data.get("form_field", ""),
        whole_records=data.get("whole_records", False),
        scope_at=next(((key, _place(at)) for key, at in data.get("scope_at", {}).items()), None),
        by_address=data["scheme"] == "endpoint_key",
        signature=read_signature(data["signature"]) if "signature" in data else None,
        channel=_channel(data["channel"]) if "channel" in data else None,
        token=_place(data["token"]) if "token" in data else None,
        basic=data["scheme"] == "basic",
        certificate=read_certificate(data["certificate"], folder) if "certificate" in data else None,
        jwt=read_jwt(data["jwt"]) if "jwt" in data else None,
        handshake=Handshake(**greeting) if "pointer" in greeting else None,
        echoed_parameter=greeting.get("query", ""),
        echoed_header=greeting.get("header", "").lower(),
    )


def inbound_contradictions(document: Document) -> Iterator[str]:
    """Yield what a schema cannot say well: parts of the section that need or exclude each other."""
    data = document.data.get("inbound")
    if data is None:
        return
    yield from scheme_contradictions(document)
    for key in data.get("scope_at", {}):
        if key not in document.data.get("scope", {}):
            known = ", ".join(document.data.get("scope", {})) or "none"
            yield document.problem(["inbound", "scope_at"], f"names no key of the scope: choose from {known}")
    if "header" in data.get("handshake", {}) and data["scheme"] != "hmac":
        cure = "write hmac as the scheme, or choose another handshake"
        yield document.problem(
            ["inbound", "handshake"], f"gives a secret that nothing is signed with: {cure}"
        )


def _places(given: str | Sequence[str]) -> tuple[Place, ...]:
    return tuple(_place(text) for text in ([given] if isinstance(given, str) else given))


def _place(text: str) -> Place:
    part, _, name = text.partition(":")
    return Place(part=part, name=name.lower() if part == "header" else name)


def _channel(data: Mapping[str, Any]) -> ChannelPlaces:
    return ChannelPlaces(
        channel_id=_place(data["id"]),
        secret=_place(data["secret"]),
        resource=_place(data["resource"]) if "resource" in data else None,
        each=data.get("each", ""),
        greeting=data.get("greeting", ""),
        ends=_place(data["ends"]["at"]) if "ends" in data else None,
        ending=frozenset(data["ends"]["values"]) if "ends" in data else frozenset(),
    )
