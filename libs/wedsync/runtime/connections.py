"""A bounded stack of connections that is cheap to take from: the one used last is used next.

SQLAlchemy's pool resets a connection each time, through layers made for more than this: it costs as much as
a short exchange does. Here nothing is to be reset, for an exchange leaves nothing behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from wedsync.errors import Overloaded
from wedsync.runtime.round_trip import Asked, Statement, Talk

Say = Callable[..., Awaitable[list[list[dict[str, Any]]]]]
"""Executes statements in one round trip; returns the rows of each, by name."""

_BEGIN, _COMMIT = Statement("begin", "BEGIN"), Statement("commit", "COMMIT")
_RETRY_SECONDS = 1.0
_OPERATOR = "57P"
"""How the code of an error begins with which the server ends a connection."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A connection, and when it was opened."""

    driver: psycopg.AsyncConnection[Any]
    talk: Talk
    opened_at: float


class Connections:
    """Opened when they are needed, closed when they are old, or when one of them was lost."""

    def __init__(
        self,
        url: str,
        limit: int,
        *,
        wait_seconds: float,
        recycle_seconds: float,
        arguments: Mapping[str, Any],
    ) -> None:
        self._url, self._arguments = url, arguments
        self._wait_seconds, self._recycle_seconds = wait_seconds, recycle_seconds
        self._places = asyncio.Semaphore(limit)
        self._idle: list[_Kept] = []

    async def exchange(self, asked: Sequence[Asked], *, dict_rows: bool) -> list[list[Any]]:
        """Execute statements as one transaction in one round trip; return the rows of each.

        Raises `psycopg.Error`, or `Overloaded` where no connection became free in time.
        """
        async with self._lent() as kept:
            return await _said(kept, asked, dict_rows=dict_rows)

    @contextlib.asynccontextmanager
    async def conversation(self, *opening: Asked) -> AsyncIterator[Say]:
        """Open a transaction of several exchanges, which begins with `opening`, and commit it at the end.

        Any exception undoes it. Raises the same as `exchange`.
        """
        async with self._lent() as kept:
            await _said(kept, [(_BEGIN, {}), *opening], dict_rows=True)

            async def say(*asked: Asked) -> list[list[dict[str, Any]]]:
                return await _said(kept, asked, dict_rows=True)

            yield say
            await _said(kept, [(_COMMIT, {})], dict_rows=True)

    async def aclose(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for kept in idle:
            await kept.driver.close()

    @contextlib.asynccontextmanager
    async def _lent(self) -> AsyncIterator[_Kept]:
        async with self._place():
            kept = await self._youngest() or await self._open()
            try:
                yield kept
            except BaseException as error:
                # Nobody knows how far the two sides got, least of all one who gave up waiting.
                await kept.driver.close()
                if _is_lost(error):
                    await self.aclose()  # the others most likely are too
                raise
            self._idle.append(kept)

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded("Every database connection is in use.", retry_after=_RETRY_SECONDS) from None
        try:
            yield
        finally:
            self._places.release()

    async def _youngest(self) -> _Kept | None:
        while self._idle:
            kept = self._idle.pop()
            if not kept.driver.closed and time.monotonic() - kept.opened_at < self._recycle_seconds:
                return kept
            await kept.driver.close()
        return None

    async def _open(self) -> _Kept:
        driver = await psycopg.AsyncConnection.connect(self._url, autocommit=True, **self._arguments)
        return _Kept(driver, Talk(driver), time.monotonic())


async def _said(kept: _Kept, asked: Sequence[Asked], *, dict_rows: bool) -> list[list[Any]]:
    (answers,) = await kept.driver.wait(kept.talk.exchanges(asked, dict_rows=dict_rows))
    return answers


def _is_lost(error: BaseException) -> bool:
    """Say whether the connection broke, or was broken by an operator."""
    return isinstance(error, psycopg.OperationalError) and (error.sqlstate or _OPERATOR).startswith(_OPERATOR)
