"""How the simulator says no: a status, and why."""

from __future__ import annotations


class Refused(Exception):
    """A call the API refuses."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
