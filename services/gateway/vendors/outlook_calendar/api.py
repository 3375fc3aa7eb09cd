"""Calls to Graph as one account: JSON in and out, and every refusal as what it means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from services.gateway.vendor_http import Response, VendorHttp
from services.gateway.vendors.port import (
    Account,
    VendorAuthFailed,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
)

# Ids that stay when an event moves, times in one zone, notes without their format.
_PREFER = 'IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="text"'
# An account that may not do this one thing is not an account that must be connected anew.
_ANSWERS = frozenset({403})
_LONGEST_CODE = 100
_CURES = {
    403: "the account may not do this: give it the right to change the calendar",
    404: "there is no such thing: choose a calendar that Outlook lists",
}


class Refused(VendorRejected):
    """Graph understood and said no, by a status and a code of its own."""

    def __init__(self, status: int, code: str) -> None:
        cure = _CURES.get(status, "see the code")
        super().__init__(f"Outlook refused (status {status} {code[:_LONGEST_CODE]}): {cure}")
        self.status, self.code = status, code


class GraphApi:
    """Calls one account's Graph. Paths are relative to the account's base; links of Graph's own are whole."""

    def __init__(self, http: VendorHttp, account: Account, timeout_seconds: float) -> None:
        self._http, self._account, self._timeout = http, account, timeout_seconds
        self._base = account.base_url.rstrip("/")

    async def get(self, path: str, *, page_size: int | None = None) -> dict[str, Any]:
        """Return what Graph shows. Raises `Refused`."""
        prefer = {"Prefer": f"{_PREFER}, odata.maxpagesize={page_size}"} if page_size else {}
        answer = _parsed((await self._call("GET", path, prefer, None)).body)
        if answer is None:
            raise VendorGarbage("the answer is not one of Graph's")
        return answer

    async def send(
        self, method: str, path: str, body: Mapping[str, Any], *, if_match: str | None = None
    ) -> dict[str, Any]:
        """Write, and return how Graph shows it then. Raises `Refused`."""
        headers = {"Content-Type": "application/json", **({"If-Match": if_match} if if_match else {})}
        answer = _parsed((await self._call(method, path, headers, json.dumps(body).encode())).body)
        if answer is None:
            # It was probably carried out: the caller must look before it repeats a create.
            raise VendorUnavailable("the answer to a write is not one of Graph's", unknown_outcome=True)
        return answer

    async def delete(self, path: str, *, if_match: str | None = None) -> None:
        """Delete; gone already is success. Raises `Refused`."""
        try:
            await self._call("DELETE", path, {"If-Match": if_match} if if_match else {}, None)
        except Refused as refused:
            if refused.status != 404:
                raise

    async def _call(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        response = await self._http.request(
            method,
            self._address(path),
            headers={
                "Authorization": f"Bearer {await self._token()}",
                "Accept": "application/json",
                "Prefer": _PREFER,
                **headers,
            },
            body=body,
            timeout=self._timeout,
            returns=_ANSWERS,
        )
        if 300 <= response.status < 400:
            # Following it could hand the token to another host.
            raise VendorRejected("the API has moved: correct the integration's base URL")
        if response.status >= 400:
            raise Refused(response.status, _code(response.body))
        return response

    async def _token(self) -> str:
        try:
            return await self._account.access_token()
        except KeyError as error:
            raise VendorAuthFailed("there is no access token: reconnect the account") from error

    def _address(self, path: str) -> str:
        if not path.startswith(("http://", "https://")):
            return f"{self._base}{path}"
        if urlsplit(path)[:2] != urlsplit(self._base)[:2]:
            raise VendorGarbage("a link of Graph's leads to another host, which is not sent the token")
        return path


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _code(body: bytes) -> str:
    error = (_parsed(body) or {}).get("error")
    return str(error.get("code")) if isinstance(error, dict) else "without a code"
