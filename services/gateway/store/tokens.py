"""Access tokens that end, one row per account: sealed, and refreshed by one process at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from sqlalchemy import text

from services.gateway.calls.oauth2 import Tokens
from services.gateway.calls.renewal import Kept, Step
from services.gateway.store.sql import first
from wedsync.model.ids import new_id
from wedsync.runtime.database import Database
from wedsync.runtime.vault import Vault

LEASE_SECONDS = 40
"""Longer than a refresh takes with its second try; a refresher that was killed is replaced after it."""

_SEED = text("""
    INSERT INTO gateway.access_tokens AS t (organization_id, integration_id, tokens, ends_at, account_version)
    VALUES (:organization_id, :integration_id, :tokens, clock_timestamp() + make_interval(secs => :lifetime),
            :version)
    ON CONFLICT (organization_id, integration_id) DO UPDATE
    SET tokens = excluded.tokens, ends_at = excluded.ends_at, account_version = excluded.account_version,
        generation = t.generation + 1, refreshed_at = DEFAULT, failures = DEFAULT, not_before = DEFAULT,
        reconnect = DEFAULT, lease_token = DEFAULT, lease_until = DEFAULT
    WHERE t.account_version < excluded.account_version
""")
# The row's lock makes one decide after the other; the vendor is called outside of it, under a lease.
_LOCK = text("""
    SELECT tokens, generation, failures, reconnect, account_version,
           extract(epoch FROM ends_at - clock_timestamp()) AS seconds_left,
           extract(epoch FROM clock_timestamp() - refreshed_at) AS age,
           extract(epoch FROM not_before - clock_timestamp()) AS wait,
           lease_until > clock_timestamp() AS refreshing
    FROM gateway.access_tokens WHERE integration_id = :integration_id FOR UPDATE
""")
_LEASE = text("""
    UPDATE gateway.access_tokens
    SET lease_token = :lease, lease_until = clock_timestamp() + make_interval(secs => :seconds)
    WHERE integration_id = :integration_id
""")
# By generation and not by lease: whoever holds the vendor's answer to these very tokens is right.
_KEEP = text("""
    UPDATE gateway.access_tokens
    SET tokens = :tokens, ends_at = clock_timestamp() + make_interval(secs => :lifetime),
        generation = generation + 1, refreshed_at = clock_timestamp(), failures = 0, not_before = 'epoch',
        reconnect = '', lease_token = NULL, lease_until = 'epoch'
    WHERE integration_id = :integration_id AND generation = :generation
""")
_PUT_OFF = text("""
    UPDATE gateway.access_tokens
    SET failures = failures + 1, not_before = clock_timestamp() + make_interval(secs => :seconds),
        lease_token = NULL, lease_until = 'epoch'
    WHERE integration_id = :integration_id AND lease_token = :lease
""")
_GIVE_UP = text("""
    UPDATE gateway.access_tokens SET reconnect = :reason, lease_token = NULL, lease_until = 'epoch'
    WHERE integration_id = :integration_id AND lease_token = :lease AND generation = :generation
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose tokens, and of which of the account's credentials; newer ones start anew."""

    organization_id: str
    integration_id: str
    version: int = 1


class TokenStore:
    """Access tokens by account."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    async def decide(
        self, place: Place, seed: Callable[[], Tokens], decision: Callable[[Kept], Step]
    ) -> tuple[Kept, Step, str]:
        """Decide about the account's tokens while nobody else does; return what is kept and the decision.

        Where that is to refresh, the caller has the lease whose name is returned too.
        """
        lease = new_id()
        async with self._scope(place) as conn:
            row = await first(conn, _LOCK, asdict(place))
            if row is None or row["account_version"] < place.version:
                await conn.execute(_SEED, self._row(place, seed()))
                row = await first(conn, _LOCK, asdict(place))
            kept = self._kept(place, row)
            step = decision(kept)
            if step is Step.REFRESH:
                await conn.execute(_LEASE, {**asdict(place), "lease": lease, "seconds": LEASE_SECONDS})
        return kept, step, lease

    async def keep(self, place: Place, generation: int, tokens: Tokens) -> None:
        """Keep what the vendor gave for the tokens of this generation; where they are no more, nothing.

        It may be repeated after an unknown outcome.
        """
        async with self._scope(place) as conn:
            await conn.execute(_KEEP, {**self._row(place, tokens), "generation": generation})

    async def put_off(self, place: Place, lease: str, *, seconds: float) -> None:
        """Let nobody try again before so many seconds."""
        async with self._scope(place) as conn:
            await conn.execute(_PUT_OFF, {**asdict(place), "lease": lease, "seconds": seconds})

    async def give_up(self, place: Place, lease: str, generation: int, *, reason: str) -> None:
        """Note that the account must be connected again."""
        values = {"lease": lease, "generation": generation, "reason": reason}
        async with self._scope(place) as conn:
            await conn.execute(_GIVE_UP, {**asdict(place), **values})

    def _scope(self, place: Place) -> Any:
        return self._database.transaction(organizations=[place.organization_id])

    def _row(self, place: Place, tokens: Tokens) -> dict[str, Any]:
        sealed = self._vault.encrypt(orjson.dumps(asdict(tokens)), _identity(place))
        return {**asdict(place), "tokens": sealed, "lifetime": tokens.lifetime}

    def _kept(self, place: Place, row: Any) -> Kept:
        opened = orjson.loads(self._vault.decrypt(row["tokens"], _identity(place)))
        return Kept(
            tokens=Tokens(**opened),
            generation=row["generation"],
            failures=row["failures"],
            reconnect=row["reconnect"],
            seconds_left=float(row["seconds_left"]),
            age=float(row["age"]),
            wait=float(row["wait"]),
            refreshing=row["refreshing"],
        )


def _identity(place: Place) -> str:
    return f"{place.integration_id}:tokens"
