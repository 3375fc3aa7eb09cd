"""How the simulator says no: a status and `{"error": {"code": ..., "message": ...}}`."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A request the API refuses, by the vendor's own code for why."""

    def __init__(self, status: int, code: str, message: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.status, self.code = status, code
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.body: dict[str, Any] = {"error": {"code": code, "message": message or code}}


def invalid(message: str, code: str = "ErrorInvalidRequest") -> Refused:
    """Return the refusal of a request that makes no sense."""
    return Refused(400, code, message)


def not_found() -> Refused:
    """Return the refusal of an id that names nothing here."""
    return Refused(404, "ErrorItemNotFound", "The specified object was not found in the store.")
