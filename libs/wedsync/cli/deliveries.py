"""`wedsync journey`, `webhooks` and `deliveries`: what came in, what went out, and how long it took."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from wedsync.cli import waterfall
from wedsync.cli.arguments import (
    Cause,
    Narrowed,
    Reason,
    Since,
    Times,
    Until,
    VendorName,
    WeddingId,
    between,
    identifier,
)
from wedsync.cli.output import (
    AsJson,
    Columns,
    Limit,
    clean,
    console,
    moment,
    print_json,
    print_messages,
    print_table,
    take,
)
from wedsync.cli.session import connected, run

if TYPE_CHECKING:
    from wedsync.api.gateway.v1.delivery_pb2 import Delivery, Journey, StageLatency, Webhook


class WebhookState(StrEnum):
    """What can become of a webhook."""

    RECEIVED = "received"
    PROCESSED = "processed"
    PARKED = "parked"
    REPLAYED = "replayed"


def journey(
    journey_id: Annotated[
        str, typer.Argument(metavar="ID", help="A webhook's or a change's id.", callback=identifier)
    ],
    as_json: AsJson = False,
) -> None:
    """Show the recorded path of one edit, stage by stage, in milliseconds."""
    run(_journey(journey_id, as_json=as_json))


def webhooks(
    state: Annotated[WebhookState | None, typer.Option(help="Only these.")] = None,
    vendor: VendorName = "",
    reason: Reason = "",
    cause: Cause = "",
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
    limit: Limit = 50,
) -> None:
    """List what vendors told us, newest first."""
    wanted: Narrowed = {"vendor": vendor, "reason": reason, "cause": cause}
    run(_webhooks(str(state or ""), wanted, between(since, until), as_json=as_json, limit=limit))


def latency(
    wedding: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this wedding's.", callback=identifier)
    ] = None,
    window: Annotated[int, typer.Option(metavar="SECONDS", min=1, help="How far back to look.")] = 3600,
    as_json: AsJson = False,
) -> None:
    """Show how long each stage took, by vendor, from the recorded journeys."""
    run(_latency(wedding or "", window, as_json=as_json))


def deliveries(wedding_id: WeddingId, as_json: AsJson = False, limit: Limit = 50) -> None:
    """List a wedding's deliveries to vendors, newest first."""
    run(_deliveries(wedding_id, as_json=as_json, limit=limit))


async def _journey(journey_id: str, *, as_json: bool) -> None:
    async with connected() as clients:
        found = await (await clients.gateway()).get_journey(journey_id)
    rows = waterfall.rows(found)
    if as_json:
        print_json(
            {
                "journey_id": found.journey_id,
                "trace_id": found.trace_id,
                "complete": found.complete,
                "summary": found.summary,
                "stages": [row.as_data() for row in rows],
            }
        )
        return
    console().print(_heading(found))
    console().print(clean(found.summary))
    print_waterfall(rows)


def print_waterfall(rows: list[waterfall.Row]) -> None:
    """Print stages as a waterfall."""
    columns: Columns[tuple[waterfall.Row, str]] = Columns(
        stage=lambda pair: pair[0].stage,
        start_ms=lambda pair: waterfall.milliseconds(pair[0].start_ms),
        duration_ms=lambda pair: waterfall.milliseconds(pair[0].duration_ms),
        waterfall=lambda pair: pair[1],
        detail=lambda pair: pair[0].detail,
    )
    print_table(columns, zip(rows, waterfall.bars(rows), strict=True), empty="Nothing is recorded yet.")


def _heading(found: Journey) -> str:
    state = "complete" if found.complete else "under way"
    return f"journey {found.journey_id}  trace {found.trace_id or 'none'}  {state}"


async def _webhooks(state: str, wanted: Narrowed, times: Times, *, as_json: bool, limit: int) -> None:
    async with connected() as clients:
        gateway = await clients.gateway()
        found = await take(
            gateway.list_webhooks(state=state, **wanted, **times, page_size=min(limit, 200)), limit
        )
    columns: Columns[Webhook] = Columns(
        webhook=lambda webhook: webhook.webhook_id,
        accepted=lambda webhook: moment(webhook, "accept_time"),
        vendor=lambda webhook: webhook.vendor,
        event=lambda webhook: webhook.event,
        state=lambda webhook: webhook.state,
        repeats=lambda webhook: webhook.repeats,
        changes=lambda webhook: " ".join(webhook.change_ids),
        reason=lambda webhook: webhook.reason,
    )
    print_messages(found, columns, as_json=as_json, empty="There are no such webhooks.")


async def _latency(wedding: str, window: int, *, as_json: bool) -> None:
    async with connected() as clients:
        found = await (await clients.gateway()).get_latency(wedding_id=wedding, window_seconds=window)
    columns: Columns[StageLatency] = Columns(
        vendor=lambda stage: stage.vendor,
        stage=lambda stage: stage.stage,
        count=lambda stage: stage.count,
        p50_ms=lambda stage: f"{stage.p50_milliseconds:.1f}",
        p95_ms=lambda stage: f"{stage.p95_milliseconds:.1f}",
        p99_ms=lambda stage: f"{stage.p99_milliseconds:.1f}",
    )
    print_messages(found, columns, as_json=as_json, empty="Nothing was recorded in that time.")


async def _deliveries(wedding_id: str, *, as_json: bool, limit: int) -> None:
    async with connected() as clients:
        gateway = await clients.gateway()
        found = await take(gateway.list_deliveries(wedding_id, page_size=min(limit, 200)), limit)
    columns: Columns[Delivery] = Columns(
        delivery=lambda delivery: delivery.delivery_id,
        due=lambda delivery: moment(delivery, "create_time"),
        vendor=lambda delivery: delivery.vendor,
        item=lambda delivery: delivery.item_id,
        change=lambda delivery: delivery.change_id,
        state=lambda delivery: delivery.state,
        tries=lambda delivery: delivery.attempts,
        confirmed=lambda delivery: moment(delivery, "confirm_time"),
        reason=lambda delivery: delivery.reason,
    )
    print_messages(found, columns, as_json=as_json, empty="This wedding has no deliveries yet.")
