"""The simulator as a web application: Google's API, and `/_sandbox/` to steer and question it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from wedsync.testing.google_calendar.api import Api
from wedsync.testing.google_calendar.refusal import Refused, not_found
from wedsync.testing.google_calendar.sandbox import BASE, Sandbox
from wedsync.testing.google_calendar.traffic import AFTER, BEFORE, Fault
from wedsync.testing.oauth2 import add_token_endpoint

CONTROL = "/_sandbox"

_MAX_BODY = 2 * 1024 * 1024
_NO_CONTENT, _NOT_MODIFIED = 204, 304

Handle = Callable[[web.Request, Any], Any]


def create_app(sandbox: Sandbox) -> web.Application:
    """Return the application; one per account."""
    app = web.Application(client_max_size=_MAX_BODY)
    for verb, path, method, handle in _methods(Api(sandbox)):
        app.router.add_route(verb, f"{BASE}{path}", _endpoint(sandbox, method, handle))
    add_token_endpoint(app, sandbox.authority)
    for verb, path, steer in _control(sandbox):
        app.router.add_route(verb, f"{CONTROL}{path}", _controlled(steer))

    async def close(_: web.Application) -> None:
        await sandbox.channels.aclose()

    app.on_shutdown.append(close)
    return app


def _methods(api: Api) -> list[tuple[str, str, str, Handle]]:
    events, event = "/calendars/{calendar}/events", "/calendars/{calendar}/events/{event}"
    return [
        ("GET", events, "events.list", api.list),
        ("POST", events, "events.insert", api.insert),
        ("POST", f"{events}/watch", "events.watch", api.watch),
        ("GET", event, "events.get", api.get),
        ("GET", f"{event}/instances", "events.instances", api.instances),
        ("PATCH", event, "events.patch", api.patch),
        ("PUT", event, "events.update", api.update),
        ("DELETE", event, "events.delete", api.delete),
        ("POST", "/channels/stop", "channels.stop", api.stop),
        ("GET", "/calendars/{calendar}", "calendars.get", api.calendar),
        ("GET", "/users/{user}/calendarList", "calendarList.list", api.entries),
        ("GET", "/users/{user}/calendarList/{calendar}", "calendarList.get", api.entry),
    ]


def _endpoint(sandbox: Sandbox, method: str, handle: Handle) -> Callable[..., Awaitable[web.StreamResponse]]:
    async def call(request: web.Request) -> web.StreamResponse:
        fault = sandbox.traffic.next_fault(method)
        if fault.delay_ms:
            await sandbox.clock.sleep(fault.delay_ms / 1000)
        if fault.cut == BEFORE:
            return _cut(request)
        if fault.answers and not fault.apply:
            return _fault_answer(fault)
        answer = await _carried_out(sandbox, request, handle)
        if fault.cut == AFTER:
            return _cut(request)
        return _fault_answer(fault) if fault.answers else answer

    return call


async def _carried_out(sandbox: Sandbox, request: web.Request, handle: Handle) -> web.StreamResponse:
    try:
        sandbox.authorize(request.headers.get("Authorization", ""))
        answer = handle(request, await _body(request))
    except Refused as refused:
        if refused.status == _NOT_MODIFIED:
            return web.Response(status=_NOT_MODIFIED)
        return web.json_response(refused.body, status=refused.status)
    return web.Response(status=_NO_CONTENT) if answer is None else web.json_response(answer)


async def _body(request: web.Request) -> Any:
    if request.method not in {"POST", "PUT", "PATCH"}:
        return {}
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "parseError", "Parse Error")
    return body


def _cut(request: web.Request) -> web.StreamResponse:
    """Break the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _fault_answer(fault: Fault) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    domain = "usageLimits" if fault.status in {403, 429} else "global"
    told = Refused(fault.status, fault.reason, domain=domain).body
    text = json.dumps(told) if fault.body is None else fault.body
    return web.Response(
        text=text, status=fault.status or 200, headers=headers, content_type="application/json"
    )


def _control(sandbox: Sandbox) -> list[tuple[str, str, Callable[[Any], Any]]]:
    """Return what steers it: faults, forgotten tokens, counts. People use the API itself."""

    def forget(_: Any) -> None:
        sandbox.forget_tokens()

    def calls(_: Any) -> Any:
        return {"calls": dict(sandbox.traffic.counts)}

    def clear(_: Any) -> None:
        sandbox.traffic.clear()

    def expire(asked: Any) -> None:
        if asked.get("token") not in sandbox.tokens:
            raise not_found()
        sandbox.tokens[asked["token"]] = False

    return [
        ("POST", "/faults", sandbox.traffic.add),
        ("POST", "/forget-tokens", forget),
        ("POST", "/expire", expire),
        ("GET", "/calls", calls),
        ("DELETE", "/calls", clear),
    ]


def _controlled(handle: Callable[[Any], Any]) -> Callable[..., Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            told = handle(await _body(request))
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)
        return web.json_response({"ok": True, **(told or {})})

    return answer
