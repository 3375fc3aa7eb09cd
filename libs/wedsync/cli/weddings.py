"""`wedsync wedding` and `wedsync tail`: the canonical record and its log."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from wedsync.cli import logged
from wedsync.cli.arguments import WeddingId, as_time, moment, time_zone
from wedsync.cli.output import (
    AsJson,
    Columns,
    Limit,
    as_data,
    clean,
    print_json,
    print_json_line,
    print_messages,
    print_table,
    take,
)
from wedsync.cli.session import connected, run

if TYPE_CHECKING:
    from wedsync.api.common.v1.item_pb2 import Item
    from wedsync.api.sync.v1.service_pb2 import AsOf
    from wedsync.api.sync.v1.wedding_pb2 import Wedding

app = typer.Typer(help="Weddings.", no_args_is_help=True)


@app.command("list")
def list_weddings(as_json: AsJson = False, limit: Limit = 50) -> None:
    """List the weddings you may see, oldest first."""
    run(_list(as_json=as_json, limit=limit))


@app.command("show")
def show(
    wedding_id: WeddingId,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="SEQUENCE|TIME", help="As it was then: 42, 2027-06-12T15:00.", callback=moment),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one wedding and its items."""
    run(_show(wedding_id, as_of, as_json=as_json))


@app.command("create")
def create(
    title: Annotated[str, typer.Option(help="What people call it.")],
    date: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Its local day, 2027-06-12.")],
    zone: Annotated[
        str, typer.Option("--time-zone", callback=time_zone, help="IANA time zone of the place.")
    ],
    as_json: AsJson = False,
) -> None:
    """Create a wedding."""
    run(_create(title, f"{date:%Y-%m-%d}", zone, as_json=as_json))


def tail(
    wedding_id: WeddingId,
    after: Annotated[
        int | None, typer.Option(min=0, help="Begin after this sequence; 0 shows the whole log.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a wedding's log live, until Ctrl-C; without --after only what comes from now on."""
    run(_tail(wedding_id, after, as_json=as_json))


def columns() -> Columns[Wedding]:
    """Return what a list of weddings shows."""
    return Columns(
        wedding=lambda wedding: wedding.wedding_id,
        title=lambda wedding: wedding.title,
        date=lambda wedding: f"{wedding.date.year:04}-{wedding.date.month:02}-{wedding.date.day:02}",
        time_zone=lambda wedding: wedding.time_zone,
        changes=lambda wedding: wedding.sequence,
        paused=lambda wedding: wedding.pause_reason,
    )


async def _list(*, as_json: bool, limit: int) -> None:
    async with connected() as clients:
        weddings = await take((await clients.sync()).list_weddings(), limit)
    empty = "There are no weddings yet; make one with `wedsync wedding create`."
    print_messages(weddings, columns(), as_json=as_json, empty=empty)


async def _show(wedding_id: str, as_of: str | None, *, as_json: bool) -> None:
    at = None if as_of is None else _moment(as_of)
    async with connected() as clients:
        sync = await clients.sync()
        wedding = await sync.get_wedding(wedding_id, as_of=at)
        items = [item async for item in sync.list_items(wedding_id, as_of=at)]
    if as_json:
        print_json({"wedding": as_data(wedding), "items": [as_data(item) for item in items]})
        return
    print_table(columns(), [wedding], empty="")
    print()
    shown: Columns[Item] = Columns(
        item=lambda item: item.item_id,
        kind=lambda item: item.content.WhichOneof("content") or "",
        says=logged.said,
        held=lambda item: " ".join(state.path for state in item.field_states if state.held_link_ids),
    )
    print_table(shown, items, empty="It has no items yet." if at is None else "It had no items then.")


def _moment(text: str) -> AsOf:
    from wedsync.api.sync.v1.service_pb2 import AsOf  # noqa: PLC0415 - gRPC only where a call is made
    from wedsync.convert.changes import timestamp  # noqa: PLC0415 - see above

    return AsOf(sequence=int(text)) if text.isdecimal() else AsOf(time=timestamp(as_time(text)))


async def _create(title: str, date: str, zone: str, *, as_json: bool) -> None:
    from wedsync.client import wedding_message  # noqa: PLC0415 - gRPC only where a call is made

    async with connected() as clients:
        wedding = await (await clients.sync()).create_wedding(wedding_message(title, date, zone))
    if as_json:
        print_json(as_data(wedding))
    else:
        print_table(columns(), [wedding], empty="")


async def _tail(wedding_id: str, after: int | None, *, as_json: bool) -> None:
    async with connected() as clients:
        watching = (await clients.sync()).watch_wedding(wedding_id, after)
        async with aclosing(watching) as messages:
            async for message in messages:
                if as_json and message.HasField("change"):
                    print_json_line(as_data(message.change))
                elif message.HasField("change"):
                    print(clean(logged.line(message.change)), flush=True)
                elif not as_json:
                    print(f"watching from sequence {message.sequence} on; Ctrl-C ends it", flush=True)
