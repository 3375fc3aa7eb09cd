"""What callers may ask of the past, of pausing and of rewinding, checked."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.sync.filters import LogFilter, SourceFilter
from services.sync.records import Moment
from services.sync.rewind import Rewinding, author_of
from wedsync.api.sync.v1 import change_pb2, service_pb2
from wedsync.convert import kind_from_message
from wedsync.convert.changes import moment, outcome_from_message
from wedsync.model.changes import Outcome, Source
from wedsync.model.ids import is_id
from wedsync.model.items import CATALOGUE, LIFE, ItemKind
from wedsync.runtime.requests import ID_HINT, Checks, refuse

MAX_REASON = 200

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # nothing was committed before

Past = service_pb2.GetWeddingRequest | service_pb2.GetItemRequest | service_pb2.ListItemsRequest


def moment_of(request: Past) -> Moment | None:
    """Return the moment in history that is asked about, None for now. Raises `InvalidRequest`."""
    if not request.HasField("as_of"):
        return None
    checks = Checks()
    match request.as_of.WhichOneof("moment"):
        case "sequence":
            at: Moment = request.as_of.sequence
            checks.require(request.as_of.sequence >= 0, "as_of.sequence", "must not be negative")
        case "time":
            at = _time(request.as_of.time, "as_of.time", checks) or _EARLIEST
        case _:
            at = 0
            checks.refuse("as_of", "is empty; say a sequence or a time")
    checks.finish()
    return at


def filter_of(request: service_pb2.ListChangesRequest) -> LogFilter:
    """Return which entries of the log are asked for. Raises `InvalidRequest`."""
    checks, only = Checks(), request.filter
    start = _time(only.start_time, "filter.start_time", checks) if only.HasField("start_time") else None
    end = _time(only.end_time, "filter.end_time", checks) if only.HasField("end_time") else None
    if start and end:
        checks.require(start < end, "filter.end_time", "must be later than the start_time")
    for field, value in (("item_id", request.item_id), ("filter.change_id", only.change_id)):
        checks.require(not value or is_id(value), field, ID_HINT)
    kind = _kind(only, checks)
    _check_path(only.path, kind, checks)
    found = LogFilter(
        item_id=request.item_id or None,
        start=start,
        end=end,
        change_id=only.change_id or None,
        path=only.path or None,
        item_kind=kind,
        source=_source(only),
        outcomes=frozenset(filter(None, (_outcome(number, checks) for number in only.outcomes))),
    )
    checks.finish()
    return found


def pause_reason(request: service_pb2.PauseWeddingRequest) -> str:
    """Return why the wedding is paused. Raises `InvalidRequest`."""
    reason = request.reason.strip()
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise refuse("reason", f"must be a line of 1 to {MAX_REASON} characters")
    return reason


def rewinding_of(
    request: service_pb2.RewindWeddingRequest, author: Source, *, trace_parent: str
) -> Rewinding:
    """Return what is to be rewound; what is now, is read later. Raises `InvalidRequest`."""
    checks, then = Checks(), request.to_sequence
    checks.require(is_id(request.request_id), "request_id", ID_HINT)
    checks.require(then >= 0, "to_sequence", "must not be negative")
    whose = _source(request.source)
    empty = request.HasField("source") and whose == SourceFilter()
    checks.require(not empty, "source", "is empty; name a link, a vendor or an actor")
    checks.finish()
    return Rewinding(
        request_id=request.request_id,
        then=then,
        now=then,
        author=author_of(author, then),
        whose=whose,
        trace_parent=trace_parent,
    )


def _time(message: Timestamp, at: str, checks: Checks) -> datetime | None:
    try:
        return max(moment(message), _EARLIEST)
    except (ValueError, OverflowError):
        checks.refuse(at, "is no time of the years 1 to 9999")
        return None


def _source(message: service_pb2.ChangeFilter | service_pb2.SourceFilter) -> SourceFilter:
    return SourceFilter(
        link_id=message.link_id or None, vendor=message.vendor or None, actor=message.actor or None
    )


def _kind(only: service_pb2.ChangeFilter, checks: Checks) -> ItemKind | None:
    if not only.item_kind:
        return None
    try:
        return kind_from_message(only.item_kind)
    except ValueError:
        checks.refuse("filter.item_kind", "is no kind of item")
        return None


def _check_path(path: str, kind: ItemKind | None, checks: Checks) -> None:
    kinds = [kind] if kind else list(ItemKind)
    known = {LIFE, *(field for each in kinds for field in CATALOGUE[each])}
    checks.require(not path or path in known, "filter.path", f"is no field of {kind or 'any kind of item'}")


def _outcome(number: change_pb2.Outcome.ValueType, checks: Checks) -> Outcome | None:
    try:
        return outcome_from_message(number)
    except ValueError:
        checks.refuse("filter.outcomes", "holds one that is no outcome")
        return None
