"""How long each stage of an edit's way took, summed up from the recorded journeys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from services.gateway.store.sql import rows
from wedsync.runtime.database import Database

DEFAULT_WINDOW_SECONDS = 3600
MAX_WINDOW_SECONDS = 7 * 24 * 3600

# A stage of the way in belongs to the vendor that told, one of the way out to the vendor that was told.
# `total` is from the first word to a confirmed write, and belongs to the vendor that told; to nobody where
# no vendor of the caller's did: then it begins with the commit.
#
# The time is `now()`: the volatile `clock_timestamp()` would read every day there is instead of an index;
# the edits stand alone because, joined first, they would be read from the first day of each link on.
# A stage that two machines' clocks bound may seem to end before it began: it took no time then.
# What became due without a commit, for a new link or to correct a vendor, is no edit's way.
_STAGES = text("""
    WITH came AS (
      SELECT w.vendor, w.detected_at, w.accepted_at, w.translated_at FROM gateway.webhook_log w
      WHERE w.accepted_at > now() - make_interval(secs => :seconds)
        AND (CAST(:wedding_id AS uuid) IS NULL OR EXISTS (
              SELECT 1 FROM gateway.vendor_activities a
              WHERE a.webhook_id = w.id AND a.wedding_id = CAST(:wedding_id AS uuid)))
    ), edits AS MATERIALIZED (
      SELECT a.link_id, a.created_at, a.committed_at FROM gateway.vendor_activities a
      WHERE a.created_at > now() - make_interval(secs => :seconds) AND NOT a.backfill
        AND (CAST(:wedding_id AS uuid) IS NULL OR a.wedding_id = CAST(:wedding_id AS uuid))
    ), out AS (
      SELECT l.vendor, coalesce(o.vendor, '') AS told_by,
             coalesce(w.detected_at, e.detected_at, d.created_at) AS told_at,
             d.created_at, d.accepted_at, d.started_at, d.called_at, d.confirmed_at
      FROM gateway.vendor_deliveries d
      JOIN gateway.wedding_vendor_integrations l ON l.id = d.link_id
      LEFT JOIN gateway.vendor_activities e ON e.id = d.change_id
      LEFT JOIN gateway.wedding_vendor_integrations o ON o.id = e.link_id
      -- An edit whose webhook waited for longer than a day counts from where it was accepted.
      LEFT JOIN gateway.webhook_log w ON w.id = e.webhook_id
        AND w.accepted_at > now() - make_interval(days => 1, secs => :seconds)
      WHERE d.created_at > now() - make_interval(secs => :seconds)
        AND d.confirmed_at IS NOT NULL AND d.change_id IS NOT NULL AND d.sequence > 0
        AND (CAST(:wedding_id AS uuid) IS NULL OR d.wedding_id = CAST(:wedding_id AS uuid))
    ), spans AS (
      SELECT 1 AS place, 'accept' AS stage, vendor, accepted_at - detected_at AS took FROM came
      UNION ALL SELECT 2, 'translate', vendor, translated_at - accepted_at FROM came
      UNION ALL SELECT 3, 'commit', l.vendor, a.committed_at - a.created_at FROM edits a
        JOIN gateway.wedding_vendor_integrations l ON l.id = a.link_id
      UNION ALL SELECT 4, 'hand_over', vendor, accepted_at - created_at FROM out
      UNION ALL SELECT 5, 'wait', vendor, started_at - accepted_at FROM out
      UNION ALL SELECT 6, 'call', vendor, confirmed_at - called_at FROM out
      UNION ALL SELECT 7, 'total', told_by, confirmed_at - told_at FROM out
    )
    SELECT vendor, stage, count(*) AS count,
           percentile_cont(ARRAY[0.5, 0.95, 0.99])
             WITHIN GROUP (ORDER BY greatest(1000 * extract(epoch FROM took), 0)) AS percentiles
    FROM spans WHERE took IS NOT NULL GROUP BY vendor, place, stage ORDER BY vendor, place
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLatency:
    """How long one stage took with one vendor, in milliseconds."""

    vendor: str
    stage: str
    count: int
    p50: float
    p95: float
    p99: float


class LatencyStore:
    """Latencies of the organization that asks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stages(
        self, organization_id: str, *, wedding_id: str | None, seconds: int
    ) -> Sequence[StageLatency]:
        """Return each stage of the last while by vendor, in the order an edit passes them."""
        async with self._database.transaction(organizations=[organization_id]) as conn:
            found = await rows(conn, _STAGES, {"wedding_id": wedding_id, "seconds": seconds})
        return [
            StageLatency(
                vendor=row["vendor"],
                stage=row["stage"],
                count=row["count"],
                p50=float(row["percentiles"][0]),
                p95=float(row["percentiles"][1]),
                p99=float(row["percentiles"][2]),
            )
            for row in found
        ]
