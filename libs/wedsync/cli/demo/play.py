"""What happens in the demo: eight edits, each made by somebody else, and where each must arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from wedsync.cli.demo.ical import text_of, with_text
from wedsync.cli.demo.stage import DAY, ZONE, Stage
from wedsync.cli.demo.vendors import Entry, Json
from wedsync.client import CALLER
from wedsync.model.changes import Change, ChangeKind
from wedsync.model.ids import new_id
from wedsync.model.items import LIFE, FieldValue, ItemKind

TAVE, CALENDAR, STRIPE, SLACK = "tave", "apple_calendar", "stripe", "slack"

_NAME, _NEW_NAME = "First dance", "First dance, by candlelight"
_TAVE_NAME, _CALENDAR_NAME = "First dance, on the terrace", "First dance, in the ballroom"
_SAID = "The florist comes at half past nine."
_CENTS = 250_000
_PLACE, _NOTE = "Rose garden", "The band plays At Last"
_MOVED_START, _MOVED_END = "16:30:00", "17:00:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One edit, which fields of the log it must show up in, and what each vendor must show then."""

    title: str
    edit: Callable[[], Awaitable[object]]
    fields: frozenset[str]
    kind: ItemKind = ItemKind.TIMELINE_EVENT
    arrived: Mapping[str, Callable[[], Awaitable[bool]]]


