"""Webhook addresses and the secrets vendors sign with: sealed, several valid at once while one is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.records import Link
from services.gateway.store.inbound import Endpoint
from services.gateway.store.link_rows import LINKS_OF_ENDPOINT, InScope, link_from
from services.gateway.store.sql import first, records, rows
from wedsync import errors
from wedsync.model.ids import new_id
from wedsync.runtime.database import Database
from wedsync.runtime.round_trip import Statement
from wedsync.runtime.together import Together
from wedsync.runtime.vault import Vault

MAX_VALID = 5
"""Secrets of one integration that are valid at once: each is tried with every webhook."""

_KEEP = text("""
    INSERT INTO gateway.webhook_secrets (organization_id, integration_id, id, secret)
    VALUES (:organization_id, :integration_id, :id, :secret) ON CONFLICT DO NOTHING RETURNING id
""")
_LOCK = text("SELECT id FROM gateway.vendor_integrations WHERE id = :integration_id FOR UPDATE")
_END_OTHERS = text("""
    UPDATE gateway.webhook_secrets
    SET valid_until = least(valid_until, clock_timestamp() + make_interval(secs => :overlap))
    WHERE integration_id = :integration_id AND id <> :id
""")
_FORGET = text("""
    DELETE FROM gateway.webhook_secrets
    WHERE integration_id = :integration_id AND valid_until <= clock_timestamp()
""")
_VALID = text("""
    SELECT integration_id, id, secret FROM gateway.webhook_secrets
    WHERE integration_id = :integration_id AND valid_until > clock_timestamp() ORDER BY created_at DESC
""")
_AT = """
    FROM unnest(%(hashes)s::bytea[]) AS asked (hash)
    CROSS JOIN LATERAL gateway.resolve_endpoint(asked.hash) e
"""
_ENDPOINTS = Statement("endpoints", f"SELECT asked.hash, e.organization_id, e.integration_id, e.vendor {_AT}")
# Whose secrets are asked for is known only now: the scope of the statement after this one.
_SCOPE_AT = Statement(
    "scope_of_endpoints",
    f"""
    SELECT set_config('app.organizations', coalesce(string_agg(DISTINCT e.organization_id, ','), ''), true)
    {_AT}
""",
)
_VALID_AT = Statement(
    "secrets_of_endpoints",
    f"""
    SELECT asked.hash, s.integration_id, s.id, s.secret {_AT}
    CROSS JOIN LATERAL (
        SELECT * FROM gateway.webhook_secrets s
        WHERE s.organization_id = e.organization_id AND s.integration_id = e.integration_id
          AND s.valid_until > clock_timestamp() OFFSET 0) s
    ORDER BY s.created_at DESC
""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a webhook address leads to: whose it is, and the secrets valid there, the newest first."""

    endpoint: Endpoint
    secrets: Sequence[str]
    links: Sequence[Link] = ()
    """The account's links that were asked for, oldest first."""


_Knock = tuple[bytes, InScope | None]
"""At which address somebody stands, and which of its links he asks for."""


class SecretStore:
    """Webhook secrets by integration."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault
        self._door = Together[_Knock, Door | None](self._doors)

    async def door(self, key_hash: bytes, links: InScope | None = None) -> Door | None:
        """Return what is behind the address with this key, and such links if any; None for an unknown one."""
        return await self._door((key_hash, links))

    async def adopt(self, organization_id: str, integration_id: str, *, secret: str) -> bool:
        """Keep a secret that the vendor hands over, if none is valid yet; say whether it is valid now."""
        place = {"integration_id": integration_id, "id": new_id()}
        async with self._database.transaction(organizations=[organization_id]) as conn:
            await conn.execute(_LOCK, place)
            known = await self._read(conn, integration_id)
            if not known:
                await keep_secret(conn, self._vault, {**place, "organization_id": organization_id}, secret)
        return not known or secret in known

    async def rotate(
        self, organization_id: str, integration_id: str, *, request_id: str, secret: str, overlap: int
    ) -> int:
        """Keep a new secret and let the ones before end in `overlap` seconds; return how many are valid.

        The same request again changes nothing. Raises `FailedPrecondition` where too many would be valid.
        """
        place = {"integration_id": integration_id, "id": request_id}
        async with self._database.transaction(organizations=[organization_id]) as conn:
            await conn.execute(_LOCK, place)
            if await keep_secret(conn, self._vault, {**place, "organization_id": organization_id}, secret):
                await conn.execute(_END_OTHERS, {**place, "overlap": overlap})
                await conn.execute(_FORGET, place)
            valid = len(await rows(conn, _VALID, place))
            if valid > MAX_VALID:
                raise errors.FailedPrecondition(
                    f"{MAX_VALID} secrets are valid already; give an overlap of 0 seconds to end them."
                )
        return valid

    async def _doors(self, knocks: Sequence[_Knock]) -> list[Door | Exception | None]:
        hashes, places = {"hashes": list({key_hash for key_hash, _ in knocks})}, _places(knocks)
        wanted = records({"place": place, **_named(knock)} for knock, place in places.items())
        endpoints, _, valid, linked = await self._database.run(
            (_ENDPOINTS, hashes), (_SCOPE_AT, hashes), (_VALID_AT, hashes), (LINKS_OF_ENDPOINT, wanted)
        )
        whose = {bytes(row["hash"]): _endpoint(row) for row in endpoints}
        secrets: dict[bytes, list[str]] = {}
        for row in valid:
            secrets.setdefault(bytes(row["hash"]), []).append(self._opened(row))
        links: dict[int, list[Link]] = {}
        for row in linked:
            links.setdefault(row["place"], []).append(link_from(row))

        def door(knock: _Knock) -> Door | None:
            key_hash, _ = knock
            endpoint, seen = whose.get(key_hash), links.get(places.get(knock, -1), ())
            if endpoint is None:
                return None
            return Door(endpoint=endpoint, secrets=secrets.get(key_hash, ()), links=seen)

        return [door(knock) for knock in knocks]

    async def _read(self, conn: AsyncConnection, integration_id: str) -> list[str]:
        found = await rows(conn, _VALID, {"integration_id": integration_id})
        return [self._opened(row) for row in found]

    def _opened(self, row: Mapping[Any, Any]) -> str:
        return self._vault.decrypt(row["secret"], _identity(row)).decode()


def _places(knocks: Sequence[_Knock]) -> dict[_Knock, int]:
    """Return a number for each pair of address and links that is asked for."""
    asking = (knock for knock in knocks if knock[1] is not None)
    return {knock: place for place, knock in enumerate(dict.fromkeys(asking))}


def _named(knock: _Knock) -> dict[str, Any]:
    key_hash, scope = knock
    assert scope is not None  # noqa: S101  # of those only that ask for links
    return {"hash": key_hash.hex(), "key": scope.key, "value": scope.value}


async def keep_secret(conn: AsyncConnection, vault: Vault, place: Mapping[str, Any], secret: str) -> bool:
    """Keep a secret under its id; False if the id is known."""
    sealed = vault.encrypt(secret.encode(), _identity(place))
    return await first(conn, _KEEP, {**place, "secret": sealed}) is not None


def _endpoint(row: Mapping[str, Any]) -> Endpoint:
    return Endpoint(
        organization_id=str(row["organization_id"]),
        integration_id=str(row["integration_id"]),
        vendor=row["vendor"],
    )


def _identity(place: Mapping[Any, Any]) -> str:
    return f"{place['integration_id']}:{place['id']}"
