"""`wedsync replay` and `wedsync deliveries retry`: what got stuck is set going again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wedsync.cli.arguments import (
    Cause,
    Narrowed,
    Reason,
    Since,
    Times,
    Until,
    VendorName,
    between,
    identifier,
    identifiers,
)
from wedsync.cli.output import AsJson, Columns, Limit, print_messages, take
from wedsync.cli.session import connected, run
from wedsync.cli.values import plain

if TYPE_CHECKING:
    from wedsync.api.gateway.v1.delivery_pb2 import Delivery, RecordDiff, ReplayedWebhook

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", callback=identifiers, help="Only these.")]


def replay(
    ids: Ids = None,
    state: Annotated[str, typer.Option(help="Only this state; parked, unless ids are given.")] = "",
    vendor: VendorName = "",
    reason: Reason = "",
    cause: Cause = "",
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change; nothing is written.")
    ] = False,
    as_json: AsJson = False,
    limit: Limit = 200,
) -> None:
    """Read stuck webhooks once more, or show what that would change."""
    wanted: Narrowed = {"vendor": vendor, "reason": reason, "cause": cause}
    run(
        _replay(
            ids or [], state, wanted, between(since, until), dry_run=dry_run, as_json=as_json, limit=limit
        )
    )


def retry(
    ids: Ids = None,
    link: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this link's.", callback=identifier)
    ] = None,
    vendor: VendorName = "",
    reason: Reason = "",
    cause: Cause = "",
    as_json: AsJson = False,
    limit: Limit = 200,
) -> None:
    """Try parked deliveries again."""
    wanted: Narrowed = {"vendor": vendor, "reason": reason, "cause": cause}
    run(_retry(ids or [], link or "", wanted, as_json=as_json, limit=limit))


async def _replay(
    ids: list[str],
    state: str,
    wanted: Narrowed,
    times: Times,
    *,
    dry_run: bool,
    as_json: bool,
    limit: int,
) -> None:
    async with connected() as clients:
        gateway = await clients.gateway()
        found = await take(
            gateway.replay_webhooks(ids, state=state, **wanted, **times, dry_run=dry_run), limit
        )
    columns: Columns[ReplayedWebhook] = Columns(
        webhook=lambda one: one.webhook_id,
        replay=lambda one: one.replay_id,
        would_change=lambda one: "; ".join(map(_diff, one.records)),
        note=lambda one: one.note,
    )
    print_messages(found, columns, as_json=as_json, empty="There is nothing to replay.")


def _diff(record: RecordDiff) -> str:
    changes = [f"{f.path}: {plain(f.present)} -> {plain(f.proposed)}" for f in record.fields]
    said = ", ".join(changes) or record.note
    return f"{record.record_id} {record.change or 'unchanged'}" + (f" ({said})" if said else "")


async def _retry(ids: list[str], link: str, wanted: Narrowed, *, as_json: bool, limit: int) -> None:
    async with connected() as clients:
        gateway = await clients.gateway()
        found = await take(gateway.retry_deliveries(ids, link_id=link, **wanted), limit)
    columns: Columns[Delivery] = Columns(
        delivery=lambda delivery: delivery.delivery_id,
        vendor=lambda delivery: delivery.vendor,
        item=lambda delivery: delivery.item_id,
        state=lambda delivery: delivery.state,
        was_parked_for=lambda delivery: delivery.reason,
    )
    print_messages(found, columns, as_json=as_json, empty="No parked delivery fits.")
