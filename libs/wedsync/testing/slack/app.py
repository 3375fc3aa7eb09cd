"""The simulator as a web application: Slack's Web API, and `/_sandbox/` to steer and question it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from wedsync.testing.slack.refusal import Refused
from wedsync.testing.slack.sandbox import BASE, Sandbox
from wedsync.testing.slack.shape import Message
from wedsync.testing.slack.traffic import AFTER, BEFORE, Fault
from wedsync.testing.slack.workspace import CHANNEL

CONTROL = "/_sandbox"

_MAX_BODY = 2 * 1024 * 1024
# What a form holds as text although it means more.
_STRUCTURED = ("blocks", "metadata", "attachments")

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(sandbox: Sandbox) -> web.Application:
    """Return the application; one per workspace."""
    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_route("*", f"{BASE}/{{method}}", _api(sandbox))
    for verb, path, endpoint in _control(sandbox):
        app.router.add_route(verb, f"{CONTROL}{path}", _controlled(endpoint))

    async def close(_: web.Application) -> None:
        await sandbox.deliveries.aclose()

    app.on_shutdown.append(close)
    return app


def _api(sandbox: Sandbox) -> Endpoint:
    async def call(request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        fault = sandbox.traffic.next_fault(method)
        if fault.delay_ms:
            await sandbox.workspace.clock.sleep(fault.delay_ms / 1000)
        if fault.cut == BEFORE:
            return _cut(request)
        if fault.answers and not fault.apply:
            return _fault_answer(fault)
        answer = await _carried_out(sandbox, method, request)
        if fault.cut == AFTER:
            return _cut(request)
        return _fault_answer(fault) if fault.answers else web.json_response(answer)

    return call


async def _carried_out(sandbox: Sandbox, method: str, request: web.Request) -> Message:
    workspace = sandbox.workspace
    methods: Mapping[str, Callable[[Mapping[str, Any]], Message]] = {
        "auth.test": workspace.auth_test,
        "chat.delete": workspace.delete,
        "chat.postMessage": workspace.post,
        "chat.update": workspace.update,
        "conversations.history": workspace.history,
        "conversations.info": workspace.info,
        "conversations.replies": workspace.replies,
    }
    try:
        arguments = await _arguments(request)
        _authorize(sandbox, request, arguments)
        answer = {"ok": True, **methods.get(method, _unknown)(arguments)}
    except Refused as refused:
        return refused.body
    sandbox.changed()
    return answer


def _unknown(_: Mapping[str, Any]) -> Message:
    raise Refused("unknown_method")


def _authorize(sandbox: Sandbox, request: web.Request, arguments: Mapping[str, Any]) -> None:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    token = bearer if scheme.lower() == "bearer" else str(arguments.get("token", ""))
    if not token:
        raise Refused("not_authed")
    if error := sandbox.tokens.get(token, "invalid_auth"):
        raise Refused(error)


async def _arguments(request: web.Request) -> dict[str, Any]:
    """Return what the client says, in the query, a form or JSON."""
    if request.content_type != "application/json":
        form = await request.post() if request.method == "POST" else {}
        return _from_form({**request.query, **{name: str(value) for name, value in form.items()}})
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused("invalid_json")
    return {**request.query, **body}


def _from_form(form: Mapping[str, str]) -> dict[str, Any]:
    try:
        return {name: json.loads(text) if name in _STRUCTURED else text for name, text in form.items()}
    except ValueError:
        raise Refused("invalid_form_data") from None


def _cut(request: web.Request) -> web.StreamResponse:
    """Break the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _fault_answer(fault: Fault) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    told = {"ok": False, "error": fault.error or "ratelimited"}
    text = json.dumps(told) if fault.body is None else fault.body
    status = fault.status or 200
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def _control(sandbox: Sandbox) -> list[tuple[str, str, Callable[[Message], Awaitable[Any]]]]:
    async def messages(asked: Message) -> Any:
        return {"messages": sandbox.messages(str(asked.get("channel", CHANNEL)))}

    async def say(asked: Message) -> Any:
        return {"ts": sandbox.say(**asked)}

    async def edit(asked: Message) -> Any:
        sandbox.edit(**asked)

    async def remove(asked: Message) -> Any:
        sandbox.remove(**asked)

    async def click(asked: Message) -> Any:
        return {"status": await sandbox.click(**asked)}

    async def subscribe(asked: Message) -> Any:
        await sandbox.subscribe(**asked)

    async def fault(asked: Message) -> Any:
        sandbox.traffic.add(asked)

    async def calls(_: Message) -> Any:
        return {"calls": dict(sandbox.traffic.counts)}

    async def forget(_: Message) -> Any:
        sandbox.traffic.clear()

    return [
        ("GET", "/messages", messages),
        ("POST", "/say", say),
        ("POST", "/edit", edit),
        ("POST", "/remove", remove),
        ("POST", "/click", click),
        ("POST", "/subscribe", subscribe),
        ("POST", "/faults", fault),
        ("GET", "/calls", calls),
        ("DELETE", "/calls", forget),
    ]


def _controlled(endpoint: Callable[[Message], Awaitable[Any]]) -> Endpoint:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            told = await endpoint(await _arguments(request))
        except Refused as refused:
            return web.json_response(refused.body, status=409)
        except (TypeError, KeyError) as error:
            return web.json_response({"ok": False, "error": f"invalid_arguments: {error}"}, status=400)
        return web.json_response({"ok": True, **(told or {})})

    return answer
