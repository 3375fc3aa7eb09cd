"""A reverse proxy of this machine that plays a script of faults before a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from wedsync.clock import Clock, SystemClock
from wedsync.testing.faults.script import Answer, Asked, Fault, Script, http_date

_STOP_SECONDS = 0.2
# What concerns one connection only, or is computed anew; and nobody packs what may be looked into here.
_NOT_PASSED_ON = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_ACCEPTED = Answer(status=202)
_AWAY = Answer(status=502)
"""The server is not there, or went away before its answer was complete."""


class FaultProxy:
    """Passes requests on to `server`, whose root it stands for, unless the script says otherwise.

    Links that the server makes from the Host header lead through the proxy. `heard` is told each answer of
    the server.
    """

    def __init__(
        self,
        server: str = "",
        clock: Clock | None = None,
        heard: Callable[[Asked, Answer], None] | None = None,
    ) -> None:
        self.server, self.url, self.script = server, "", Script()
        self._heard = heard or _ignored
        self.kept_back: list[Asked] = []
        self._clock = clock or SystemClock()
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[Self]:
        """Listen until the end, on a free port unless one is given."""
        # Without decoding a body and what is said of it stay together.
        self._session = aiohttp.ClientSession(
            auto_decompress=False, skip_auto_headers=("Accept-Encoding", "User-Agent")
        )
        runner = web.ServerRunner(
            web.Server(self._handle, handler_cancellation=True),
            shutdown_timeout=_STOP_SECONDS,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()
            await self._session.close()

    def before(self, address: str) -> str:
        """Return an address of the server as it leads through the proxy."""
        return self.url + URL(address, encoded=True).raw_path_qs

    async def release(self, order: Iterable[Asked] | None = None) -> list[int]:
        """Give the server what was kept back, in this order; return what it answered to each."""
        kept, self.kept_back = self.kept_back, []
        return [(await self._pass_on(asked, asked.body)).status for asked in (order or kept)]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = Asked(
            method=request.method,
            path=request.raw_path,
            headers=dict(request.headers.items()),
            body=await request.read(),
            at=self._clock.monotonic(),
        )
        fault = self.script.next(asked)
        if fault.seconds:
            await self._clock.sleep(fault.seconds)
        answer = await self._answer(asked, fault)
        if fault.silent:
            await asyncio.Event().wait()  # until the caller has had enough
        if fault.cut:
            return _cut(request)
        asked.status = answer.status
        return web.Response(status=answer.status, headers=self._headers(answer), body=answer.body)

    async def _answer(self, asked: Asked, fault: Fault) -> Answer:
        if fault.kept_back:
            self.kept_back.append(asked)
            return fault.instead or _ACCEPTED
        said = _ACCEPTED
        if not fault.loses_the_answer or fault.carried_out:
            body = fault.request(asked.body) if fault.request else asked.body
            for _ in range(fault.copies):
                said = await self._pass_on(asked, body)
        said = fault.instead or said
        return fault.answer(asked, said) if fault.answer else said

    async def _pass_on(self, asked: Asked, body: bytes) -> Answer:
        assert self._session is not None  # noqa: S101 - it runs
        target = URL(self.server + asked.path, encoded=True)
        headers = {name: value for name, value in asked.headers.items() if name.lower() not in _NOT_PASSED_ON}
        try:
            async with self._session.request(
                asked.method, target, headers=headers, data=body or None, allow_redirects=False
            ) as said:
                asked.said = said.status
                headers = {name.lower(): value for name, value in said.headers.items()}
                answer = Answer(status=said.status, headers=headers, body=await said.read())
        except aiohttp.ClientError:
            return _AWAY
        self._heard(asked, answer)
        return answer

    def _headers(self, answer: Answer) -> dict[str, str]:
        headers = {name: value for name, value in answer.headers.items() if name not in _NOT_PASSED_ON}
        stated = headers.get("date")
        moment = parsedate_to_datetime(stated) if stated else self._clock.now()
        return headers | {"date": http_date(moment + self.script.skew)}


def _ignored(_: Asked, __: Answer) -> None:
    """Nobody listens."""


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    """Reset the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
