"""`wedsync vendor`: which vendors there are and what each can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from wedsync.cli import link_plan
from wedsync.cli.output import AsJson, Columns, print_messages
from wedsync.cli.session import connected, run
from wedsync.cli.vendor_kit import check, new

if TYPE_CHECKING:
    from wedsync.api.gateway.v1.integration_pb2 import Capability, Vendor

app = typer.Typer(help="Vendors' systems that can be connected.", no_args_is_help=True)

app.command("plan")(link_plan.plan)
app.command("new")(new.new)
app.command("check")(check.check)


@app.command("list")
def list_vendors(as_json: AsJson = False) -> None:
    """List the vendors, how each tells us of edits, and what we can write there."""
    run(_list(as_json=as_json))


async def _list(*, as_json: bool) -> None:
    async with connected() as clients:
        vendors = await (await clients.gateway()).list_vendors()
    columns: Columns[Vendor] = Columns(
        vendor=lambda vendor: vendor.vendor,
        name=lambda vendor: vendor.display_name,
        bridge=lambda vendor: vendor.bridge_class,
        we_write=lambda vendor: ", ".join(map(_written, vendor.capabilities)),
        needs=lambda vendor: ", ".join([*vendor.credential_names, *vendor.scope_names]),
    )
    print_messages(vendors, columns, as_json=as_json, empty="There are no vendors.")


def _written(capability: Capability) -> str:
    from wedsync.convert import kind_from_message  # noqa: PLC0415 - gRPC only where a call is made

    verbs = [verb for verb in ("create", "update", "delete") if getattr(capability, verb)]
    return f"{kind_from_message(capability.kind)} ({' '.join(verbs) or 'read only'})"
