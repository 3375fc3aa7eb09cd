"""The Partner API over HTTP: JSON in and out, every refusal as what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from services.gateway.vendor_http import Response, VendorHttp
from services.gateway.vendors.port import VendorGarbage, VendorRejected, VendorUnavailable

GONE = frozenset({404, 410})
LOST, MOVED = 410, 412
# What a partner says of a refusal is shown to people; more of it than this helps nobody.
_LONGEST_REASON = 200


class Refused(VendorRejected):
    """The partner's system understood and said no."""

    def __init__(self, status: int, reason: str) -> None:
        said = f": {reason[:_LONGEST_REASON]}" if reason else ""
        super().__init__(f"the partner's system refused (status {status}){said}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerApi:
    """Calls one account's API."""

    http: VendorHttp
    base_url: str
    token: str
    timeout: float

    async def call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        condition: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make one call; return what was answered, empty for a delete. Raises `Refused`."""
        url = "/".join([self.base_url, *(quote(step, safe="") for step in path)])
        response = await self.http.request(
            method,
            f"{url}?{urlencode(query)}" if query else url,
            headers={
                "Authorization": f"Bearer {self.token}",
                "Accept": "application/json",
                **({} if body is None else {"Content-Type": "application/json"}),
                **(condition or {}),
            },
            body=None if body is None else orjson.dumps(body),
            timeout=self.timeout,
        )
        return _understood(method, response)


def over(version: str) -> dict[str, str]:
    """Return the condition of a write over just this version."""
    return {"If-Match": f'"{version}"'}


def _understood(method: str, response: Response) -> dict[str, Any]:
    if 300 <= response.status < 400:
        # Following it could hand the token to another host, or turn a write into a read.
        raise VendorRejected("the API has moved: correct the integration's base URL")
    if response.status >= 400:
        raise Refused(response.status, _reason(response))
    if method == "DELETE":
        return {}
    answer = _parsed(response)
    if answer is not None:
        return answer
    if method == "GET":
        raise VendorGarbage("the partner's answer is no JSON object")
    # It was probably carried out: the caller must look before it repeats it.
    raise VendorUnavailable("the partner's answer to a write is no JSON object", unknown_outcome=True)


def _parsed(response: Response) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(response.body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _reason(response: Response) -> str:
    """Return the partner's own words for why, as problem details (RFC 9457) have them."""
    told = _parsed(response) or {}
    found = told.get("detail") or told.get("title")
    return found if isinstance(found, str) else ""
