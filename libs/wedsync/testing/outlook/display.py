"""How the API shows what the mailbox keeps: ids, etags, events, as the client prefers. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wedsync.testing.outlook import times
from wedsync.testing.outlook.mailbox import Kept, Key, Mailbox
from wedsync.testing.outlook.refusal import invalid, not_found
from wedsync.testing.outlook.shape import Json

_PREFERENCE = re.compile(r'([\w.-]+)=(?:"([^"]*)"|([^\s,;"]+))')
_FROM_MOVES, _FROM_DAY = "~m", "~o"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefer:
    """What a client prefers, by the header of that name."""

    zone: str = "UTC"
    immutable_ids: bool = False
    text: bool = False
    page_size: int = 10

    @classmethod
    def read(cls, header: str) -> Prefer:
        """Return what the header says. Raises `Refused`."""
        said = {name.lower(): quoted or bare for name, quoted, bare in _PREFERENCE.findall(header)}
        size = said.get("odata.maxpagesize", "10")
        if not (size.isascii() and size.isdigit() and 1 <= int(size) <= 1000):
            raise invalid("odata.maxpagesize is a number from 1 to 1000", "ErrorInvalidParameter")
        zone = said.get("outlook.timezone", "UTC")
        times.zone(zone)
        return cls(
            zone=zone,
            immutable_ids=said.get("idtype", "").lower() == "immutableid",
            text=said.get("outlook.body-content-type") == "text",
            page_size=int(size),
        )


def public_id(mailbox: Mailbox, key: Key, prefer: Prefer, *, moves: int | None = None) -> str:
    """Return the id a client gets: one that stays, or one that is another after a move."""
    kept = mailbox.events.get(key.event_id)
    count = moves if moves is not None else kept.moves if kept else 0
    own = key.event_id if prefer.immutable_ids else f"{key.event_id}{_FROM_MOVES}{count}"
    return f"{own}{_FROM_DAY}{key.day}" if key.day else own


def locate(mailbox: Mailbox, given: str) -> Key:
    """Return what an id names. Raises `Refused`."""
    own, _, day = given.partition(_FROM_DAY)
    event_id, _, moves = own.partition(_FROM_MOVES)
    kept = mailbox.events.get(event_id)
    if kept is None or (moves and moves != str(kept.moves)):
        raise not_found()
    key = Key(event_id, day)
    mailbox.get(key)
    return key


def etag(kept: Kept) -> str:
    """Return the weak etag of an event."""
    return f'W/"{_change_key(kept)}"'


def event(mailbox: Mailbox, key: Key, prefer: Prefer, properties: Collection[str] = ()) -> Json:
    """Return an event as the API shows it, with those of its extended properties that were asked for."""
    kept, body = mailbox.events[key.event_id], mailbox.body(key)
    known = mailbox.properties(key)
    listed = [{"id": name, "value": known[name]} for name in properties if name in known]
    return {
        **_identity(mailbox, kept, key, prefer),
        "changeKey": _change_key(kept),
        "createdDateTime": kept.created,
        "lastModifiedDateTime": kept.modified,
        **({"transactionId": kept.transaction_id} if kept.transaction_id else {}),
        "iCalUId": f"040000008200E00074C5B7101A82E008{kept.event_id[6:14]}{key.day}",
        **{name: body[name] for name in ("subject", "showAs", "isAllDay", "isOnlineMeeting")},
        "body": _body(body["content"], prefer),
        "bodyPreview": body["content"][:255],
        "location": {"displayName": body["location"], "locationType": "default"},
        **_times(body, prefer),
        "originalStartTimeZone": body["startZone"],
        "originalEndTimeZone": body["endZone"],
        "isCancelled": kept.is_cancelled,
        "isOrganizer": kept.is_organizer,
        "recurrence": None if key.day else kept.recurrence,
        **({"singleValueExtendedProperties": listed} if listed else {}),
    }


def slim(mailbox: Mailbox, key: Key, prefer: Prefer) -> Json:
    """Return an instance of a series as a delta shows it: its times and whose it is."""
    kept = mailbox.events[key.event_id]
    return {**_identity(mailbox, kept, key, prefer), **_times(mailbox.body(key), prefer)}


def _identity(mailbox: Mailbox, kept: Kept, key: Key, prefer: Prefer) -> Json:
    series = public_id(mailbox, Key(key.event_id), prefer) if key.day else None
    return {
        "@odata.type": "#microsoft.graph.event",
        "@odata.etag": etag(kept),
        "id": public_id(mailbox, key, prefer),
        "type": _type(kept, key),
        "seriesMasterId": series,
    }


def _type(kept: Kept, key: Key) -> str:
    if not key.day:
        return "seriesMaster" if kept.recurrence else "singleInstance"
    return "exception" if key.day in kept.exceptions else "occurrence"


def _times(body: Mapping[str, Any], prefer: Prefer) -> Json:
    shown = {name: datetime.fromisoformat(body[name]) for name in ("start", "end")}
    floating = bool(body["isAllDay"])
    return {name: times.shown(at, prefer.zone, floating=floating) for name, at in shown.items()}


def _body(content: str, prefer: Prefer) -> Json:
    # What was written as text comes back with other line ends, and one more at its end.
    if prefer.text:
        text = content.replace("\r\n", "\n").replace("\n", "\r\n")
        return {"contentType": "text", "content": f"{text}\r\n" if text else ""}
    return {"contentType": "html", "content": f"<html><body>{content}</body></html>"}


def _change_key(kept: Kept) -> str:
    return base64.b64encode(f"{kept.event_id[-6:]}/{kept.number:08d}".encode()).decode()