class Play:
    """The acts. They build on each other: play them in order."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._event_id = ""
        self._entry_url = ""
        self._decided = False

    def acts(self) -> Iterator[Act]:
        """Yield each act once the one before is over."""
        yield self._created_in_tave()
        yield self._moved_in_the_calendar()
        yield self._changed_through_the_api()
        yield self._changed_in_both()
        yield self._disputed_and_decided()
        yield self._deleted_in_the_calendar()
        yield self._paid_in_stripe()
        yield self._said_through_the_api()

    def _created_in_tave(self) -> Act:
        return Act(
            title="created in Tave, appears in the calendar",
            edit=self._create,
            fields=frozenset({"title"}),
            arrived={CALENDAR: self._calendar_shows(SUMMARY=_NAME, DTSTART=_compact("15:00:00"))},
        )

    def _moved_in_the_calendar(self) -> Act:
        return Act(
            title="moved in the calendar, moves in Tave",
            edit=self._move,
            fields=frozenset({"starts_at", "ends_at"}),
            arrived={TAVE: self._tave_shows(startTime=_MOVED_START, endTime=_MOVED_END)},
        )

    def _changed_through_the_api(self) -> Act:
        return Act(
            title="changed through ApplyChanges, reaches both",
            edit=lambda: self._apply({"location": _PLACE}),
            fields=frozenset({"location"}),
            arrived={TAVE: self._tave_is_at(_PLACE), CALENDAR: self._calendar_shows(LOCATION=_PLACE)},
        )

    def _changed_in_both(self) -> Act:
        return Act(
            title="different fields changed in both at once, both survive",
            edit=self._rename_and_annotate,
            fields=frozenset({"title", "notes"}),
            arrived={
                TAVE: self._tave_shows(name=_NEW_NAME, descriptionHtml=_NOTE),
                CALENDAR: self._calendar_shows(SUMMARY=_NEW_NAME, DESCRIPTION=_NOTE),
            },
        )

    def _deleted_in_the_calendar(self) -> Act:
        return Act(
            title="deleted in the calendar, disappears from Tave",
            edit=lambda: self._stage.couple.delete_entry(self._entry_url),
            fields=frozenset({LIFE}),
            arrived={TAVE: self._gone_from_tave},
        )

    def _disputed_and_decided(self) -> Act:
        return Act(
            title="the same field changed in both, decided by a button in Slack",
            edit=self._dispute,
            fields=frozenset({"title"}),
            arrived={
                SLACK: self._decide,
                TAVE: self._tave_shows_one_of_two,
                CALENDAR: self._calendar_agrees_with_tave,
            },
        )

    def _paid_in_stripe(self) -> Act:
        return Act(
            title="paid in Stripe, posted to the job in Tave",
            edit=lambda: self._stage.payer.pay(self._stage.customer, _CENTS, "usd"),
            fields=frozenset({"amount"}),
            kind=ItemKind.PAYMENT,
            arrived={TAVE: self._tave_has_the_payment},
        )

    def _said_through_the_api(self) -> Act:
        return Act(
            title="said through ApplyChanges, read in Slack",
            edit=self._say,
            fields=frozenset({"text"}),
            kind=ItemKind.MESSAGE,
            arrived={SLACK: lambda: self._stage.team.reads(_SAID)},
        )

    async def _dispute(self) -> None:
        self._decided = False
        await self._stage.apart(TAVE, CALENDAR)
        await self._stage.photographer.change_event(self._event_id, name=_TAVE_NAME)
        await self._stage.couple.change_entry(
            self._entry_url, lambda text: with_text(text, "SUMMARY", _CALENDAR_NAME)
        )
        await self._stage.together(TAVE, CALENDAR)

    async def _decide(self) -> bool:
        """Press the button as soon as Slack shows it; say whether it was pressed."""
        if not self._decided and (asked := await self._stage.team.asked_about()):
            await self._stage.team.click(asked[0], "current")
            self._decided = True
        return self._decided

    async def _tave_shows_one_of_two(self) -> bool:
        event = await self._event() or {}
        return self._decided and event.get("name") in {_TAVE_NAME, _CALENDAR_NAME}

    async def _calendar_agrees_with_tave(self) -> bool:
        entry, event = await self._entry(), await self._event() or {}
        return self._decided and entry is not None and text_of(entry.text, "SUMMARY") == event.get("name")

    async def _tave_has_the_payment(self) -> bool:
        return bool(await self._stage.photographer.payments(self._stage.job_id))

    async def _say(self) -> None:
        message = Change(
            change_id=new_id(),
            item_id=new_id(),
            item_kind=ItemKind.MESSAGE,
            kind=ChangeKind.CREATE,
            source=CALLER,
            values={"text": _SAID},
        )
        await self._stage.sync.apply_changes(self._stage.wedding_id, [message])

    async def _create(self) -> None:
        self._event_id = await self._stage.photographer.add_event(
            self._stage.job_id,
            name=_NAME,
            startDate=DAY,
            startTime="15:00:00",
            endDate=DAY,
            endTime="15:30:00",
            timezoneName=ZONE,
        )

    async def _move(self) -> None:
        entry = await self._entry()
        self._entry_url = entry.url if entry else ""

        def moved(text: str) -> str:
            return with_text(
                with_text(text, "DTSTART", _compact(_MOVED_START)), "DTEND", _compact(_MOVED_END)
            )

        await self._stage.couple.change_entry(self._entry_url, moved)

    async def _apply(self, values: Mapping[str, FieldValue]) -> None:
        born = self._stage.log.after(0, ItemKind.TIMELINE_EVENT)[0]
        change = Change(
            change_id=new_id(),
            item_id=born.item_id,
            item_kind=ItemKind.TIMELINE_EVENT,
            kind=ChangeKind.UPDATE,
            source=CALLER,
            values=values,
        )
        await self._stage.sync.apply_changes(self._stage.wedding_id, [change])

    async def _rename_and_annotate(self) -> None:
        await asyncio.gather(
            self._stage.photographer.change_event(self._event_id, name=_NEW_NAME),
            self._stage.couple.change_entry(
                self._entry_url, lambda text: with_text(text, "DESCRIPTION", _NOTE)
            ),
        )

    def _calendar_shows(self, **wanted: str) -> Callable[[], Awaitable[bool]]:
        async def shows() -> bool:
            entry = await self._entry()
            return entry is not None and all(text_of(entry.text, name) == wanted[name] for name in wanted)

        return shows

    def _tave_shows(self, **wanted: str) -> Callable[[], Awaitable[bool]]:
        async def shows() -> bool:
            event = await self._event()
            # Rich text comes with tags round what was written.
            return event is not None and all(wanted[name] in (event[name] or "") for name in wanted)

        return shows

    def _tave_is_at(self, place: str) -> Callable[[], Awaitable[bool]]:
        async def shows() -> bool:
            event = await self._event() or {}
            address = (event.get("location") or {}).get("address") or {}
            return place in str(address.get("streetAddress"))

        return shows

    async def _gone_from_tave(self) -> bool:
        return await self._event() is None

    async def _entry(self) -> Entry | None:
        """Return the calendar's event; there is only one."""
        return next(iter(await self._stage.couple.entries()), None)

    async def _event(self) -> Json | None:
        events = await self._stage.photographer.events(self._stage.job_id)
        return next((event for event in events if event["id"] == self._event_id), None)


def _compact(at: str) -> str:
    """Return a time of the day as iCalendar writes it."""
    return f"{DAY}T{at}".replace("-", "").replace(":", "")
