"""The contract every vendor adapter fulfils.

RECORD    what the vendor keeps as one thing: an event, a job, a calendar resource
RECORD ID the vendor's name of it, unique within a link; opaque to everyone but the adapter
VERSION   the vendor's own change marker of a record (ETag, `modified`); opaque, compared for equality only,
          unless the manifest says under `versions` that it is more
SCOPE     the part of the vendor's data a link joins to a wedding: one calendar, one job
CURSOR    where the next scan goes on; a JSON object, opaque to everyone but the adapter
MARKER    our item id as the vendor keeps it for us, by which a create of ours is found again

An adapter translates and transports. It never decides: which value is right, whether to retry, or
whether an absence is a delete is the engine's business. It holds no state between calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from wedsync.model.items import FieldValue, ItemKind
from wedsync.model.values import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRecord:
    """One record as the vendor shows it now, its mapped fields in canonical values.

    What an adapter read is brought to the nearest value that can be kept, here, once for all of them:
    everyone after it compares what was kept, so that the difference is never taken for an edit.

    A field the vendor leaves empty is present with the value None; a field that this vendor does not
    map for this kind is absent.
    """

    record_id: str
    kind: ItemKind
    version: str
    fields: Mapping[str, FieldValue]
    marker: str | None = None
    writable: bool = True
    native: Any = None
    """The vendor's own object, kept so that a full-object write preserves what we do not map."""
    existed: bool = field(default=False, compare=False)
    """Of what a create returns: an earlier attempt had made it, and people may have edited it since."""

    def __post_init__(self) -> None:
        kept = {path: nearest(self.kind, path, value) for path, value in self.fields.items()}
        object.__setattr__(self, "fields", kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRecord:
    """A record the adapter could not understand; it is parked alone, with the reason and the fix."""

    record_id: str
    reason: str
    raw: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One page of what moved at the vendor since a cursor.

    `missing` are suspicions only: the engine reads each directly before it believes in a delete.
    `present`, where the vendor shows deletes only by absence, is the full set of record ids that a
    complete sweep has just seen; None when this scan was no complete sweep.
    """

    records: Sequence[VendorRecord] = ()
    bad: Sequence[BadRecord] = ()
    missing: Sequence[str] = ()
    present: frozenset[str] | None = None
    cursor: Mapping[str, Any] = field(default_factory=dict)
    more: bool = False
    """Another page follows at once with this cursor."""
    total: int | None = None
    """How many records all pages together will show, where the vendor says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One organization's account at one vendor system."""

    integration_id: str
    base_url: str
    credentials: Mapping[str, str] = field(repr=False, default_factory=dict)
    """Secrets by name, as the manifest's `auth.credentials` lists them. Never logged."""
    settings: Mapping[str, str] = field(default_factory=dict)
    token_source: TokenSource | None = field(default=None, repr=False, compare=False)
    """Where access tokens that end come from; None where a credential is the token."""

    async def access_token(self) -> str:
        """Return a token that is valid now. Raises `VendorAuthFailed`: the account must be reconnected."""
        if self.token_source is not None:
            return await self.token_source.access_token()
        return self.credentials["access_token"]


class TokenSource(Protocol):
    """Keeps one account's access token valid."""

    async def access_token(self) -> str:
        """Return a token that is valid for a while. Raises `VendorAuthFailed`, `VendorUnavailable`."""
        ...

    async def renewed(self, refused: str) -> str:
        """Return another token after the vendor refused this one; raises as `access_token`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A subscription by which a vendor tells us that something moved, until it ends."""

    channel_id: str
    """The vendor's id of it, or ours where we choose it."""
    secret: str = field(repr=False)
    """What its notifications carry to show that they are the vendor's."""
    ends_at: datetime
    native: Mapping[str, Any] = field(default_factory=dict)
    """What the adapter needs to end it."""


class PushPort(Protocol):
    """What an adapter offers besides `VendorPort` where its manifest has a section `push`."""

    async def open_channel(self, address: str, channel_id: str, secret: str) -> Channel:
        """Have the vendor tell this address from now on; return what it granted."""
        ...

    async def close_channel(self, channel: Channel) -> None:
        """End a channel. Ended already is success."""
        ...


class ShowingPort(Protocol):
    """What an adapter offers besides `VendorPort` where its manifest has `whole_records` under `inbound`."""

    def shown(self, event: Mapping[str, Any]) -> Sequence[VendorRecord]:
        """Return the records of `hints` that a webhook event shows as a whole, as they were at their version.

        Not those that it says are deleted, nor what cannot be understood: these are read. May be late or
        a repetition: what still counts is the engine's business.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided about a conflict inside the vendor's own system, by a button or the like."""

    conflict_id: str
    choice: str
    """`current` or `proposed`."""
    actor: str
    """The person, as the vendor identifies them."""


class VendorPort(Protocol):
    """Talk to one vendor's API within one scope.

    Every method raises `VendorError` subclasses only: see below which.
    """

    async def check(self) -> None:
        """Return if the account works and the scope exists; raise with the cure otherwise."""
        ...

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what moved since the cursor; everything for None. Raises `CursorLost`."""
        ...

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one record from the vendor itself; None if the vendor says it is gone.

        Raises `VendorGarbage` if the record cannot be understood, `OutOfScope` if it belongs elsewhere.
        """
        ...

    async def find(self, kind: ItemKind, item_id: str) -> VendorRecord | None:
        """Look up the record that carries our marker: before a create is repeated."""
        ...

    async def create(self, kind: ItemKind, item_id: str, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Create a record carrying our marker; return it as the vendor now shows it.

        Where an earlier attempt has made it already, that is returned as it is, with `existed`.
        """
        ...

    async def update(self, record: VendorRecord, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Write the values into the record just read; return it as the vendor now shows it.

        Everything of `record.native` that is not in `values` stays. Where the manifest says that versions
        guard writes, the record may be as it was last seen instead, and `native` None.
        Raises `VersionMismatch` if the record moved since (where the vendor can tell), `RecordGone` if it
        is no more.
        """
        ...

    async def delete(self, record: VendorRecord) -> None:
        """Delete the record just read. Gone already is success. Raises `VersionMismatch`."""
        ...

    def hints(self, event: Mapping[str, Any]) -> Sequence[str]:
        """Return the record ids a webhook event points at. Raises `VendorGarbage` if it makes no sense.

        An event is a hint: the engine reads the records itself, unless `ShowingPort` shows them.
        """
        ...

    def decisions(self, event: Mapping[str, Any], /) -> Sequence[Decision]:
        """Return what a person decided in a webhook event; nothing for most vendors and events.

        Raises `VendorGarbage` if it makes no sense.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what the adapter holds."""
        ...


class VendorError(Exception):
    """A vendor call did not do what was asked."""


class VendorUnavailable(VendorError):
    """Transient: time-out, 5xx, 429. `retry_after` in seconds where the vendor said when."""

    def __init__(
        self, message: str, *, retry_after: float | None = None, unknown_outcome: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.unknown_outcome = unknown_outcome
        """The request may have been carried out: look before repeating a create."""


class NotCalled(VendorUnavailable):
    """We did not call the vendor, for its sake or ours: that is no try, and nothing has happened."""


class VendorResting(NotCalled):
    """The vendor failed again and again, and is left alone for a while."""


class BudgetSpent(NotCalled):
    """What the vendor allows is used up for a while, or left for what is more urgent."""


class VendorAuthFailed(VendorError):
    """The vendor refuses our credentials: the organization must reconnect."""


class VendorRejected(VendorError):
    """Terminal: the vendor understood and refused; a human must look."""


class VendorGarbage(VendorError):
    """The vendor answered something that makes no sense."""


class VersionMismatch(VendorError):
    """The record moved since it was read: read it again, merge, try again."""


class RecordGone(VendorError):
    """The record is no more."""


class CursorLost(VendorError):
    """The vendor no longer knows the cursor: scan from None."""


class OutOfScope(VendorRejected):
    """The record exists, but outside the link's scope: it left, and leaving is never a delete."""
