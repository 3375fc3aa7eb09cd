"""Stripe's API: forms in and JSON out, every failure as one of the port's errors."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from services.gateway.vendor_http import Response, retry_after
from services.gateway.vendors.port import (
    VendorError,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
)

# Read here and not by the door: their headers and bodies say more than the status.
_BUSY = frozenset({429, 500, 502, 503, 504})
# Refused before anything was done: the outcome is known even for a write.
_REFUSED_EARLY = frozenset({400, 409, 429, 503})
# Stripe asked not to be called again soon, and did not say when.
_NOT_SOON_SECONDS = 60.0
# What Stripe says of a refusal is shown to people; more of it than this helps nobody.
_LONGEST_REASON = 400
# More payments than any wedding has; a search that goes on longer is given up.
_MAX_PAGES = 50

Pairs = Sequence[tuple[str, str]]


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
        returns: frozenset[int] = frozenset(),
    ) -> Response:
        """Make one call; see `VendorHttp`."""
        ...


class Absent(Exception):
    """Stripe says that there is no such object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of a customer's payments, and the id of the last, behind which more follow; None after the end."""

    intents: list[dict[str, Any]]
    last: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeApi:
    """Calls one account's API."""

    http: Http
    base_url: str
    key: str
    version: str
    timeout: float
    expand: tuple[str, ...]
    """What is shown as an object within a payment, instead of as an id."""
    page_size: int = 100

    async def customer(self, customer_id: str) -> dict[str, Any]:
        """Read a customer. Raises `Absent`."""
        return _parsed(await self._call("GET", f"/customers/{customer_id}"))

    async def intent(self, intent_id: str) -> dict[str, Any]:
        """Read a payment intent. Raises `Absent`."""
        return _parsed(await self._call("GET", f"/payment_intents/{intent_id}", self._expanded("")))

    async def intents(self, customer_id: str, after: str | None = None) -> Page:
        """Read a page of a customer's payment intents. Raises `Absent` without the customer or `after`."""
        query = [("customer", customer_id), ("limit", str(self.page_size)), *self._expanded("data.")]
        if after is not None:
            query.append(("starting_after", after))
        return _page(_parsed(await self._call("GET", "/payment_intents", query)))

    async def all_intents(self, customer_id: str) -> AsyncIterator[dict[str, Any]]:
        """Go through all of a customer's payment intents. Raises `VendorRejected` if they do not end."""
        after = None
        for _ in range(_MAX_PAGES):
            page = await self.intents(customer_id, after)
            for intent in page.intents:
                yield intent
            if page.last is None:
                return
            after = page.last
        raise VendorRejected(f"the customer has more than {_MAX_PAGES * self.page_size} payments")

    async def annotate(self, intent_id: str, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Write into a payment intent's metadata; empty text takes a key out. Raises `Absent`."""
        form = [*((f"metadata[{key}]", text) for key, text in metadata.items()), *self._expanded("")]
        response = await self._call("POST", f"/payment_intents/{intent_id}", form)
        try:
            return _parsed(response)
        except VendorGarbage as error:
            # It was probably carried out: the caller must look before it writes again.
            raise VendorUnavailable(str(error), unknown_outcome=True) from error

    def _expanded(self, prefix: str) -> Pairs:
        return [("expand[]", f"{prefix}{name}") for name in self.expand]

    async def _call(self, method: str, path: str, pairs: Pairs = ()) -> Response:
        url, body, headers = f"{self.base_url}{path}", None, self._headers()
        if method == "POST":
            body = urlencode(pairs).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            # One per call, which the network may repeat. Never one made of the content: Stripe would answer
            # a value written again within a day with what it said the first time, and write nothing.
            headers["Idempotency-Key"] = secrets.token_hex(16)
        elif pairs:
            url += f"?{urlencode(pairs)}"
        response = await self.http.request(
            method, url, headers=headers, body=body, timeout=self.timeout, returns=_BUSY
        )
        if response.status >= 300:
            raise _failure(response, asked=method == "GET")
        return response

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.key}",
            "Accept": "application/json",
            "Stripe-Version": self.version,
        }


def _failure(response: Response, *, asked: bool) -> VendorError | Absent:
    """Return what a refusal means; `asked` says that nothing was to be changed."""
    status, error = response.status, _error(response)
    if status < 400:
        # Following it could hand the key to another host, or turn a write into a read.
        return VendorRejected("the API has moved: correct the integration's base URL")
    if status == 404 or error.get("code") == "resource_missing":
        return Absent()
    if _is_transient(response, error):
        return VendorUnavailable(
            f"Stripe is busy or broken (status {status})",
            retry_after=_pause(response),
            unknown_outcome=not asked and status not in _REFUSED_EARLY,
        )
    said = " ".join(str(error[name]) for name in ("code", "message") if error.get(name))
    return VendorRejected(f"Stripe refused (status {status}){': ' if said else ''}{said[:_LONGEST_REASON]}")


def _is_transient(response: Response, error: Mapping[str, Any]) -> bool:
    """Say whether repeating may help: another call held the object or our key, or Stripe says so itself."""
    told = response.headers.get("stripe-should-retry") == "true"
    return (
        told or response.status in _BUSY or response.status == 409 or error.get("type") == "idempotency_error"
    )


def _pause(response: Response) -> float | None:
    seconds = retry_after(response.headers, datetime.fromtimestamp(time.time(), UTC))
    if response.headers.get("stripe-should-retry") == "false":
        return max(seconds or 0.0, _NOT_SOON_SECONDS)
    return seconds


def _page(answer: Mapping[str, Any]) -> Page:
    intents, more = answer.get("data"), answer.get("has_more")
    whole = isinstance(intents, list) and all(isinstance(intent, dict) for intent in intents)
    if not isinstance(intents, list) or not whole or not isinstance(more, bool):
        raise VendorGarbage("a list of payments lacks its payments")
    last = intents[-1].get("id") if intents and more else None
    if more and not isinstance(last, str):
        raise VendorGarbage("a list of payments goes on, and does not say where")
    return Page(intents=intents, last=last)


def _error(response: Response) -> Mapping[str, Any]:
    try:
        error = _parsed(response).get("error")
    except VendorGarbage:
        return {}
    return error if isinstance(error, dict) else {}


def _parsed(response: Response) -> dict[str, Any]:
    try:
        answer = json.loads(response.body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise VendorGarbage("the answer is not a JSON object")
    return answer
