"""Where the project's own files are: a vendor is added to a checkout, not to an installed client."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import typer

from wedsync.cli.output import complain

VENDORS = Path("services/gateway/vendors")
BENCHES = Path("tests/certification/vendors")

_NAME = re.compile(r"[a-z][a-z0-9_]{1,63}")


def checkout() -> Path:
    """Return the root of the checkout this program runs in; without one, say so and end."""
    spec = find_spec("services")
    for place in (spec.submodule_search_locations or []) if spec else []:
        root = Path(place).parent
        if (root / BENCHES).is_dir():
            return root
    complain("this needs a checkout of the project, with its tests: get one, and say `make setup` there.")
    raise typer.Exit(1)


def vendor_name(name: str) -> str:
    """Return a vendor's name that was checked."""
    if not _NAME.fullmatch(name):
        raise typer.BadParameter(f"{name!r} is no name for a folder: lower-case letters, digits, underscores")
    return name
