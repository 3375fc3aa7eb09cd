"""`wedsync latency`: how long each stage of an edit's way took, by vendor."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from wedsync.cli import deliveries
from wedsync.cli.arguments import identifier
from wedsync.cli.output import AsJson

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_SECONDS = 7 * 86_400
# Nine digits are more than the longest of windows needs, in any unit.
_SPAN = re.compile(r"([0-9]{1,9})([smhd]?)")


def seconds(span: str) -> int:
    """Return a span of time, such as `90`, `15m`, `1h` or `7d`, in seconds.

    Anything else, or more than a week, is a usage error.
    """
    parts = _SPAN.fullmatch(span)
    if parts is None:
        raise typer.BadParameter(f"{span!r} is no span of time; write for example 90s, 15m, 1h or 7d")
    amount = int(parts[1]) * _SECONDS[parts[2]]
    if not 0 < amount <= _LONGEST_SECONDS:
        raise typer.BadParameter(f"{span!r} is not between one second and 7d")
    return amount


def _checked(span: str) -> str:
    seconds(span)
    return span


def latency(
    wedding: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this wedding's.", callback=identifier)
    ] = None,
    window: Annotated[
        str, typer.Option(metavar="SPAN", callback=_checked, help="How far back to look: 15m, 1h, 7d.")
    ] = "1h",
    as_json: AsJson = False,
) -> None:
    """Show how long each stage took, by vendor, from the recorded journeys."""
    deliveries.latency(wedding, seconds(window), as_json=as_json)
