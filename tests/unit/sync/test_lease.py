"""The owner's own view of its lease."""

from __future__ import annotations

import threading

import pytest

from services.sync.lease import Heartbeat, Lease, Revoked
from wedsync.errors import Unavailable


class Database:
    """Says what it is told to, and counts."""

    def __init__(self) -> None:
        self.unbroken, self.down, self.revoked, self.renewals = True, False, False, 0
        self.asked = threading.Event()

    def renew(self, _: float) -> bool:
        """Renew."""
        self.renewals += 1
        self.asked.set()
        if self.revoked:
            raise Revoked
        if self.down:
            raise Unavailable
        return self.unbroken


def test_a_lease_counts_from_before_it_was_asked_for() -> None:
    """The time the database took to answer is not added to the lease."""
    now = [0.0]

    def renew(_: float) -> bool:
        now[0] += 3.0
        return True

    lease = Lease(renew, lambda: now[0], seconds=5.0)
    lease.renew()
    assert lease.holds()
    now[0] = 5.0
    assert not lease.holds()


def test_a_gap_starts_a_new_term() -> None:
    """The term stays while the lease is renewed in time, and rises when either clock saw a gap."""
    now, database = [0.0], Database()
    lease = Lease(database.renew, lambda: now[0], seconds=5.0)
    first = lease.require()
    now[0] = 3.0
    lease.renew()
    assert lease.require() == first
    now[0] = 20.0
    assert lease.require() == first + 1
    database.unbroken = False
    lease.renew()
    assert lease.require() == first + 2


def test_a_lease_that_cannot_be_renewed_is_said() -> None:
    """Without the database nothing is promised."""
    database = Database()
    database.down = True
    lease = Lease(database.renew, lambda: 0.0)
    with pytest.raises(Unavailable):
        lease.require()
    assert not lease.holds()


def test_the_heartbeat_goes_on_through_trouble_and_ends_when_told() -> None:
    """Renewals that fail are tried again; after stop there are no more."""
    database = Database()
    database.down = True
    left: list[str] = []
    heartbeat = Heartbeat(
        Lease(database.renew, lambda: 0.0), on_revoked=lambda: left.append("left"), seconds=0.001
    )
    heartbeat.start()
    for _ in range(3):
        database.asked.clear()
        assert database.asked.wait(5)
    heartbeat.stop()
    renewals = database.renewals
    assert renewals >= 3
    assert database.renewals == renewals
    assert left == []


def test_a_revoked_owner_leaves() -> None:
    """Who may not renew any more says so at once, and to whoever asks meanwhile."""
    database, left = Database(), threading.Event()
    database.revoked = True
    lease = Lease(database.renew, lambda: 0.0)
    with pytest.raises(Unavailable):
        lease.require()
    heartbeat = Heartbeat(lease, on_revoked=left.set, seconds=0.001)
    heartbeat.start()
    assert left.wait(5)
    heartbeat.stop()
