"""What stands for the gateway towards vendors, and writes down what they were answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wedsync.testing.faults import Answer, Asked, FaultProxy


class Relay(FaultProxy):
    """Stands for the gateway towards vendors, and writes down what it answered."""

    def __init__(self, server: str) -> None:
        super().__init__(server, heard=self._note)
        self.accepted: set[str] = set()
        """The webhooks that were answered with 2xx."""
        self.duplicates = 0
        self.refused: list[Answer] = []

    def _note(self, _: Asked, answer: Answer) -> None:
        if answer.status >= 300:
            self.refused.append(answer)
            return
        told = _json(answer)
        self.duplicates += "duplicate" in told
        if told.get("webhook_id"):
            self.accepted.add(told["webhook_id"])


def _json(answer: Answer) -> Mapping[str, Any]:
    try:
        told = json.loads(answer.body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
