"""`wedsync link`: which vendors' accounts belong to a wedding, and what a link that stopped waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wedsync.cli.arguments import WeddingId, identifier
from wedsync.cli.output import AsJson, Columns, moment, print_messages
from wedsync.cli.session import connected, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wedsync.api.gateway.v1.link_pb2 import Link

app = typer.Typer(help="Vendors' accounts that belong to weddings.", no_args_is_help=True)

LinkId = Annotated[str, typer.Argument(metavar="LINK", help="The link's id.", callback=identifier)]


@app.command("list")
def list_links(wedding_id: WeddingId, as_json: AsJson = False) -> None:
    """List a wedding's links, and why one is not working."""
    run(_list(wedding_id, as_json=as_json))


@app.command()
def pause(link_id: LinkId, as_json: AsJson = False) -> None:
    """Neither read from nor write to the vendor until the link is resumed."""
    run(_pause(link_id, as_json=as_json))


@app.command()
def resume(
    link_id: LinkId,
    believe_deletes: Annotated[
        bool, typer.Option("--believe-deletes", help="What is gone at the vendor was deleted on purpose.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let a paused link go on."""
    run(_resume(link_id, believe_deletes=believe_deletes, as_json=as_json))


async def _list(wedding_id: str, *, as_json: bool) -> None:
    async with connected() as clients:
        _show(await (await clients.gateway()).list_links(wedding_id), as_json=as_json)


async def _pause(link_id: str, *, as_json: bool) -> None:
    async with connected() as clients:
        _show([await (await clients.gateway()).pause_link(link_id)], as_json=as_json)


async def _resume(link_id: str, *, believe_deletes: bool, as_json: bool) -> None:
    async with connected() as clients:
        gateway = await clients.gateway()
        _show([await gateway.resume_link(link_id, believe_deletes=believe_deletes)], as_json=as_json)


def _show(links: Sequence[Link], *, as_json: bool) -> None:
    columns: Columns[Link] = Columns(
        link=lambda link: link.link_id,
        vendor=lambda link: link.vendor,
        state=_state,
        looked_at=lambda link: moment(link, "scan_time"),
        reason=lambda link: link.reason,
    )
    print_messages(links, columns, as_json=as_json, empty="The wedding has no links.")


def _state(link: Link) -> str:
    from wedsync.api.gateway.v1 import link_pb2  # noqa: PLC0415 - gRPC only where a call is made

    return link_pb2.LinkState.Name(link.state).removeprefix("LINK_STATE_").lower()
