"""What the health service keeps in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Row

from services.health.causes import Tries
from services.health.score import RETENTION, WINDOW, Health, Observation, Status, assess, summed_up
from wedsync.errors import NotFound
from wedsync.runtime.database import Database

_KEEP = text("""
    INSERT INTO health.health_samples
        (organization_id, integration_id, observation_id, operation, successes, failures, observed_at)
    VALUES (:organization_id, :integration_id, :observation_id, :operation, :successes, :failures,
            :observed_at)
    ON CONFLICT DO NOTHING
""")
# The latest of each wins, whatever order reports arrive in; GREATEST and LEAST pass over NULL.
_UPDATE = text("""
    INSERT INTO health.integration_health_status AS s
        (organization_id, integration_id, vendor, first_seen_at, last_success_at, last_failure_at, last_error)
    VALUES (:organization_id, :integration_id, :vendor, :first_seen_at, :last_success_at, :last_failure_at,
            :last_error)
    ON CONFLICT (organization_id, integration_id) DO UPDATE SET
        vendor = excluded.vendor,
        first_seen_at = LEAST(s.first_seen_at, excluded.first_seen_at),
        last_success_at = GREATEST(s.last_success_at, excluded.last_success_at),
        last_failure_at = GREATEST(s.last_failure_at, excluded.last_failure_at),
        last_error = CASE WHEN excluded.last_failure_at >= s.last_failure_at OR s.last_failure_at IS NULL
                          THEN excluded.last_error ELSE s.last_error END
""")
# Each integration's own reports clear up after it, so no sweeper needs to see every tenant's rows.
_FORGET = text("""
    DELETE FROM health.health_samples
    WHERE organization_id = :organization_id AND integration_id = :integration_id AND observed_at < :before
""")
_HEALTH = """
    SELECT s.organization_id, s.integration_id, s.vendor, s.first_seen_at, s.last_success_at,
           s.last_failure_at, s.last_error, tries.by_operation
    FROM health.integration_health_status s
    CROSS JOIN LATERAL (
        SELECT coalesce(jsonb_object_agg(o.operation, jsonb_build_array(o.successes, o.failures)), '{}')
                 AS by_operation
        FROM (SELECT h.operation, sum(h.successes) AS successes, sum(h.failures) AS failures
              FROM health.health_samples h
              WHERE h.organization_id = s.organization_id AND h.integration_id = s.integration_id
                AND h.observed_at > :since
              GROUP BY h.operation) o
    ) tries
    WHERE s.organization_id = :organization_id
"""
_ONE = text(_HEALTH + " AND s.integration_id = :integration_id")
_PAGE = text(_HEALTH + " AND s.integration_id > CAST(:after AS uuid) ORDER BY s.integration_id LIMIT :limit")
_FIRST_ID = "00000000-0000-0000-0000-000000000000"


class HealthStore:
    """Observations, and what they add up to for each integration."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, observations: Sequence[Observation], now: datetime) -> None:
        """Count the observations that were not counted yet."""
        before = now - RETENTION
        # In one order everywhere, so that two batches about the same integrations do not deadlock.
        fresh = sorted((o for o in observations if o.observed_at >= before), key=lambda o: o.observation_id)
        statuses = summed_up(observations)
        scope = {status.organization_id for status in statuses}
        async with self._database.transaction(organizations=scope) as connection:
            await connection.execute(_UPDATE, [asdict(status) for status in statuses])
            if fresh:
                await connection.execute(_KEEP, [_sample(observation) for observation in fresh])
            await connection.execute(
                _FORGET,
                [
                    {
                        "organization_id": status.organization_id,
                        "integration_id": status.integration_id,
                        "before": before,
                    }
                    for status in statuses
                ],
            )

    async def get(self, organization_id: str, integration_id: str, now: datetime) -> Health:
        """Return how one integration is doing. Raises `NotFound` until it was first observed."""
        values = {
            "organization_id": organization_id,
            "integration_id": integration_id,
            "since": now - WINDOW,
        }
        async with self._database.transaction(organizations=[organization_id]) as connection:
            row = (await connection.execute(_ONE, values)).one_or_none()
        if row is None:
            raise NotFound("There is no such integration, or nothing was observed of it yet.")
        return _health(row, now)

    async def page(
        self, organization_id: str, now: datetime, *, limit: int, after: str | None = None
    ) -> list[Health]:
        """Return how the organization's integrations are doing, by id, from an id on."""
        values = {
            "organization_id": organization_id,
            "after": after or _FIRST_ID,
            "limit": limit,
            "since": now - WINDOW,
        }
        async with self._database.transaction(organizations=[organization_id]) as connection:
            return [_health(row, now) for row in await connection.execute(_PAGE, values)]


def _sample(observation: Observation) -> dict[str, Any]:
    fields = asdict(observation)
    return {name: fields[name] for name in fields if name not in {"vendor", "last_error"}}


def _health(row: Row[Any], now: datetime) -> Health:
    status = Status(
        organization_id=row.organization_id,
        integration_id=str(row.integration_id),
        vendor=row.vendor,
        first_seen_at=row.first_seen_at,
        last_success_at=row.last_success_at,
        last_failure_at=row.last_failure_at,
        last_error=row.last_error,
    )
    tries = {
        operation: Tries(successes=int(successes), failures=int(failures))
        for operation, (successes, failures) in row.by_operation.items()
    }
    return assess(status, tries, now)
