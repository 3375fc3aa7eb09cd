"""Telling the other vendor: one PUT on a connection that is kept."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from tests.bench.peers.work import Edit

_PATIENCE_SECONDS = 10.0
_MOVED = 412


class NotTold(Exception):
    """The vendor did not take it; whoever handed the work out does so again."""


def path_of(edit: Edit) -> str:
    """Return where the record stands at the other vendor."""
    return f"/collections/{edit.wedding_id}/records/{edit.record_id}"


def content(fields: Mapping[str, Any]) -> bytes:
    """Return what is put there."""
    return orjson.dumps({"kind": "timeline_event", "fields": fields})


def condition(told: int) -> dict[str, str]:
    """Return under which condition the n-th write is to be taken."""
    return {"If-Match": f'"{told - 1}"'} if told > 1 else {"If-None-Match": "*"}


class Vendor:
    """For a program with an event loop."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session, self._url = session, url
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}

    async def tell(self, edit: Edit, told: int | None) -> None:
        """Return once the vendor has it: by the n-th write, or, where that is not known, by whichever."""
        headers = condition(told) if told else await self._as_it_is(edit)
        if await self._put(edit, headers) == _MOVED:
            await self._put(edit, await self._as_it_is(edit))

    async def _put(self, edit: Edit, headers: Mapping[str, str]) -> int:
        url, sent = f"{self._url}{path_of(edit)}", {**self._headers, **headers}
        async with self._session.put(url, data=content(edit.fields), headers=sent) as answer:
            await answer.read()
            return _judged(answer.status)

    async def _as_it_is(self, edit: Edit) -> dict[str, str]:
        async with self._session.get(f"{self._url}{path_of(edit)}", headers=self._headers) as answer:
            await answer.read()
            return _found(answer.headers.get("ETag"))


def session() -> aiohttp.ClientSession:
    """Open what `Vendor` calls through, without a bound on connections of its own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)
    )


class ThreadsVendor:
    """For a program with threads: each has a connection. `http.client` costs least of what there is."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._base = parts.hostname or "", parts.port, parts.path
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        self._own = threading.local()

    def tell(self, edit: Edit, told: int | None) -> None:
        """Return once the vendor has it: by the n-th write, or, where that is not known, by whichever."""
        headers = condition(told) if told else self._as_it_is(edit)
        if self._put(edit, headers) == _MOVED:
            self._put(edit, self._as_it_is(edit))

    def _put(self, edit: Edit, headers: Mapping[str, str]) -> int:
        return _judged(self._called("PUT", edit, content(edit.fields), headers).status)

    def _as_it_is(self, edit: Edit) -> dict[str, str]:
        return _found(self._called("GET", edit, None, {}).headers.get("ETag"))

    def _called(
        self, method: str, edit: Edit, body: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        try:
            line = self._line()
            line.request(method, f"{self._base}{path_of(edit)}", body, {**self._headers, **headers})
            answer = line.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._own.line = None
            raise NotTold("the line to the vendor broke") from error
        return answer

    def _line(self) -> http.client.HTTPConnection:
        if getattr(self._own, "line", None) is None:
            self._own.line = http.client.HTTPConnection(self._host, self._port, timeout=_PATIENCE_SECONDS)
        line: http.client.HTTPConnection = self._own.line
        return line


def _judged(status: int) -> int:
    if status not in {200, 201, _MOVED}:
        raise NotTold(f"the vendor answered {status}")
    return status


def _found(version: str | None) -> dict[str, str]:
    return {"If-Match": version} if version else {"If-None-Match": "*"}
