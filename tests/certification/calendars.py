"""What people do in a calendar besides making, renaming and deleting events.

The hands of a vendor of the category `calendar` can do this too. A time is a canonical one, such as
`2027-06-12T15:00:00[Europe/Paris]`; of a whole day its midnight, in whatever zone. An event lasts an hour,
or a day.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, cast

from tests.certification.bench import Hands
from tests.certification.world import World
from wedsync.model.items import FieldValue

LASTS, DAY = timedelta(hours=1), timedelta(days=1)


class Place(NamedTuple):
    """Where an event stands in a calendar."""

    title: str
    starts_at: str
    """A canonical time, of a whole day its date."""
    all_day: bool = False


class CalendarHands(Hands, Protocol):
    """People who keep a calendar."""

    async def plan(self, title: str, starts_at: str, *, all_day: bool = False, weekly: int = 1) -> str:
        """Make an event, or a series of so many weeks; return its id."""
        ...

    async def move(self, record: str, starts_at: str, *, all_day: bool = False) -> None:
        """Let an event, a series as a whole or one instance of it begin at another time."""
        ...

    async def recur(self, record: str, weekly: int) -> None:
        """Let an event take place so many weeks from now on."""
        ...

    def instance(self, series: str, number: int) -> str:
        """Return the id of an instance of a series; the first is number 0."""
        ...

    async def calendar(self) -> list[Place]:
        """Return what stands in the calendar on which day, each instance of a series for itself."""
        ...


def keepers_of(world: World) -> CalendarHands:
    """Return the people who keep the calendar."""
    return cast("CalendarHands", world.hands)


def local(starts_at: str) -> tuple[datetime, str]:
    """Return a canonical time as a local one and the name of its zone."""
    text, _, zone = starts_at.removesuffix("]").partition("[")
    return datetime.fromisoformat(text), zone


def canonical(at: datetime, zone: str) -> str:
    """Return a local time in its canonical form."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='seconds')}[{zone}]"


def values(title: str, starts_at: str, *, all_day: bool = False) -> dict[str, FieldValue]:
    """Return the fields of an item that stands so in a calendar."""
    at, zone = local(starts_at)
    ends_at = canonical(at + (DAY if all_day else LASTS), zone)
    return {"title": title, "starts_at": starts_at, "ends_at": ends_at, "all_day": all_day}


def ours(world: World) -> list[Place]:
    """Return what stands in the wedding."""
    return sorted(
        place(str(item.value("title")), str(item.value("starts_at")), all_day=item.value("all_day") is True)
        for item in world.items().values()
    )


def place(title: str, starts_at: str, *, all_day: bool = False) -> Place:
    """Return where something stands: a whole day has no zone."""
    return Place(title, starts_at[:10] if all_day else starts_at, all_day)


async def stand(world: World, *places: Place) -> None:
    """Wait until just this stands in both, and see that it stays so."""
    keepers, expected = keepers_of(world), sorted(places)

    async def both() -> bool:
        await world.hand_over()
        return ours(world) == expected == sorted(await keepers.calendar())

    await world.until(both, f"both sides have just {expected}")
    await world.rests()
    assert await both()


def weeks(title: str, starts_at: str, numbers: Iterable[int], *, all_day: bool = False) -> list[Place]:
    """Return where instances of a weekly series stand."""
    at, zone = local(starts_at)
    times = [canonical(at + timedelta(weeks=number), zone) for number in numbers]
    return [place(title, time, all_day=all_day) for time in times]
