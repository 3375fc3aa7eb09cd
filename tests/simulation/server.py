"""The database server: a statement may be slow, overtaken, lost, or done and nobody hears of it."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from services.sync.lease import Revoked
from services.sync.owner import KnownBefore
from tests.simulation.database import Database
from tests.simulation.loop import Process
from tests.simulation.surroundings import Surroundings, fail, succeed
from tests.simulation.tables import Key, Statement, Transaction
from wedsync.errors import DeadlineExceeded, Unavailable, WedSyncError

T = TypeVar("T")


class Server:
    """The database server: what was sent to it goes on, whoever sent it lives or not."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.database = Database(lambda: around.loop.time() + around.database_ahead)
        self.database.locks.on_free = self._wake
        self.slow_until = self.away_until = 0.0
        self._process = Process("postgres", around.loop)
        self._waiting: dict[Key, list[asyncio.Future[None]]] = {}
        self._open: dict[Transaction, None] = {}
        self._asked: dict[asyncio.Future[Any], None] = {}

    def begin(self) -> Transaction:
        """Open a transaction."""
        tx = self.database.begin()
        self._open[tx] = None
        return tx

    def end(self, tx: Transaction) -> None:
        """Undo what was not committed."""
        self._open.pop(tx, None)
        tx.rollback()

    def restart(self) -> None:
        """Stop at once and start again: everything open is undone, every connection is lost."""
        self._process.kill()
        self._process = Process("postgres", self.around.loop)
        for tx in list(self._open):
            self.end(tx)
        for reply in list(self._asked):
            fail(reply, Unavailable("the server went away", retry_after=0.3))

    async def ask(
        self, by: Process, tx: Transaction, statement: Statement[T], *, seconds: float, commit: str = ""
    ) -> T:
        """Have a statement executed, and with it the transaction committed if that has a name."""
        await self._way()
        if self.around.loop.time() < self.away_until or tx not in self._open:
            self.end(tx)
            raise Unavailable("the server is away, or was", retry_after=0.3)
        reply: asyncio.Future[T] = self.around.loop.create_future()
        self._asked[reply] = None
        self._process.spawn(self._serve(by, tx, statement, seconds, commit, reply))
        try:
            return await reply
        finally:
            self._asked.pop(reply, None)

    async def _serve(
        self,
        by: Process,
        tx: Transaction,
        statement: Statement[T],
        seconds: float,
        commit: str,
        reply: asyncio.Future[T],
    ) -> None:
        try:
            result = await self._executed(statement, self.around.loop.time() + seconds)
            lost = bool(commit) and self._commit(by, tx, commit)
        except (WedSyncError, Revoked, KnownBefore) as error:
            self.end(tx)
            await self._way()
            fail(reply, error)
            return
        if not commit and by.dead:
            self.end(tx)  # nobody is there who would go on with it
        await self._way()
        if lost:
            fail(reply, Unavailable("the connection was lost", retry_after=0.3))
        else:
            succeed(reply, result)

    async def _executed(self, statement: Statement[T], until: float) -> T:
        try:
            while True:
                row = next(statement)
                if row is not None:
                    await self._unlocked(row, until)
                elif self.around.loop.time() < self.slow_until:
                    await asyncio.sleep(self.around.random() * 2.0)
                if self.around.loop.time() > until:
                    raise DeadlineExceeded("the statement took too long")
        except StopIteration as end:
            result: T = end.value
            return result

    async def _unlocked(self, row: Key, until: float) -> None:
        turn = self.around.loop.create_future()
        self._waiting.setdefault(row, []).append(turn)
        try:
            async with asyncio.timeout_at(until):
                await turn
        except TimeoutError as error:
            raise DeadlineExceeded("the statement took too long") from error

    def _wake(self, row: Key) -> None:
        for turn in self._waiting.pop(row, ()):
            if not turn.done():
                turn.set_result(None)

    def _commit(self, by: Process, tx: Transaction, name: str) -> bool:
        """Commit, or not; say whether the client's connection is lost at that moment."""
        strikes = self.around.faults.strikes
        if name in {"commit", "takeover"} and strikes(f"owner.in_{name}_undone"):
            by.kill()
            self.end(tx)
            return True
        if name == "commit" and strikes("commit.lost_undone"):
            self.end(tx)
            return True
        self._open.pop(tx, None)
        tx.commit()
        self.around.note(by, name)
        if name in {"commit", "takeover"} and strikes(f"owner.in_{name}_done"):
            by.kill()
            return True
        return name == "commit" and strikes("commit.lost_done")

    async def _way(self) -> None:
        dice = self.around.random()
        if self.around.loop.time() < self.slow_until:
            await asyncio.sleep(dice * 2.5)
        elif dice < 0.4:
            await asyncio.sleep(dice * 0.01)
