"""Slack's Web API: JSON out, and every answer as what it means: a refusal comes with status 200 too."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from services.gateway.vendor_http import Response, retry_after
from services.gateway.vendors.port import (
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
)

_AUTH = frozenset(
    {
        "access_denied",
        "account_inactive",
        "ekm_access_denied",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
    }
)
_BUSY = frozenset({"accesslimited", "ratelimited", "rate_limited", "team_added_to_org"})
# Something broke at Slack, at whatever point: a post may have been carried out.
_BROKEN = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
_INVITE = "invite the bot to the channel"
_CURES = {
    "cant_delete_message": "Slack lets nobody else delete this message: delete it in Slack",
    "cant_update_message": "Slack lets nobody but its author change this message",
    "channel_not_found": f"there is no such channel, or the bot may not see it: correct the id or {_INVITE}",
    "edit_window_closed": "the workspace lets no message so old be changed",
    "is_archived": "the channel is archived: unarchive it or link another one",
    "msg_too_long": "the message is too long: shorten it",
    "no_text": "the message says nothing: give it a text",
    "not_in_channel": f"the bot is no member: {_INVITE}",
    "restricted_action": "the workspace lets the bot not post here: change who may post in the channel",
}
# What Slack says is shown to people; more of it than this helps nobody.
_LONGEST_REASON = 200


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


class Refused(VendorRejected):
    """Slack understood and said no; `error` is its own word for why."""

    def __init__(self, error: str) -> None:
        super().__init__(f"Slack refused ({error[:_LONGEST_REASON]}): {_CURES.get(error, 'see its manual')}")
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some messages of a channel, newest first, and where older ones follow; no cursor after the last."""

    messages: list[dict[str, Any]]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackApi:
    """Calls one workspace's API with one bot's token."""

    http: Http
    base_url: str
    token: str
    timeout: float

    async def ask(self, method: str, **query: str) -> dict[str, Any]:
        """Call a method that changes nothing. Raises `Refused`."""
        url = f"{self.base_url}/{method}{'?' if query else ''}{urlencode(query)}"
        response = await self.http.request("GET", url, headers=self._headers(), timeout=self.timeout)
        return _understood(response, asked=True)

    async def tell(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a method that changes something. Raises `Refused`."""
        headers = self._headers() | {"Content-Type": "application/json; charset=utf-8"}
        body, url = json.dumps(arguments).encode(), f"{self.base_url}/{method}"
        response = await self.http.request("POST", url, headers=headers, body=body, timeout=self.timeout)
        return _understood(response, asked=False)

    async def history(self, channel: str, **query: str) -> Page:
        """Read one page of a channel's messages, with our marks in them."""
        answer = await self.ask(
            "conversations.history", channel=channel, include_all_metadata="true", **query
        )
        messages, further = answer.get("messages"), answer.get("response_metadata") or {}
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise VendorGarbage("a channel's history lacks its messages")
        cursor = further.get("next_cursor") if isinstance(further, dict) else None
        return Page(messages=messages, cursor=cursor if isinstance(cursor, str) and cursor else None)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}


def _understood(response: Response, *, asked: bool) -> dict[str, Any]:
    """Return what Slack answered; `asked` says that nothing was to be changed."""
    if 300 <= response.status < 400:
        # Following it could hand the token to another host, or turn a write into a read.
        raise VendorRejected("the API has moved: correct the integration's base URL")
    answer = _parsed(response.body)
    if answer is None and response.status >= 400:
        raise VendorRejected(f"Slack refused (status {response.status})")
    if answer is None or not isinstance(answer.get("ok"), bool):
        if asked:
            raise VendorGarbage("the answer is not one of Slack's")
        # It was probably carried out: the caller must look before it repeats a post.
        raise VendorUnavailable("the answer to a write is not one of Slack's", unknown_outcome=True)
    if not answer["ok"]:
        raise _refusal(str(answer.get("error")), answer, response, asked=asked)
    return answer


def _refusal(error: str, answer: Mapping[str, Any], response: Response, *, asked: bool) -> VendorError:
    if error in _AUTH:
        needed = f", needs {answer['needed']}" if isinstance(answer.get("needed"), str) else ""
        return VendorAuthFailed(f"Slack refuses the bot token ({error}{needed}): install the app again")
    if error in _BUSY:
        seconds = retry_after(response.headers, datetime.fromtimestamp(time.time(), UTC))
        return VendorUnavailable(f"Slack is busy ({error})", retry_after=seconds)
    if error in _BROKEN:
        return VendorUnavailable(f"Slack is broken ({error})", unknown_outcome=not asked)
    return Refused(error)


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
