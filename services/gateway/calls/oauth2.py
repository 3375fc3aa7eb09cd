"""The token endpoint of an OAuth2 vendor (RFC 6749, section 6): a refresh token in, an access token out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode

from services.gateway.vendor_http import Response
from services.gateway.vendors.manifest import Auth
from services.gateway.vendors.port import VendorAuthFailed, VendorGarbage, VendorUnavailable

TIMEOUT_SECONDS = 10.0
# A vendor that does not say how long its tokens live.
_UNSAID_SECONDS = 3_600.0
_TRANSIENT = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_LONGEST_ERROR = 60


class GrantRefused(VendorAuthFailed):
    """The vendor does not take the refresh token, or us; repeating it cannot help."""


class Http(Protocol):
    """The door for outbound HTTP, as this is used here."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the door bounds the call
        returns: frozenset[int] = frozenset(),
    ) -> Response:
        """Make one call; see `VendorHttp`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What lets us in, and what gets the next one."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    lifetime: float
    """Seconds the access token was good for when it was given."""
    previous: str = field(default="", repr=False)
    """The refresh token before, kept until this one has worked."""


async def refresh(http: Http, auth: Auth, credentials: Mapping[str, str], refresh_token: str) -> Tokens:
    """Trade a refresh token in.

    Raises `GrantRefused` if that can never work again, `VendorUnavailable` or `VendorGarbage` if it may:
    then the vendor may have traded it in all the same.
    """
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    secret = credentials.get("client_secret", "")
    if auth.client_auth == "basic":
        pair = f"{quote_plus(credentials['client_id'])}:{quote_plus(secret)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        form |= {"client_id": credentials["client_id"]} | ({"client_secret": secret} if secret else {})
    response = await http.request(
        "POST",
        credentials.get("token_url") or auth.token_url,
        headers=headers,
        body=urlencode(form).encode(),
        timeout=TIMEOUT_SECONDS,
        returns=frozenset({400, 401, 403}),
    )
    return understood(response, refresh_token)


def understood(response: Response, sent: str) -> Tokens:
    """Return what the endpoint granted; one that gives no new refresh token leaves the one sent valid."""
    answer = _parsed(response.body)
    if response.status != 200:
        raise _refusal(response.status, answer)
    access, fresh = answer.get("access_token"), answer.get("refresh_token") or sent
    if not isinstance(access, str) or not access or not isinstance(fresh, str):
        raise VendorGarbage("the answer to a refresh holds no access token")
    return Tokens(
        access_token=access,
        refresh_token=fresh,
        lifetime=_seconds(answer.get("expires_in")),
        previous=sent if fresh != sent else "",
    )


def _refusal(status: int, answer: Mapping[str, Any]) -> Exception:
    error = answer.get("error")
    if not isinstance(error, str) or not error.isprintable():
        return VendorGarbage(f"the token endpoint refuses without a reason (status {status})")
    if error in _TRANSIENT:
        return VendorUnavailable(f"the token endpoint is busy ({error})")
    return GrantRefused(f"reconnect needed: the vendor gives no new access token ({error[:_LONGEST_ERROR]})")


def _seconds(given: Any) -> float:
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        return _UNSAID_SECONDS
    return seconds if 0 < seconds < 10 * 365 * 86_400 else _UNSAID_SECONDS


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
