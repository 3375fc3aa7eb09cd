"""How the command speaks: tables for people, JSON for programs, complaints on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import typer

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp
    from rich.console import Console

_Row = TypeVar("_Row")
_MessageRow = TypeVar("_MessageRow", bound="Message")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")]

# What is piped elsewhere is cut by nobody's window.
_PIPED_WIDTH = 240


class Columns(Generic[_Row]):
    """Titles and how to read each from a row."""

    def __init__(self, **columns: Callable[[_Row], object]) -> None:
        self.titles = [title.replace("_", " ") for title in columns]
        self._read = list(columns.values())

    def cells(self, row: _Row) -> list[str]:
        """Return one row's texts."""
        return [clean(read(row)) for read in self._read]


def console() -> Console:
    """Return the terminal, or whatever stdout is."""
    from rich.console import Console  # noqa: PLC0415 - only where something is drawn

    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_table(columns: Columns[_Row], rows: Iterable[_Row], *, empty: str) -> None:
    """Print rows as a table, or say that there is none."""
    from rich.table import Table  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in columns.titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, columns.cells(row)))
    console().print(table if table.row_count else empty)


def print_messages(
    rows: Sequence[_MessageRow], columns: Columns[_MessageRow], *, as_json: bool, empty: str
) -> None:
    """Print a list of resources: one JSON array, or a table."""
    if as_json:
        print_json([as_data(row) for row in rows])
    else:
        print_table(columns, rows, empty=empty)


def print_json(data: object) -> None:
    """Print data as JSON that people can read too."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_json_line(data: object) -> None:
    """Print data as one line of JSON, at once: somebody may be waiting for it at the end of a pipe."""
    print(json.dumps(data, ensure_ascii=False), flush=True)


def as_data(message: Message) -> dict[str, Any]:
    """Return a message in protobuf's JSON form, with the contract's own field names."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - see above

    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def complain(line: str) -> None:
    """Say what went wrong."""
    print(f"wedsync: {clean(line)}", file=sys.stderr)


def moment(message: Message, name: str) -> str:
    """Return a message's time field as local time, empty where it is not set."""
    if not message.HasField(name):
        return ""
    stamp: Timestamp = getattr(message, name)
    return datetime.fromtimestamp(stamp.ToNanoseconds() / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clean(value: object) -> str:
    """Return the value as text without what could steer a terminal: much of it was written by strangers."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


async def take(rows: AsyncIterator[_Row], limit: int) -> list[_Row]:
    """Return the first rows, fetching no more pages than they need."""
    taken: list[_Row] = []
    async for row in rows:
        taken.append(row)
        if len(taken) == limit:
            break
    return taken
