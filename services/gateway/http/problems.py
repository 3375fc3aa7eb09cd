"""Errors over HTTP: `application/problem+json` (RFC 9457) with a stable code."""

from __future__ import annotations

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from wedsync import errors
from wedsync.errors import WedSyncError

STATUS: dict[type[WedSyncError], int] = {
    WedSyncError: 500,
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.UnknownWedding: 404,
    errors.AlreadyExists: 409,
    errors.ChangeIdReused: 409,
    errors.FailedPrecondition: 409,
    errors.WeddingPaused: 409,
    errors.StaleRevision: 409,
    errors.Overloaded: 429,
    errors.Unavailable: 503,
    errors.NotOwner: 503,
    errors.DeadlineExceeded: 504,
}


class Problem(Exception):
    """A request over HTTP that cannot be served, with its status and stable code."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


def respond(
    status: int, code: str, detail: str, *, retry_after: float | None = None, **more: Any
) -> JSONResponse:
    """Return a problem document."""
    body = {"type": "about:blank", "status": status, "code": code, "detail": detail, **more}
    headers = {} if retry_after is None else {"Retry-After": str(max(1, math.ceil(retry_after)))}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def on_problem(_: Request, problem: Exception) -> JSONResponse:
    """Answer a problem the HTTP front found itself."""
    if not isinstance(problem, Problem):  # pragma: no cover - registered for Problem only
        raise problem
    return respond(problem.status, problem.code, problem.detail)


async def on_error(_: Request, error: Exception) -> JSONResponse:
    """Answer an error of the family."""
    if not isinstance(error, WedSyncError):  # pragma: no cover - registered for WedSyncError only
        raise error
    violations = [{"field": v.field, "description": v.description} for v in error.violations]
    return respond(
        STATUS[type(error)],
        error.reason,
        str(error),
        retry_after=error.retry_after,
        **({"violations": violations} if violations else {}),
    )
