"""Tave's REST API: JSON in and out, every failure as one of the port's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

from services.gateway.vendor_http import Response
from services.gateway.vendors.port import VendorGarbage, VendorRejected, VendorUnavailable

# What the vendor says of a refusal is shown to people; more of it than this helps nobody.
_LONGEST_REASON = 400
# More than any job or a busy studio's day holds; a list that goes on longer is not read to the end.
_MAX_PAGES = 50


class Http(Protocol):
    """The door for outbound HTTP, as this vendor uses it."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the door bounds the call
    ) -> Response:
        """Make one call; see `VendorHttp`."""
        ...


class Absent(Exception):
    """The vendor says that there is no such object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The objects of a list: whether they are all there are, and if not, whether they go back far enough."""

    items: tuple[dict[str, Any], ...]
    complete: bool
    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaveApi:
    """Calls one studio's API."""

    http: Http
    base_url: str
    key: str
    timeout: float
    page_size: int = 100

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Read one object or one page of a list. Raises `Absent`."""
        response = await self._call("GET", path, query)
        return _parsed(response.body)

    async def write(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write one object and return it as the vendor now has it. Raises `Absent`."""
        response = await self._call(method, path, {}, json.dumps(body).encode())
        try:
            return _parsed(response.body)
        except VendorGarbage as error:
            # It was probably carried out: the caller must look before it repeats a create.
            raise VendorUnavailable(str(error), unknown_outcome=True) from error

    async def delete(self, path: str) -> None:
        """Delete one object. Raises `Absent`."""
        await self._call("DELETE", path, {})

    async def newest(self, path: str, *, until: str = "", pages: int = _MAX_PAGES, **query: str) -> Listing:
        """Read a list from its newest change back to `until`, and one page beyond.

        Objects move between pages while they are read. One that is changed moves to the front and is
        seen twice; one that is deleted pulls the next one over the edge of the page unseen, which
        the total gives away: then the list is read again.
        """
        found: dict[str, dict[str, Any]] = {}
        total, number, reached = 0, 1, False
        for _ in range(pages):
            page = await self._page(path, number, query)
            if page.total < total:
                found, total, number, reached = {}, 0, 1, False
                continue
            found |= {str(item.get("id")): item for item in page.items}
            if number >= page.pages:
                return Listing(items=tuple(found.values()), complete=True, reached=True)
            if reached:
                break
            total, number = page.total, number + 1
            reached = _reaches(page.items, until)
        return Listing(items=tuple(found.values()), complete=False, reached=reached)

    async def all(self, path: str, *, until: str = "", **query: str) -> Listing:
        """Read like `newest`. Raises `VendorRejected` if the list has no end within reason."""
        listing = await self.newest(path, until=until, pages=_MAX_PAGES, **query)
        if not listing.reached:
            raise VendorRejected(f"{path} holds more than {_MAX_PAGES * self.page_size} objects")
        return listing

    async def whole(self, path: str) -> list[dict[str, Any]]:
        """Read a list that comes in one piece, without what is hidden."""
        items = _items(await self.get(path, sortBy="modified desc"))
        return [item for item in items if item.get("hidden") is not True]

    async def _page(self, path: str, number: int, query: Mapping[str, str]) -> _Page:
        paging = {"page": str(number), "pageSize": str(self.page_size), "sortBy": "modified desc"}
        return _page(await self.get(path, **query, **paging))

    async def _call(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None
    ) -> Response:
        url = f"{self.base_url}{path}{'?' if query else ''}{urlencode(query)}"
        headers = {"X-API-KEY": self.key, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        response = await self.http.request(method, url, headers=headers, body=body, timeout=self.timeout)
        if response.status in {404, 410}:
            raise Absent(path)
        if 300 <= response.status < 400:
            # Following it could hand the key to another host, or turn a write into a read.
            raise VendorRejected("the API has moved: correct the integration's base URL")
        if response.status >= 400:
            raise VendorRejected(_reason(response))
        return response


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    items: list[dict[str, Any]]
    pages: int
    total: int


def _page(answer: Mapping[str, Any]) -> _Page:
    meta = answer.get("meta")
    pages, total = (
        (meta.get("totalPages"), meta.get("totalItems")) if isinstance(meta, dict) else (None, None)
    )
    if type(pages) is not int or type(total) is not int:
        raise VendorGarbage("a list lacks its page count")
    return _Page(items=_items(answer), pages=pages, total=total)


def _items(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = answer.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise VendorGarbage("a list lacks its items")
    return items


def _reaches(items: list[dict[str, Any]], until: str) -> bool:
    return any(str(item.get("modified")) < until for item in items)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise VendorGarbage("the answer is not a JSON object")
    return answer


def _reason(response: Response) -> str:
    """Say what was wrong; the vendor's documents disagree on where the answer says so."""
    try:
        answer = _parsed(response.body)
    except VendorGarbage:
        return f"Tave refused (status {response.status})"
    info = answer.get("info")
    detail = answer.get("detail") or (info.get("errors") if isinstance(info, dict) else None)
    said = json.dumps(detail) if detail else str(answer.get("title"))
    return f"Tave refused (status {response.status}): {said[:_LONGEST_REASON]}"
