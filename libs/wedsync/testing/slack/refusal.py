"""How the simulator says no: `{"ok": false, "error": ...}` with status 200."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A call the API refuses, by the vendor's own word for why."""

    def __init__(self, error: str, **further: Any) -> None:
        super().__init__(error)
        self.body = {"ok": False, "error": error, **further}
