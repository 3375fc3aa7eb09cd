"""What callers may ask, checked; everything that is wrong with a request is said at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

from services.sync.lanes import is_emergency, lane_of
from services.sync.records import WeddingRecord
from wedsync.api.sync.v1 import change_pb2, service_pb2, wedding_pb2
from wedsync.convert import change_from_message, source_from_message
from wedsync.convert.items import date_from_message
from wedsync.errors import FieldViolation, InvalidRequest, PermissionDenied
from wedsync.model.changes import Change, Source
from wedsync.model.ids import is_id, new_id
from wedsync.model.values import BadValue, day_of, is_zone
from wedsync.runtime.principal import Principal, Scope
from wedsync.runtime.requests import ID_HINT

MAX_CHANGES = 500
MAX_TITLE, MAX_MEMBERS, MAX_NAME = 200, 50, 200


def refuse(problems: Sequence[FieldViolation]) -> None:
    """Raise `InvalidRequest` if there are any problems."""
    if problems:
        raise InvalidRequest(violations=problems)


def viewer_of(caller: Principal) -> str | None:
    """Return whose eyes to look through; our own services see every wedding."""
    return None if Scope.INTERNAL in caller.scopes else caller.organization_id


def author_of(caller: Principal) -> Source:
    """Return the source of what a caller does by itself."""
    return Source(organization_id=caller.organization_id, actor=caller.actor)


def after_of(sequence: int) -> int:
    """Return after which sequence somebody reads on. Raises `InvalidRequest`."""
    if sequence < 0:
        refuse([FieldViolation("after_sequence", "must not be negative")])
    return sequence


def wedding_from(message: wedding_pb2.Wedding, caller: Principal) -> WeddingRecord:
    """Return the wedding a caller wants to create; its own organization always takes part."""
    problems: list[FieldViolation] = []
    if message.wedding_id and not is_id(message.wedding_id):
        problems.append(FieldViolation("wedding.wedding_id", ID_HINT))
    title = message.title.strip()
    if not title or len(title) > MAX_TITLE or not title.isprintable():
        problems.append(FieldViolation("wedding.title", f"must be a line of 1 to {MAX_TITLE} characters"))
    day = _day(message, problems)
    if not is_zone(message.time_zone):
        problems.append(
            FieldViolation("wedding.time_zone", "must be an IANA time zone, such as Europe/Paris")
        )
    members = _members(message, problems)
    refuse(problems)
    members.setdefault(caller.organization_id, caller.role)
    return WeddingRecord(
        wedding_id=message.wedding_id or new_id(),
        title=title,
        day=day,
        time_zone=message.time_zone,
        members=tuple(sorted(members.items())),
    )


def changes_from(
    request: service_pb2.ApplyChangesRequest, caller: Principal, *, trace_parent: str
) -> list[Change]:
    """Return the changes a caller proposes; who proposes them is read from its proof."""
    count = len(request.changes)
    if not 1 <= count <= MAX_CHANGES:
        refuse([FieldViolation("changes", f"holds {count} changes; send 1 to {MAX_CHANGES}")])
    problems: list[FieldViolation] = []
    changes = [
        change_from_message(
            message,
            at=f"changes[{index}]",
            source=_source(message, f"changes[{index}]", caller, problems),
            trace_parent=trace_parent,
            problems=problems,
        )
        for index, message in enumerate(request.changes)
    ]
    problems.extend(_about_the_wedding(request))
    refuse(problems)
    return [change for change in changes if change is not None]


def in_lanes(changes: Sequence[Change], caller: Principal, *, live: bool, backfill: bool) -> list[Change]:
    """Return the changes, each in the lane it travels in. Raises `PermissionDenied`."""
    if any(is_emergency(change) for change in changes) and not caller.may(Scope.EMERGENCY):
        raise PermissionDenied(
            "An emergency needs a key with the scope `emergency`.", metadata={"scope": Scope.EMERGENCY}
        )
    return [replace(change, priority=lane_of(change, live=live, backfill=backfill)) for change in changes]


def _about_the_wedding(request: service_pb2.ApplyChangesRequest) -> Iterator[FieldViolation]:
    for index, message in enumerate(request.changes):
        if message.content.HasField("wedding") or message.item_id == request.wedding_id:
            cure = "means the wedding itself; call PauseWedding or ResumeWedding"
            yield FieldViolation(f"changes[{index}].item_id", cure)


def _source(message: change_pb2.Change, at: str, caller: Principal, problems: list[FieldViolation]) -> Source:
    if not message.HasField("source"):
        return author_of(caller)
    if Scope.INTERNAL not in caller.scopes:
        problems.append(
            FieldViolation(f"{at}.source", "must not be set: who changes something is read from the key")
        )
    elif not message.source.organization_id:
        problems.append(FieldViolation(f"{at}.source.organization_id", "must not be empty"))
    return source_from_message(message.source)


def _day(message: wedding_pb2.Wedding, problems: list[FieldViolation]) -> date | None:
    if not message.HasField("date"):
        return None
    try:
        return day_of(date_from_message(message.date))
    except BadValue as bad:
        problems.append(FieldViolation("wedding.date", str(bad)))
        return None


def _members(message: wedding_pb2.Wedding, problems: list[FieldViolation]) -> dict[str, str]:
    if len(message.members) > MAX_MEMBERS:
        problems.append(FieldViolation("wedding.members", f"at most {MAX_MEMBERS} organizations take part"))
    members: dict[str, str] = {}
    for index, member in enumerate(message.members):
        at = f"wedding.members[{index}]"
        if not _is_name(member.organization_id) or "," in member.organization_id:
            problems.append(FieldViolation(f"{at}.organization_id", "must name an organization"))
        if not _is_name(member.role):
            problems.append(
                FieldViolation(f"{at}.role", "must say its part: planner, photographer, venue, …")
            )
        if member.organization_id in members:
            problems.append(FieldViolation(f"{at}.organization_id", "is named twice"))
        members[member.organization_id] = member.role
    return members


def _is_name(text: str) -> bool:
    return bool(text.strip()) and len(text) <= MAX_NAME and text.isprintable()
