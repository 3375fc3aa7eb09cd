"""Runs the token endpoint and the resource inside a running event loop, on a port of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import BasicAuth, web

from wedsync.testing.oauth2.authority import Authority, Fault, Refused

_STOP_SECONDS = 0.2


@asynccontextmanager
async def running(authority: Authority, *, port: int = 0) -> AsyncIterator[str]:
    """Serve `/token`, and `/resource` for whoever has an access token; yield their common address."""
    app = web.Application()
    add_token_endpoint(app, authority)
    app.router.add_route("*", "/resource", _Endpoint(authority).resource)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def add_token_endpoint(app: web.Application, authority: Authority) -> None:
    """Have an application serve `/token` too."""
    app.router.add_post("/token", _Endpoint(authority).token)


class _Endpoint:
    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Trade a refresh token in."""
        authority, form = self._authority, await _form(request)
        authority.refreshes += 1
        authority.under_way += 1
        authority.most_at_once = max(authority.most_at_once, authority.under_way)
        fault = authority.faults.pop(0) if authority.faults else None
        try:
            await asyncio.sleep(authority.delay)
            return self._answer(request, form, fault)
        finally:
            authority.under_way -= 1

    async def resource(self, request: web.Request) -> web.StreamResponse:
        """Let in who has an access token."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return web.json_response({"token": token}, status=200 if token in self._authority.access else 401)

    def _answer(self, request: web.Request, form: dict[str, str], fault: Fault | None) -> web.StreamResponse:
        if fault is Fault.BUSY:
            return web.json_response({"error": "temporarily_unavailable"}, status=503)
        if fault is Fault.DIES_BEFORE:
            return _cut(request)
        try:
            answer = self._authority.trade(form)
        except Refused as refused:
            status = 401 if str(refused) == "invalid_client" else 400
            return web.json_response({"error": str(refused)}, status=status)
        if fault is Fault.DIES_AFTER:
            return _cut(request)
        return web.Response(text="<html>") if fault is Fault.GARBAGE else web.json_response(answer)


async def _form(request: web.Request) -> dict[str, str]:
    """Return what was sent, with the client's id and secret from wherever they stand."""
    form = {name: str(value) for name, value in (await request.post()).items()}
    if header := request.headers.get("Authorization"):
        client = BasicAuth.decode(header)
        form |= {"client_id": client.login, "client_secret": client.password}
    return form


def _cut(request: web.Request) -> web.Response:
    """Break the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
