"""How the simulator says no: the vendor's error body and status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """A request the API refuses, with the body it answers."""

    def __init__(
        self, status: int, kind: str, title: str, detail: Any = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(title)
        self.status, self.headers = status, dict(headers or {})
        self.body = {"type": kind, "title": title, "detail": detail, "status": status}


def invalid(detail: Mapping[str, list[str]]) -> Refused:
    """Return the validation error for these fields."""
    return Refused(400, "validation-error", "The request is not valid.", dict(detail))


def not_found(what: str) -> Refused:
    """Return the answer for something that does not exist."""
    return Refused(404, "unknown", "Not found.", f"There is no {what}.")


def unauthorized() -> Refused:
    """Return the answer to a missing or wrong key."""
    return Refused(401, "unknown", "Unauthorized.", "API key is missing or invalid")


def quota_exceeded(retry_after: int) -> Refused:
    """Return the answer to too many requests."""
    headers = {"Retry-After": str(retry_after)}
    return Refused(429, "quota-limit", "Quota exceeded.", "See the Retry-After header.", headers)
