"""Events as Stripe sends them, signed by its own library."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from stripe import WebhookSignature

_ANSWER_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Who is told of events, and the secret that proves them."""

    url: str
    secret: str = field(repr=False)


def event(event_type: str, shown: Mapping[str, Any], *, at: int, event_id: str = "") -> dict[str, Any]:
    """Return an event about an object as it is shown; `at` is the time of birth in whole seconds."""
    return {
        "id": event_id or f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "api_version": "2017-08-15",
        "created": at,
        "data": {"object": dict(shown)},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event_type,
    }


def signed(told: Mapping[str, Any], secret: str, *, at: int) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers that prove an event; `at` is the time it is sent."""
    body = json.dumps(told, indent=2)
    proof = WebhookSignature.generate_signature_header(body, secret, timestamp=at)
    headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": proof}
    return body.encode(), headers


async def deliver(endpoint: Endpoint, told: Mapping[str, Any], *, at: int | None = None) -> int:
    """Send an event once and return the status of the answer; `at` replaces the time of the signature."""
    body, headers = signed(told, endpoint.secret, at=int(time.time()) if at is None else at)
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(endpoint.url, data=body, headers=headers, allow_redirects=False) as answer,
    ):
        return answer.status
