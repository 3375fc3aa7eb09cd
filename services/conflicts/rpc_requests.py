"""What callers may ask, checked; everything that is wrong with a request is said at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from services.conflicts.conflict import Choice, Claim, Collision, Conflict, Decision, Ending, State
from services.conflicts.paging import Place, place_of
from wedsync.api.conflicts.v1 import service_pb2
from wedsync.convert import kind_from_message, source_from_message, value_from_message
from wedsync.convert.changes import moment
from wedsync.model.changes import Source
from wedsync.model.ids import is_id
from wedsync.model.items import CATALOGUE, LIFE, FieldValue, ItemKind
from wedsync.model.values import BadValue, canonical
from wedsync.runtime.principal import Principal, Scope
from wedsync.runtime.requests import ID_HINT, Checks, foreign_token, refuse, require_id

Told = service_pb2.Collision | service_pb2.Ending

_CHOICES = {
    service_pb2.CHOICE_CURRENT: Choice.CURRENT,
    service_pb2.CHOICE_PROPOSED: Choice.PROPOSED,
    service_pb2.CHOICE_VALUE: Choice.VALUE,
}

MAX_COLLISIONS = 500
MAX_NOTE = 1_000
MAX_ORGANIZATIONS = 100


def told(request: service_pb2.AdjudicateRequest) -> tuple[list[Collision], list[Ending]]:
    """Return the collisions and the endings handed over. Raises `InvalidRequest`."""
    checks, counts = Checks(), {"collisions": len(request.collisions), "endings": len(request.endings)}
    for name, count in counts.items():
        checks.require(count <= MAX_COLLISIONS, name, f"holds {count}; send at most {MAX_COLLISIONS}")
    checks.require(any(counts.values()), "collisions", "is empty, and so is endings; send one at least")
    checks.finish()
    collisions = [_collision(m, f"collisions[{i}]", checks) for i, m in enumerate(request.collisions)]
    endings = [_ending(m, f"endings[{i}]", checks) for i, m in enumerate(request.endings)]
    checks.finish()
    return [c for c in collisions if c is not None], [e for e in endings if e is not None]


def page_start(token: str) -> Place | None:
    """Return the place a page starts at, None for the first. Raises `InvalidRequest`."""
    if not token:
        return None
    try:
        return place_of(token)
    except ValueError:
        raise foreign_token() from None


def state_from(number: service_pb2.ConflictState.ValueType) -> State | None:
    """Return the state asked for, None for any. Raises `InvalidRequest`."""
    if number == service_pb2.CONFLICT_STATE_UNSPECIFIED:
        return None
    try:
        return State(service_pb2.ConflictState.Name(number).removeprefix("CONFLICT_STATE_").lower())
    except ValueError:
        raise refuse("state", "is no state of a conflict; leave it out for all") from None


def decider(request: service_pb2.ResolveConflictRequest, caller: Principal) -> Source:
    """Return who decides: the caller, or the person a service of ours speaks for."""
    require_id("request_id", request.request_id)
    if not request.HasField("source"):
        return Source(organization_id=caller.organization_id, actor=caller.actor)
    if not caller.may(Scope.INTERNAL):
        raise refuse("source", "is for services of WedSync; leave it out: the caller decides")
    if not request.source.organization_id or not request.source.actor:
        raise refuse("source", "must name an organization and an actor")
    return source_from_message(request.source)


def chosen(request: service_pb2.ResolveConflictRequest, by: Source) -> Callable[[Conflict], Decision]:
    """Return what turns the request into a decision once the conflict is known. Raises `InvalidRequest`."""
    if request.choice not in _CHOICES:
        raise refuse("choice", "must be CHOICE_CURRENT, CHOICE_PROPOSED or CHOICE_VALUE")
    choice, note = _CHOICES[request.choice], request.note.strip()
    if len(note) > MAX_NOTE or not note.replace("\n", " ").isprintable():
        raise refuse("note", f"must be at most {MAX_NOTE} printable characters")
    if choice is not Choice.VALUE and request.HasField("value"):
        raise refuse("value", "is for CHOICE_VALUE only; leave it out")

    def choose(conflict: Conflict) -> Decision:
        value = _chosen_value(request, choice, conflict.collision)
        return Decision(choice=choice, value=value, source=by, reason=note, request_id=request.request_id)

    return choose


def _chosen_value(
    request: service_pb2.ResolveConflictRequest, choice: Choice, collision: Collision
) -> FieldValue:
    if choice is not Choice.VALUE:
        return (collision.current if choice is Choice.CURRENT else collision.proposed).value
    if collision.path == LIFE:
        raise refuse("choice", "must be one of the two sides: an item is there or it is not")
    checks = Checks()
    value = _value(collision.item_kind, collision.path, value_from_message(request.value), "value", checks)
    checks.finish()
    return value


def _collision(message: service_pb2.Collision, at: str, checks: Checks) -> Collision | None:
    before = len(checks.violations)
    _place(message, at, checks)
    committed_at = _moment(message, f"{at}.commit_time", checks)
    kind = _kind(message, at, checks)
    if kind is None or committed_at is None or len(checks.violations) > before:
        return None
    return Collision(
        wedding_id=message.wedding_id,
        sequence=message.sequence,
        item_id=message.item_id,
        item_kind=kind,
        path=message.path,
        current=_claim(kind, message.path, message.current, f"{at}.current", checks),
        proposed=_claim(kind, message.path, message.proposed, f"{at}.proposed", checks),
        committed_at=committed_at,
        organization_ids=tuple(message.organization_ids),
        as_of_sequence=message.as_of_sequence or message.sequence,
        trace_parent=message.trace_parent,
    )


def _ending(message: service_pb2.Ending, at: str, checks: Checks) -> Ending | None:
    before = len(checks.violations)
    _place(message, at, checks)
    ended_at = _moment(message, f"{at}.commit_time", checks)
    kind = _kind(message, at, checks)
    if kind is None or ended_at is None or len(checks.violations) > before:
        return None
    return Ending(
        wedding_id=message.wedding_id,
        sequence=message.sequence,
        path=message.path,
        final=_claim(kind, message.path, message.final, f"{at}.final", checks),
        state=State.SUPERSEDED if message.superseded else State.RESOLVED,
        ended_at=ended_at,
        organization_ids=tuple(message.organization_ids),
        trace_parent=message.trace_parent,
    )


def _place(message: Told, at: str, checks: Checks) -> None:
    for field in ("wedding_id", "item_id"):
        checks.require(is_id(getattr(message, field)), f"{at}.{field}", ID_HINT)
    checks.require(message.sequence > 0, f"{at}.sequence", "must be the collision's place in the log")
    count, named = len(message.organization_ids), all(map(_is_name, message.organization_ids))
    checks.require(
        named and 1 <= count <= MAX_ORGANIZATIONS,
        f"{at}.organization_ids",
        f"must name 1 to {MAX_ORGANIZATIONS} organizations, without commas",
    )


def _moment(message: Told, at: str, checks: Checks) -> datetime | None:
    try:
        committed_at = moment(message.commit_time)
    except ValueError:
        checks.refuse(at, "is out of range")
        return None
    checks.require(message.HasField("commit_time"), at, "must say when the collision was committed")
    return committed_at


def _kind(message: Told, at: str, checks: Checks) -> ItemKind | None:
    try:
        kind = kind_from_message(message.item_kind)
    except ValueError:
        checks.refuse(f"{at}.item_kind", "must be a kind of item")
        return None
    fields = CATALOGUE[kind]
    known = message.path == LIFE or message.path in fields
    checks.require(known, f"{at}.path", f"is no field of a {kind}; it has {', '.join(fields)}")
    return kind


def _claim(kind: ItemKind, path: str, message: service_pb2.Claim, at: str, checks: Checks) -> Claim:
    checks.require(bool(message.source.organization_id), f"{at}.source", "must say who wants the value")
    return Claim(
        value=_value(kind, path, value_from_message(message.value), f"{at}.value", checks),
        source=source_from_message(message.source),
        revision=message.revision,
        values={
            field: _value(kind, field, value_from_message(value), f"{at}.values[{field}]", checks)
            for field, value in message.values.items()
        },
    )


def _value(kind: ItemKind, path: str, value: FieldValue, at: str, checks: Checks) -> FieldValue:
    if path == LIFE:
        checks.require(value is None or isinstance(value, bool), at, "must be a flag: deleted or not")
        return value
    try:
        return canonical(kind, path, value)
    except BadValue as bad:
        checks.refuse(at, str(bad))
        return None


def _is_name(organization_id: str) -> bool:
    return bool(organization_id) and "," not in organization_id and organization_id.isprintable()
