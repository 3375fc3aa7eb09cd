"""Counts every API request and shows the faults the sandbox was told to: a layer round the application."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wedsync.clock import Clock
from wedsync.testing.tave.traffic import Fault, Traffic

# Promised to the client and never sent, so that it sees the connection break within the answer.
_NEVER_SENT = "1000"


class FaultLayer:
    """Stands between the socket and the API; the control requests pass through untouched."""

    def __init__(self, app: ASGIApp, *, traffic: Traffic, clock: Clock, base: str, control: str) -> None:
        self._app, self._traffic, self._clock = app, traffic, clock
        self._base, self._control = base, control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let the API answer it."""
        if scope["type"] != "http" or scope["path"].startswith(self._control):
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(self._base)
        fault = self._traffic.next_fault(scope["method"], path) or Fault()
        status = await self._answer(fault, scope, receive, send)
        self._traffic.record(scope["method"], path, status)

    async def _answer(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> int:
        if fault.delay_ms:
            await self._clock.sleep(fault.delay_ms / 1000)
        if not fault.answers:
            return await self._through(scope, receive, send)
        if fault.apply:
            await self._app(scope, receive, _swallow)
        if fault.drop:
            headers = [(b"content-length", _NEVER_SENT.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            return 0
        answer = _fault_answer(fault)
        await answer(scope, receive, send)
        return answer.status_code

    async def _through(self, scope: Scope, receive: Receive, send: Send) -> int:
        seen = [500]

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.append(message["status"])
            await send(message)

        await self._app(scope, receive, watch)
        return seen[-1]


async def _swallow(_: Message) -> None:
    """Drop the real answer: the fault is what the client gets to see."""


def _fault_answer(fault: Fault) -> Response:
    body = fault.body if fault.body is not None else '{"type":"unknown","title":"Told to fail."}'
    answer = Response(body, fault.status or 200, media_type="application/json")
    headers = MutableHeaders(raw=answer.raw_headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    if fault.location is not None:
        headers["Location"] = fault.location
    return answer
