"""Reading a request's body within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request

from services.gateway.http.problems import Problem

MAX_BODY = 1024 * 1024
"""Bytes of a webhook or REST body."""


async def read_body(request: Request) -> bytes:
    """Return the body; refuse it as soon as it is too large, without reading the rest."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Problem(413, "BODY_TOO_LARGE", f"The body is over {MAX_BODY} bytes; send less at once.")
    return bytes(body)


def json_object(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object in a body."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "NOT_JSON", f"The body is no JSON: {error}.") from error
    if not isinstance(content, dict):
        raise Problem(400, "WRONG_TYPE", "The body must be a JSON object.")
    return content
