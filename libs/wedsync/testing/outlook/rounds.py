"""Delta rounds over a calendar view: opaque tokens that fix the window, and what moved between them. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from wedsync.testing.outlook import display, times
from wedsync.testing.outlook.display import Prefer
from wedsync.testing.outlook.mailbox import Key, Mailbox
from wedsync.testing.outlook.refusal import Refused, invalid
from wedsync.testing.outlook.shape import Json

_LONGEST = timedelta(days=1825)
_SKIP, _DELTA = "$skiptoken", "$deltatoken"
_BOUNDS = {"startDateTime", "endDateTime"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Where a client stands: the window, what it was told of, and what is still to be told."""

    calendar: str
    start: str
    end: str
    known: Mapping[Key, int]
    """What lay in the window when the round began, with how often each had moved between calendars."""
    number: int
    """The mailbox's count when the round began."""
    queue: tuple[tuple[Key, int], ...] = ()


@dataclass(slots=True)
class Rounds:
    """The tokens given out; a mailbox may forget them all."""

    mailbox: Mailbox
    given: dict[str, Round] = field(default_factory=dict)

    def forget(self) -> None:
        """Forget every token."""
        self.given.clear()

    def page(self, calendar: str, query: Mapping[str, str], prefer: Prefer, url: str) -> Json:
        """Return a page of a round, with the link to the next page or the next round. Raises `Refused`."""
        now = self._begun(self.mailbox.calendar(calendar), query)
        told, left = now.queue[: prefer.page_size], now.queue[prefer.page_size :]
        token = secrets.token_urlsafe(48)
        self.given[token] = Round(
            calendar=now.calendar,
            start=now.start,
            end=now.end,
            known=now.known,
            number=now.number,
            queue=left,
        )
        name, kind = ("@odata.nextLink", _SKIP) if left else ("@odata.deltaLink", _DELTA)
        return {"value": [self._entry(now, *one, prefer) for one in told], name: f"{url}?{kind}={token}"}

    def _begun(self, calendar: str, query: Mapping[str, str]) -> Round:
        if query.keys() == _BOUNDS:
            start = times.parameter(query["startDateTime"], "startDateTime")
            end = times.parameter(query["endDateTime"], "endDateTime")
            if not timedelta() < end - start <= _LONGEST:
                raise invalid("The requested time duration is too long or negative.", "ErrorInvalidParameter")
            return self._since(calendar, start.isoformat(), end.isoformat(), {}, 0)
        if query.keys() not in ({_SKIP}, {_DELTA}):
            raise invalid("A link is followed as it is; no other parameter is supported.")
        kept = self.given.get(next(iter(query.values())))
        if kept is None or kept.calendar != calendar or (_SKIP in query) != bool(kept.queue):
            message = "The sync state generation is not found; start a full synchronization."
            raise Refused(410, "SyncStateNotFound", message)
        return (
            kept if kept.queue else self._since(calendar, kept.start, kept.end, dict(kept.known), kept.number)
        )

    def _since(self, calendar: str, start: str, end: str, known: dict[Key, int], number: int) -> Round:
        view = self._view(calendar, start, end)
        moved = [key for key, changed in view.items() if changed > number or key not in known]
        gone = [key for key in known if key not in view]
        moves = {key: self.mailbox.events[key.event_id].moves for key in view}
        queue = [(key, moves[key]) for key in moved] + [(key, known[key]) for key in gone]
        return Round(
            calendar=calendar,
            start=start,
            end=end,
            known=moves,
            number=self.mailbox.number,
            queue=tuple(queue),
        )

    def _entry(self, now: Round, key: Key, moves: int, prefer: Prefer) -> Json:
        if key not in self._view(now.calendar, now.start, now.end):
            gone = display.public_id(self.mailbox, key, prefer, moves=moves)
            return {"@odata.type": "#microsoft.graph.event", "id": gone, "@removed": {"reason": "deleted"}}
        is_plain = bool(key.day) and key.day not in self.mailbox.events[key.event_id].exceptions
        show = display.slim if is_plain else display.event
        return show(self.mailbox, key, prefer)

    def _view(self, calendar: str, start: str, end: str) -> dict[Key, int]:
        return self.mailbox.view(calendar, datetime.fromisoformat(start), datetime.fromisoformat(end))
