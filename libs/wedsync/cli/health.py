"""`wedsync health`: how each vendor's system is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wedsync.cli.output import AsJson, Columns, Limit, moment, print_messages, take
from wedsync.cli.session import connected, run

if TYPE_CHECKING:
    from wedsync.api.health.v1.service_pb2 import IntegrationHealth


def health(as_json: AsJson = False, limit: Limit = 50) -> None:
    """Show how each of your vendor accounts is doing."""
    run(_health(as_json=as_json, limit=limit))


async def _health(*, as_json: bool, limit: int) -> None:
    async with connected() as clients:
        found = await take((await clients.health()).list_integration_health(), limit)
    columns: Columns[IntegrationHealth] = Columns(
        integration=lambda health: health.integration_id,
        vendor=lambda health: health.vendor,
        score=lambda health: health.score,
        state=lambda health: health.state,
        causes=lambda health: "; ".join(f"{cause.code} (-{cause.points})" for cause in health.causes),
        last_success=lambda health: moment(health, "last_success_time"),
        fresh=_freshness,
        success_last_hour=_success,
        last_error=lambda health: health.last_error,
    )
    print_messages(found, columns, as_json=as_json, empty="No vendor account has been observed yet.")


def _freshness(health: IntegrationHealth) -> str:
    return f"{health.freshness_seconds:.1f} s ago" if health.HasField("last_success_time") else "never"


def _success(health: IntegrationHealth) -> str:
    if not health.HasField("success_rate"):
        return "no tries"
    return f"{health.success_rate:.1%} of {health.attempts}"
