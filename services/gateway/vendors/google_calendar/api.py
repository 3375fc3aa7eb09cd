"""Google's calendar API: JSON in and out, every refusal as what it means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from services.gateway.vendor_http import Response, VendorHttp
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import Account, VendorGarbage, VendorRejected, VendorUnavailable

# What Google says of a refusal is shown to people; more of it than this helps nobody.
_LONGEST_REASON = 200
_CURES = {
    "insufficientPermissions": "connect the account again and allow what is asked for",
    "requiredAccessLevel": "share the calendar with this account so that it may change events",
    "forbiddenForNonOrganizer": "only its organizer may change it",
}


class Refused(VendorRejected):
    """Google understood and said no; `status` and `reason` are its own."""

    def __init__(self, status: int, reason: str) -> None:
        cure = _CURES.get(reason, "see its manual")
        super().__init__(f"Google Calendar refused (status {status}, {reason[:_LONGEST_REASON]}): {cure}")
        self.status, self.reason = status, reason


class GoogleApi:
    """Calls the API as one account."""

    def __init__(self, http: VendorHttp, manifest: Manifest, account: Account) -> None:
        self._http, self._account, self._timeout = http, account, manifest.timeout_seconds
        self._base_url = account.base_url.rstrip("/")

    async def call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        if_match: str = "",
    ) -> dict[str, Any]:
        """Make one call; return what was answered, empty for nothing. Raises `Refused`."""
        url = "/".join([self._base_url, *(quote(step, safe="") for step in path)])
        headers = {"Authorization": f"Bearer {await self._account.access_token()}"}
        headers |= {"If-Match": if_match} if if_match else {}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        response = await self._http.request(
            method,
            f"{url}?{urlencode(query)}" if query else url,
            headers=headers,
            body=None if body is None else json.dumps(body).encode(),
            timeout=self._timeout,
            # An account that may not do this one thing need not be connected anew.
            returns=frozenset({403}),
        )
        return _understood(method, response)


def _understood(method: str, response: Response) -> dict[str, Any]:
    if 300 <= response.status < 400:
        # Following it could hand the token to another host, or turn a write into a read.
        raise VendorRejected("the API has moved: correct the integration's base URL")
    if response.status >= 400:
        raise Refused(response.status, _reason(response))
    return _parsed(method, response)


def _parsed(method: str, response: Response) -> dict[str, Any]:
    if response.status == 204 or not response.body:
        return {}
    try:
        answer = json.loads(response.body)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    if method == "GET":
        raise VendorGarbage("Google Calendar's answer is no JSON object")
    # It was probably carried out: the caller must look before it repeats a create.
    raise VendorUnavailable("Google Calendar's answer to a write is no JSON object", unknown_outcome=True)


def _reason(response: Response) -> str:
    """Return Google's word for why, as its envelope has it; a refusal without one has none."""
    try:
        reason = json.loads(response.body)["error"]["errors"][0]["reason"]
    except (ValueError, LookupError, TypeError):
        return "no reason given"
    return reason if isinstance(reason, str) else "no reason given"
