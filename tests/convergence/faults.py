"""Where the gateway may die or freeze, and what may go wrong with each call to a vendor."""

from __future__ import annotations

from random import Random

from tests.simulation.faults import Faults

POINTS = {
    # A webhook's way in: committed and not answered, committed as a change and not sent.
    "inbound.accept before": 20,
    "inbound.accept after": 20,
    "inbound.claim after": 20,
    "vendor.scan after": 20,
    "vendor.read before": 60,
    "vendor.read after": 60,
    "leases.take after": 100,
    "inbound.commit_observation before": 40,
    "inbound.commit_observation after": 40,
    "inbound.finish before": 20,
    "polls.finish before": 20,
    # On its way to the sync service, and what that commits on its way back.
    "activities.claim after": 20,
    "sync.apply before": 20,
    "sync.apply after": 20,
    "activities.resolve before": 20,
    "activities.resolve after": 20,
    "deliveries.accept before": 20,
    "deliveries.accept after": 20,
    # Out to a vendor: the intent, the call, its answer.
    "deliveries.claim after": 20,
    "deliveries.begin after": 20,
    "leases.intend before": 20,
    "leases.intend after": 20,
    "vendor.find after": 1,
    "vendor.create before": 5,
    "vendor.create after": 5,
    "vendor.update before": 15,
    "vendor.update after": 15,
    "vendor.delete before": 2,
    "vendor.delete after": 2,
    "deliveries.close before": 40,
    "deliveries.close after": 40,
    "leases.release before": 100,
}
"""Every point, and about how often a seed passes it: it strikes at one of so many passages."""

TROUBLES = ("refused", "limited", "reset", "lost", "late", "garbage")
"""Of a call to a vendor: not done, not done and told when to come back, nobody knows, done and not answered,
done later and not answered, done and answered with nonsense."""


def drawn(seed: int, random: Random, points: int) -> Faults:
    """Choose some points; over many seeds all have their turn."""
    names = list(POINTS)
    chosen = [names[(seed * points + place) % len(names)] for place in range(points)]
    return Faults({name: 1 + random.randrange(POINTS[name]) for name in chosen})
