"""Accounts at vendors as they are read: by request or in pages, and many at once by id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from wedsync.runtime.round_trip import Statement

_INTEGRATION = """
    SELECT organization_id, id, vendor, base_url, credentials, request_id, created_at, updated_at,
           disconnected_at, version,
           coalesce((SELECT reconnect FROM gateway.access_tokens t WHERE t.organization_id = i.organization_id
                       AND t.integration_id = i.id AND t.account_version = i.version), '') AS reconnect
    FROM gateway.vendor_integrations i
"""
INTEGRATIONS = text(f"""
    {_INTEGRATION}
    WHERE (CAST(:id AS uuid) IS NULL OR id = :id)
      AND (CAST(:request_id AS uuid) IS NULL OR request_id = :request_id)
      AND (CAST(:after AS uuid) IS NULL OR id > :after)
    ORDER BY id LIMIT :limit
""")
INTEGRATIONS_BY_ID = Statement(
    "integrations_by_id",
    f"{_INTEGRATION} WHERE organization_id = ANY(%(organizations)s::text[]) AND id = ANY(%(ids)s::uuid[])",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """One organization's account at one vendor, its credentials still sealed."""

    integration_id: str
    organization_id: str
    vendor: str
    base_url: str
    created_at: datetime
    sealed: bytes
    version: int = 1
    """Rises with every change of credentials or address."""
    updated_at: datetime | None = None
    disconnected_at: datetime | None = None
    reconnect: str = ""
    """Why the account must be connected again; empty while it works."""


def integration_filter(**wanted: Any) -> dict[str, Any]:
    """Return what `INTEGRATIONS` is to be narrowed to."""
    return {"id": None, "request_id": None, "after": None, "limit": 1, **wanted}


def integration_from(row: Mapping[Any, Any]) -> Integration:
    """Return the account a row of these holds."""
    return Integration(
        integration_id=str(row["id"]),
        organization_id=str(row["organization_id"]),
        vendor=row["vendor"],
        base_url=row["base_url"],
        created_at=row["created_at"],
        sealed=bytes(row["credentials"]),
        version=row["version"],
        updated_at=row["updated_at"],
        disconnected_at=row["disconnected_at"],
        reconnect=row["reconnect"],
    )
