"""The simulator as a web application: Graph's API, and `/_sandbox/` to steer and question it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from wedsync.testing.oauth2 import add_token_endpoint
from wedsync.testing.outlook.api import Api
from wedsync.testing.outlook.refusal import Refused, invalid
from wedsync.testing.outlook.sandbox import BASE, Sandbox
from wedsync.testing.outlook.traffic import AFTER, BEFORE, Fault

CONTROL = "/_sandbox"

_MAX_BODY = 4 * 1024 * 1024
_WRITES = frozenset({"POST", "PATCH", "DELETE"})

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(sandbox: Sandbox) -> web.Application:
    """Return the application; one per mailbox."""
    app = web.Application(client_max_size=_MAX_BODY)
    for verb, path, endpoint in Api(sandbox).routes():
        app.router.add_route(verb, f"{BASE}{path}", _guarded(sandbox, endpoint))
    add_token_endpoint(app, sandbox.authority)
    for verb, path, steer in _control(sandbox):
        app.router.add_route(verb, f"{CONTROL}{path}", _controlled(steer))

    async def close(_: web.Application) -> None:
        await sandbox.notifier.aclose()

    app.on_shutdown.append(close)
    return app


def _guarded(sandbox: Sandbox, endpoint: Endpoint) -> Endpoint:
    """Let an endpoint see only what the limits, the faults and the token let through."""

    async def call(request: web.Request) -> web.StreamResponse:
        fault = sandbox.traffic.next_fault(request.method, request.path.removeprefix(BASE))
        try:
            sandbox.traffic.enter(sandbox.mailbox.clock.monotonic())
        except Refused as refused:
            return _refusal(refused)
        try:
            return await _met(sandbox, fault, endpoint, request)
        finally:
            sandbox.traffic.leave()

    return call


async def _met(
    sandbox: Sandbox, fault: Fault, endpoint: Endpoint, request: web.Request
) -> web.StreamResponse:
    if fault.delay_ms:
        await sandbox.mailbox.clock.sleep(fault.delay_ms / 1000)
    if fault.cut == BEFORE:
        return _cut(request)
    if fault.answers and not fault.apply:
        return _fault_answer(fault)
    answer = await _carried_out(sandbox, endpoint, request)
    if fault.cut == AFTER:
        return _cut(request)
    return _fault_answer(fault) if fault.answers else answer


async def _carried_out(sandbox: Sandbox, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
    try:
        _authorize(sandbox, request)
        answer = await endpoint(request)
    except Refused as refused:
        return _refusal(refused)
    sandbox.changed()
    return answer


def _authorize(sandbox: Sandbox, request: web.Request) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or token not in sandbox.tokens | sandbox.authority.access:
        raise Refused(401, "InvalidAuthenticationToken", "Access token is empty or has expired.")
    if sandbox.read_only and request.method in _WRITES:
        raise Refused(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")


def _refusal(refused: Refused) -> web.Response:
    return web.json_response(refused.body, status=refused.status, headers=refused.headers)


def _cut(request: web.Request) -> web.StreamResponse:
    """Break the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _fault_answer(fault: Fault) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    told = json.dumps({"error": {"code": fault.code, "message": "Told to fail."}})
    text = told if fault.body is None else fault.body
    return web.Response(
        text=text, status=fault.status or 200, headers=headers, content_type="application/json"
    )


def _control(sandbox: Sandbox) -> list[tuple[str, str, Callable[[dict[str, Any]], Any]]]:
    """Return what the sandbox can be asked for; each is told by the request's JSON."""
    traffic = sandbox.traffic
    return [
        ("GET", "/events", lambda _: {"events": sandbox.events()}),
        ("POST", "/events", lambda asked: {"id": sandbox.add(**asked)}),
        ("PATCH", "/events", lambda asked: sandbox.change(**asked)),
        ("DELETE", "/events", lambda asked: sandbox.remove(**asked)),
        ("POST", "/move", lambda asked: sandbox.move(**asked)),
        ("POST", "/touch", lambda asked: sandbox.touch(**asked)),
        ("POST", "/forget", lambda _: sandbox.rounds.forget()),
        ("POST", "/lifecycle", lambda asked: sandbox.subscriptions.lifecycle(**asked)),
        ("POST", "/faults", traffic.add),
        ("GET", "/calls", lambda _: {"calls": dict(traffic.counts)}),
        ("DELETE", "/calls", lambda _: traffic.clear()),
    ]


def _controlled(steer: Callable[[dict[str, Any]], Any]) -> Endpoint:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            told = steer(await json_body(request) if request.can_read_body else {})
        except Refused as refused:
            return _refusal(refused)
        except (TypeError, KeyError, AttributeError) as error:
            return _refusal(invalid(str(error)))
        return web.json_response(told or {})

    return answer


async def json_body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object a request carries. Raises `Refused`."""
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise invalid("The body is no JSON object.", "RequestBodyRead")
    return body
