"""The HTTP application: which address leads where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.gateway.http.events import EventStream
from services.gateway.http.openapi import OPENAPI
from services.gateway.http.problems import Problem, on_error, on_problem, respond
from services.gateway.http.rest import Rest
from services.gateway.http.webhooks import Webhooks
from wedsync.errors import WedSyncError
from wedsync.runtime.metrics import render

Degraded = Callable[[], dict[str, str]]
"""What soft dependencies are missing now, and what that means."""


def build_app(
    *, webhooks: Webhooks, rest: Rest, events: EventStream, ready: Callable[[], bool], degraded: Degraded
) -> Starlette:
    """Return the application."""

    async def readyz(_: Request) -> JSONResponse:
        body = {"ready": ready(), "degraded": degraded()}
        return JSONResponse(body, 200 if body["ready"] else 503)

    return Starlette(
        routes=[
            Route("/api/integrations/webhooks/{vendor}/{endpoint_key}", webhooks.receive, methods=["POST"]),
            Route("/api/integrations/vendor/connect", rest.connect, methods=["POST"]),
            Route("/api/integrations/sync/{wedding_id}", rest.status, methods=["GET"]),
            Route("/api/integrations/sync/{wedding_id}", rest.sync_now, methods=["POST"]),
            Route("/api/weddings/{wedding_id}/events", events.stream, methods=["GET"]),
            Route("/healthz", _healthz),
            Route("/readyz", readyz),
            Route("/metrics", _metrics),
            Route("/openapi.json", _openapi),
        ],
        exception_handlers={
            Problem: on_problem,
            WedSyncError: on_error,
            404: _not_found,
            405: _wrong_method,
            Exception: _internal,
        },
    )


async def _healthz(_: Request) -> JSONResponse:
    return JSONResponse({"alive": True})


async def _metrics(_: Request) -> Response:
    body, content_type = render()
    return Response(body, headers={"content-type": content_type})


async def _openapi(_: Request) -> JSONResponse:
    return JSONResponse(OPENAPI)


async def _not_found(_: Request, __: Any) -> JSONResponse:
    return respond(404, "NOT_FOUND", "There is nothing at this address; see /openapi.json.")


async def _wrong_method(_: Request, __: Any) -> JSONResponse:
    return respond(405, "WRONG_METHOD", "This address takes another method; see /openapi.json.")


async def _internal(_: Request, __: Any) -> JSONResponse:
    return respond(500, "INTERNAL", "Something went wrong inside WedSync; it has been logged.")
