"""The simulator as a web application: Tave's REST API, and `/_sandbox/` to steer and question it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from wedsync.testing.tave import storage
from wedsync.testing.tave.faulty import FaultLayer
from wedsync.testing.tave.hooks import HookSender
from wedsync.testing.tave.quota import Quota
from wedsync.testing.tave.refusal import Refused, invalid, quota_exceeded, unauthorized
from wedsync.testing.tave.resources import RESOURCES
from wedsync.testing.tave.studio import TaveStudio
from wedsync.testing.tave.traffic import Traffic

BASE = "/api/v2"
CONTROL = "/_sandbox"
SANDBOX_KEY = "sandbox-key"
READ_ONLY_KEY = "sandbox-read-only-key"

_MAX_BODY = 2 * 1024 * 1024
# Made and deleted only through the job, or by Tave itself.
_HIDDEN_COLLECTIONS = frozenset({"order"})

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class Sandbox:
    """A studio and everything round it that the web application needs."""

    studio: TaveStudio
    data: Path | None = None
    keys: Mapping[str, bool] = field(default_factory=lambda: {SANDBOX_KEY: True, READ_ONLY_KEY: False})
    """API keys, and whether they may write."""
    hook_body: str = "resource"
    """`resource` posts the whole object, `target` only `{"targetId": ...}`: the vendor does not say which."""
    quota: Quota = field(default_factory=Quota)
    traffic: Traffic = field(default_factory=Traffic)

    def changed(self, hooks: HookSender) -> None:
        """Save what changed and tell the subscribers."""
        fired = self.studio.take_fired()
        storage.save(self.data, self.studio)
        for event, item in fired:
            body = item if self.hook_body == "resource" else {"targetId": item["id"]}
            for hook in self.studio.objects["rest-hook"].values():
                if hook["event"] == event and not hook["hidden"] and _within(hook["limitTo"], item):
                    hooks.send(hook["url"], body)


def create_app(sandbox: Sandbox) -> Starlette:
    """Return the application; one per studio."""
    hooks = HookSender(sandbox.studio.clock)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await hooks.aclose()

    layer = Middleware(
        FaultLayer, traffic=sandbox.traffic, clock=sandbox.studio.clock, base=BASE, control=CONTROL
    )
    routes = [Mount(BASE, routes=_api(sandbox, hooks)), Mount(CONTROL, routes=_control(sandbox, hooks))]
    handlers: Any = {Refused: _refuse}
    return Starlette(routes=routes, middleware=[layer], lifespan=lifespan, exception_handlers=handlers)


def _api(sandbox: Sandbox, hooks: HookSender) -> list[Route]:
    def route(path: str, method: str, endpoint: Endpoint) -> Route:
        async def guarded(request: Request) -> Response:
            _authorize(sandbox, request)
            if wait := sandbox.quota.wait(sandbox.studio.clock.monotonic()):
                raise quota_exceeded(wait)
            return await endpoint(request)

        return Route(path, guarded, methods=[method])

    studio = sandbox.studio

    async def me(_: Request) -> Response:
        return JSONResponse(studio.me())

    async def timezones(request: Request) -> Response:
        return JSONResponse(studio.timezones(_query(request)))

    async def job_payments(request: Request) -> Response:
        return JSONResponse(studio.payments_of(request.path_params["id"], _query(request)))

    fixed = [("/studio/me", me), ("/timezone", timezones), ("/job/{id}/payment", job_payments)]
    open_collections = [name for name in RESOURCES if name not in _HIDDEN_COLLECTIONS]
    return [route(path, "GET", endpoint) for path, endpoint in fixed] + [
        route(path, method, endpoint)
        for name in open_collections
        for path, method, endpoint in _collection(sandbox, hooks, name)
    ]


def _collection(sandbox: Sandbox, hooks: HookSender, name: str) -> list[tuple[str, str, Endpoint]]:
    studio = sandbox.studio

    async def page(request: Request) -> Response:
        return JSONResponse(studio.page(name, _query(request)))

    async def create(request: Request) -> Response:
        kept = studio.create(name, await _json(request))
        sandbox.changed(hooks)
        return JSONResponse(kept, 201)

    async def get(request: Request) -> Response:
        return JSONResponse(studio.get(name, request.path_params["id"]))

    async def replace(request: Request) -> Response:
        kept = studio.replace(name, request.path_params["id"], await _json(request))
        sandbox.changed(hooks)
        return JSONResponse(kept)

    async def delete(request: Request) -> Response:
        studio.delete(name, request.path_params["id"])
        sandbox.changed(hooks)
        return Response(status_code=204)

    many, one = f"/{name}", f"/{name}/{{id}}"
    return [
        (many, "GET", page),
        (many, "POST", create),
        (one, "GET", get),
        (one, "PUT", replace),
        (one, "DELETE", delete),
    ]


def _control(sandbox: Sandbox, hooks: HookSender) -> list[Route]:
    studio, traffic = sandbox.studio, sandbox.traffic

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            traffic.clear()
        return JSONResponse(traffic.summary())

    async def faults(request: Request) -> Response:
        traffic.add_fault(await _json(request))
        return JSONResponse({"due": len(traffic.faults)}, 201)

    async def tamper(request: Request) -> Response:
        path = request.path_params
        kept = studio.tamper(path["name"], path["id"], await _json(request))
        sandbox.changed(hooks)
        return JSONResponse(kept)

    async def book_order(request: Request) -> Response:
        order = studio.book_order(request.path_params["id"])
        sandbox.changed(hooks)
        return JSONResponse(order, 201)

    async def reset(_: Request) -> Response:
        studio.clear()
        traffic.clear()
        sandbox.changed(hooks)
        return Response(status_code=204)

    return [
        Route("/requests", requests, methods=["GET", "DELETE"]),
        Route("/faults", faults, methods=["POST"]),
        Route("/objects/{name}/{id}", tamper, methods=["PATCH"]),
        Route("/job/{id}/book-order", book_order, methods=["POST"]),
        Route("/reset", reset, methods=["POST"]),
    ]


def _authorize(sandbox: Sandbox, request: Request) -> None:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("x-api-key") or (bearer if scheme.lower() == "bearer" else "")
    if key not in sandbox.keys:
        raise unauthorized()
    if request.method != "GET" and not sandbox.keys[key]:
        raise Refused(403, "unknown", "Forbidden.", "This API key is read only.")


def _query(request: Request) -> dict[str, str]:
    return dict(request.query_params)


async def _json(request: Request) -> Any:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise invalid({"": ["the content type must be application/json"]})
    received = b""
    async for chunk in request.stream():
        received += chunk
        if len(received) > _MAX_BODY:
            raise invalid({"": ["the body is too large"]})
    try:
        return json.loads(received)
    except ValueError:
        raise invalid({"": ["the body is not JSON"]}) from None


async def _refuse(_: Request, refused: Refused) -> Response:
    return JSONResponse(refused.body, refused.status, headers=refused.headers)


def _within(limit: Mapping[str, Any] | None, item: Mapping[str, Any]) -> bool:
    kinds = (limit or {}).get("contactKinds")
    return not kinds or item.get("kind") in kinds
