"""One HTTP request, by the standard library: the command's own needs are no reason for a dependency."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from wedsync.errors import Unavailable

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered; header names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Send(Protocol):
    """Makes one request."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Awaitable[Answer]:
        """Return the answer, whatever its status. Raises `Unavailable` if there is none."""
        ...


async def send(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """Make one request without following redirects. Raises `Unavailable` if nobody answers."""
    return await asyncio.to_thread(_send, method, url, headers or {}, body)


def _send(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection  # noqa: PLC0415 - slow to import

    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=found, body=response.read())
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{parts.scheme}://{parts.netloc} does not answer: {error}") from error
    finally:
        connection.close()
