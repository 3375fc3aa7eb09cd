"""Checks of what was typed; a wrong word is a usage error (status 2), found before anything is called."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypedDict

import typer

from wedsync.model.ids import is_id
from wedsync.model.values import is_zone


def identifier(value: str | None) -> str | None:
    """Return a UUID in canonical form."""
    if value is None or is_id(value.lower()):
        return value and value.lower()
    raise typer.BadParameter(f"{value!r} is no id; ids look like 0198c7a2-5f7e-7c3a-9d42-7a1f4b8c2e60")


def time_zone(value: str) -> str:
    """Return the name of an IANA time zone."""
    if is_zone(value):
        return value
    raise typer.BadParameter(f"{value!r} is no IANA time zone; write for example Europe/Paris")


def time(value: str | None) -> str | None:
    """Return a time that was checked; `as_time` reads it."""
    return value if value is None else as_time(value).isoformat()


def moment(value: str | None) -> str | None:
    """Return a moment in a log that was checked: a sequence, or a time."""
    return value if value is None or value.isdecimal() else time(value)


def as_time(value: str) -> datetime:
    """Return a time; without an offset it is this machine's."""
    try:
        return datetime.fromisoformat(value).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{value!r} is no time; write for example 2027-06-12T15:00") from None


def identifiers(values: list[str] | None) -> list[str] | None:
    """Return UUIDs in canonical form."""
    return [str(identifier(value)) for value in values] if values else None


class Narrowed(TypedDict):
    """What narrows a list of what is stuck."""

    vendor: str
    reason: str
    cause: str


class Times(TypedDict):
    """Between when."""

    since: datetime | None
    until: datetime | None


def between(since: str | None, until: str | None) -> Times:
    """Return the times that were typed."""
    return {"since": as_time(since) if since else None, "until": as_time(until) if until else None}


def scope(pairs: Sequence[str]) -> dict[str, str]:
    """Return what was typed as NAME=VALUE."""
    split = [pair.partition("=") for pair in pairs]
    if wrong := [name for name, equals, value in split if not (name and equals and value)]:
        raise typer.BadParameter(f"{wrong[0]!r} is no scope; write NAME=VALUE, for example job_id=01HV")
    return {name: value for name, _, value in split}


WeddingId = Annotated[str, typer.Argument(metavar="WEDDING", help="The wedding's id.", callback=identifier)]
VendorName = Annotated[str, typer.Option("--vendor", help="Only this vendor's.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Only with this in the reason.")]
Cause = Annotated[
    str,
    typer.Option("--cause", help="Only what failed for this: auth, rejected, garbage, unavailable, moved."),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only from then on.", callback=time)
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Only before then.", callback=time)
]
