"""Checks of what was typed; a wrong word is a usage error (status 2), found before anything is called."""

from __future__ import annotations

from typing import Annotated

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


WeddingId = Annotated[str, typer.Argument(metavar="WEDDING", help="The wedding's id.", callback=identifier)]
