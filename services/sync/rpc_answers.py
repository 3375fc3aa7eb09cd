"""What the stores hand out, as messages and page tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.sync.records import LogEntry, WeddingRecord
from services.sync.rewinder import Rewound
from wedsync.api.sync.v1 import change_pb2, service_pb2, wedding_pb2
from wedsync.convert import change_to_message, logged_change_to_message, result_to_message
from wedsync.convert.changes import timestamp
from wedsync.convert.items import date_to_message
from wedsync.runtime.requests import foreign_token, page_token, place_of, require_id


def wedding_place(token: str) -> tuple[datetime, str] | None:
    """Return after which wedding a page starts, None for the first. Raises `InvalidRequest`."""
    place = place_of(token, parts=2)
    if place is None:
        return None
    try:
        return datetime.fromisoformat(place[0]), require_id("page_token", place[1])
    except ValueError:
        raise foreign_token() from None


def wedding_token(wedding: WeddingRecord) -> str:
    """Return the token of the page after this wedding."""
    created = wedding.created_at.isoformat() if wedding.created_at else ""
    return page_token([created, wedding.wedding_id])


def wedding_message(wedding: WeddingRecord) -> wedding_pb2.Wedding:
    """Return a wedding without its items."""
    members: Sequence[wedding_pb2.Member] = [
        wedding_pb2.Member(organization_id=organization, role=role) for organization, role in wedding.members
    ]
    message = wedding_pb2.Wedding(
        wedding_id=wedding.wedding_id,
        title=wedding.title,
        date=date_to_message(wedding.day.isoformat()) if wedding.day else None,
        time_zone=wedding.time_zone,
        members=members,
        sequence=wedding.sequence,
        paused=wedding.paused is not None,
        pause_reason=wedding.paused or "",
    )
    if wedding.sequence and wedding.committed_at:
        message.update_time.CopyFrom(timestamp(wedding.committed_at))
    return message


def logged(wedding_id: str, entry: LogEntry) -> change_pb2.LoggedChange:
    """Return one entry of a log."""
    return logged_change_to_message(wedding_id=wedding_id, change=entry.change, result=entry.result)


def watched(wedding_id: str, entry: LogEntry) -> service_pb2.WatchWeddingResponse:
    """Return one entry of a log that is watched."""
    return service_pb2.WatchWeddingResponse(change=logged(wedding_id, entry), sequence=entry.result.sequence)


def rewound(answer: Rewound, sequence: int) -> service_pb2.RewindWeddingResponse:
    """Return what a rewind did, or would do."""
    kinds = {change.change_id: change.item_kind for change in answer.changes}
    return service_pb2.RewindWeddingResponse(
        changes=[change_to_message(change) for change in answer.changes],
        results=[result_to_message(kinds[result.change_id], result) for result in answer.results],
        not_rewound=[
            service_pb2.NotRewound(item_id=kept.item_id, path=kept.path, reason=kept.reason)
            for kept in answer.kept
        ],
        sequence=sequence,
    )
