"""The stores of an owner and of a service: round trips to the server, and points to die at between them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from services.sync.actor_store import IDLE_SECONDS
from services.sync.facts import Destination, Fact
from services.sync.owner import WeddingCommit
from services.sync.records import Claim, LogEntry, LogPage
from services.sync.wedding import KnownChange, Wedding
from tests.simulation.database import Database
from tests.simulation.greenlets import wait_for
from tests.simulation.loop import Process
from tests.simulation.server import Server
from tests.simulation.tables import Statement, Transaction

T = TypeVar("T")

_STATEMENT_SECONDS = 4.0


class OwnerConnection:
    """The store of one owner, as its thread calls it."""

    def __init__(self, server: Server, process: Process) -> None:
        self._server, self._process, self._around = server, process, server.around
        self._seconds = _STATEMENT_SECONDS
        self._open: Transaction | None = None
        process.on_death.append(self._disconnected)

    def limit(self, seconds: float) -> None:
        """Limit statements."""
        self._seconds = max(0.001, min(seconds, _STATEMENT_SECONDS))

    def renew(self, owner_id: str, seconds: float) -> bool:
        """Renew the lease."""
        return wait_for(self._renew(owner_id, seconds))

    def end(self, owner_id: str) -> None:
        """End the lease."""
        tx = self._server.begin()
        wait_for(self._ask(tx, self._database.end(tx, owner_id), "end"))

    def activate(
        self, wedding_id: str, owner_id: str, *, adopt: bool = True, instead_of: Sequence[str] = ()
    ) -> Wedding:
        """Take over and load."""
        if instead_of:
            self.release(instead_of, owner_id)
        return wait_for(self._activate(wedding_id, owner_id, adopt=adopt))

    def release(self, wedding_ids: Iterable[str], owner_id: str) -> None:
        """Give up."""
        wait_for(self._release(list(wedding_ids), owner_id))

    def find_keys(self, asked: Mapping[str, Iterable[str]]) -> Mapping[str, Mapping[str, KnownChange]]:
        """Look change ids up."""
        return wait_for(self._find_keys(asked))

    def commit(self, commits: Sequence[WeddingCommit]) -> Mapping[str, datetime]:
        """Write what is not fenced."""
        return wait_for(self._commit(commits))

    @property
    def _database(self) -> Database:
        return self._server.database

    async def _renew(self, owner_id: str, seconds: float) -> bool:
        await self._around.at("lease.before_renew", self._process)
        tx = self._server.begin()
        statement = self._database.renew(tx, owner_id, seconds)
        unbroken = await self._server.ask(
            self._process, tx, statement, seconds=_STATEMENT_SECONDS, commit="renew"
        )
        await self._around.at("lease.after_renew", self._process)
        return unbroken

    async def _activate(self, wedding_id: str, owner_id: str, *, adopt: bool) -> Wedding:
        await self._around.at("owner.before_activate", self._process)
        self._open = tx = self._server.begin()
        try:
            taken = await self._ask(tx, self._database.take(tx, wedding_id, owner_id, adopt=adopt))
            idle = self._around.later(IDLE_SECONDS, lambda: self._server.end(tx))
            await self._around.at("owner.in_activate", self._process)
            idle.cancel()
            wedding = await self._ask(tx, self._database.load(tx, taken), "takeover")
        finally:
            self._open = None
        await self._around.at("owner.after_activate", self._process)
        return wedding

    async def _release(self, wedding_ids: Sequence[str], owner_id: str) -> None:
        await self._around.at("owner.before_release", self._process)
        tx = self._server.begin()
        await self._ask(tx, self._database.release(tx, wedding_ids, owner_id), "release")
        await self._around.at("owner.after_release", self._process)

    async def _find_keys(self, asked: Mapping[str, Iterable[str]]) -> Mapping[str, Mapping[str, KnownChange]]:
        await self._around.at("owner.before_keys", self._process)
        tx = self._server.begin()
        found = await self._ask(tx, self._database.find_keys(tx, asked), "keys")
        await self._around.at("owner.after_keys", self._process)
        return found

    async def _commit(self, commits: Sequence[WeddingCommit]) -> Mapping[str, datetime]:
        await self._around.at("owner.before_commit", self._process)
        tx = self._server.begin()
        times = await self._ask(tx, self._database.commit(tx, commits), "commit")
        await self._around.at("owner.after_commit", self._process)
        return times

    async def _ask(self, tx: Transaction, statement: Statement[T], commit: str = "") -> T:
        return await self._server.ask(self._process, tx, statement, seconds=self._seconds, commit=commit)

    def _disconnected(self) -> None:
        if self._open is not None:
            self._server.end(self._open)


class ServiceConnection:
    """What the service needs of the database: the outbox, leases to end, the log to show."""

    def __init__(self, server: Server, process: Process) -> None:
        self._server, self._process, self._around = server, process, server.around

    async def claim(self, destination: Destination, *, limit: int, seconds: float) -> list[Claim]:
        """Take due facts."""
        await self._around.at("outbox.before_claim", self._process)
        tx = self._server.begin()
        claims = await self._ask(
            tx, self._server.database.claim(tx, destination, limit=limit, seconds=seconds)
        )
        if claims:
            await self._around.at("outbox.after_claim", self._process)
        return claims

    async def load(self, claims: Sequence[Claim]) -> list[Fact]:
        """Read facts."""
        tx = self._server.begin()
        return await self._ask(tx, self._server.database.load_facts(tx, claims))

    async def remove(self, facts: Sequence[Fact]) -> None:
        """Forget facts."""
        tx = self._server.begin()
        await self._ask(tx, self._server.database.remove(tx, [fact.fact_id for fact in facts]))
        await self._around.at("outbox.after_remove", self._process)

    async def postpone(self, claims: Sequence[Claim], *, seconds: float) -> None:
        """Give facts back."""
        tx = self._server.begin()
        fact_ids = [claim.fact_id for claim in claims]
        await self._ask(tx, self._server.database.postpone(tx, fact_ids, seconds=seconds))

    async def end_lease(self, owner_id: str) -> None:
        """End a lease."""
        await self._around.at("service.before_revoke", self._process)
        tx = self._server.begin()
        await self._ask(tx, self._server.database.bury(tx, owner_id))
        await self._around.at("service.after_revoke", self._process)

    async def revoke_lease(self, owner_id: str) -> None:
        """Revoke a lease."""
        await self._around.at("service.before_revoke", self._process)
        tx = self._server.begin()
        await self._ask(tx, self._server.database.revoke(tx, owner_id))
        await self._around.at("service.after_revoke", self._process)

    async def sequence(self, wedding_id: str, *, viewer: str | None) -> int:
        """Return the last sequence."""
        return len((await self.grown({wedding_id: 0}, limit=sys.maxsize))[wedding_id])

    async def list_changes(self, wedding_id: str, *, viewer: str | None, after: int, limit: int) -> LogPage:
        """Read a log."""
        return LogPage(entries=(await self.grown({wedding_id: after}, limit=limit))[wedding_id])

    async def grown(self, after: Mapping[str, int], *, limit: int) -> dict[str, list[LogEntry]]:
        """Read several logs."""
        tx = self._server.begin()
        found = await self._ask(tx, self._server.database.log(tx, after, limit=limit))
        return {
            wedding: [LogEntry(change=entry.change, result=entry.result) for entry in entries]
            for wedding, entries in found.items()
        }

    async def members(self, wedding_ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return who may see the weddings."""
        weddings = self._server.database.tables.weddings
        return {wedding_id: frozenset(weddings[wedding_id].member_ids) for wedding_id in wedding_ids}

    async def _ask(self, tx: Transaction, statement: Statement[T]) -> T:
        return await self._server.ask(
            self._process, tx, statement, seconds=_STATEMENT_SECONDS, commit="service"
        )
