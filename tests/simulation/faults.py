"""What goes wrong, and where: points at which somebody dies or freezes, and troubles that last."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

POINTS = {
    # An owner's process, on its way through one batch.
    "owner.before_activate": 2,
    "owner.in_activate": 2,
    "owner.in_takeover_undone": 2,
    "owner.in_takeover_done": 2,
    "owner.after_activate": 2,
    "owner.before_keys": 20,
    "owner.after_keys": 20,
    "owner.before_commit": 20,
    "owner.in_commit_undone": 20,
    "owner.in_commit_done": 20,
    "owner.after_commit": 20,
    "owner.before_answer": 20,
    "owner.after_answer": 20,
    "owner.before_release": 1,
    "owner.after_release": 1,
    "lease.before_renew": 10,
    "lease.after_renew": 10,
    # The service's process.
    "service.before_call": 20,
    "service.after_answer": 20,
    "service.before_reply": 20,
    "service.before_revoke": 1,
    "service.after_revoke": 1,
    "outbox.before_claim": 10,
    "outbox.after_claim": 3,
    "outbox.before_handover": 20,
    "outbox.after_handover": 20,
    "outbox.after_remove": 20,
    # The connection, while everybody lives: the outcome of the commit is unknown.
    "commit.lost_undone": 20,
    "commit.lost_done": 20,
}
"""Every point, and about how often a seed passes it: it strikes at one of so many passages."""


@dataclass(slots=True)
class Faults:
    """The points at which something happens in one seed, and what did happen."""

    plan: dict[str, int]
    passed: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    """Faults that happened: points by their names, and troubles by theirs."""
    over: bool = False

    @classmethod
    def drawn(cls, seed: int, random: Random, points: int) -> Faults:
        """Choose some points; over many seeds all have their turn."""
        names = list(POINTS)
        chosen = [names[(seed * points + place) % len(names)] for place in range(points)]
        return cls({name: 1 + random.randrange(POINTS[name]) for name in chosen})

    def strikes(self, point: str) -> bool:
        """Say whether it happens now, at this passage of the point."""
        self.passed[point] += 1
        if self.over or self.plan.get(point) != self.passed[point]:
            return False
        self.struck[point] += 1
        return True
