"""How the simulator says no: a status, and Google's envelope with a reason in it."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A call the API refuses, by status and by the vendor's own word for why."""

    def __init__(self, status: int, reason: str, message: str = "", *, domain: str = "global") -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        one = {"domain": domain, "reason": reason, "message": message or reason}
        self.body: dict[str, Any] = {"error": {"code": status, "message": one["message"], "errors": [one]}}


def invalid(message: str) -> Refused:
    """Return the refusal of a request that makes no sense."""
    return Refused(400, "invalid", message)


def not_found() -> Refused:
    """Return the refusal of what is not there, or not for this caller."""
    return Refused(404, "notFound", "Not Found")
