"""`wedsync demo`: one wedding, four vendors, edits arriving."""

from __future__ import annotations

from typing import Annotated

import typer

from wedsync.cli.output import AsJson
from wedsync.cli.session import run


def demo(
    as_json: AsJson = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the vendors linked at the end, to try things by hand.")
    ] = False,
) -> None:
    """Link a wedding to four vendors of the sandbox and watch edits arrive; needs a running `make run`."""
    from wedsync.cli.demo.performance import perform  # noqa: PLC0415 - `wedsync --help` must feel instant

    if not run(perform(as_json=as_json, keep=keep)):
        raise typer.Exit(1)
