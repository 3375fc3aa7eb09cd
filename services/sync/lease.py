"""An owner's lease: only while it holds does nobody else take the owner's weddings.

The lease itself is a row judged by Postgres' clock. Here is the owner's own, more careful view of it:
it counts from *before* the renewal was asked for, on a clock that never goes back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from wedsync.errors import Unavailable, WedSyncError

LEASE_SECONDS = 5.0
"""How long a wedding whose owner vanished without a word stays out of reach."""

RENEW_SECONDS = 1.5
"""Three renewals may fail before the lease is over."""


class Revoked(Exception):
    """Nobody reaches this owner any more, and others were told that they may take over: it must leave."""


class Lease:
    """Shared by the owner, who asks whether it holds, and the heartbeat, which renews it."""

    def __init__(
        self, renew: Callable[[float], bool], monotonic: Callable[[], float], seconds: float = LEASE_SECONDS
    ) -> None:
        self._renew, self._monotonic, self._seconds = renew, monotonic, seconds
        self._lock, self._renewing = threading.Lock(), threading.Lock()
        self._until = float("-inf")
        self._term = 0

    @property
    def term(self) -> int:
        """Return a number that rises with every gap: what was known before it may not be true after it."""
        with self._lock:
            return self._term

    def holds(self) -> bool:
        """Say whether nobody else can have taken over."""
        with self._lock:
            return self._monotonic() < self._until

    def renew(self) -> None:
        """Renew it at the database. Raises `Unavailable` if that is not possible now, and `Revoked`."""
        with self._renewing:  # one connection serves both threads
            asked = self._monotonic()
            unbroken = self._renew(self._seconds)
            with self._lock:
                if not unbroken or asked >= self._until:
                    self._term += 1
                self._until = asked + self._seconds

    def require(self) -> int:
        """Return the term once the lease holds; renews a lease that ran out. Raises `Unavailable`."""
        if not self.holds():
            try:
                self.renew()
            except Revoked as revoked:
                raise Unavailable("The owner was told to leave.", retry_after=0.0) from revoked
        return self.term


class Heartbeat:
    """Keeps a lease alive from a thread of its own, because the owner may be busy for long."""

    def __init__(
        self, lease: Lease, *, on_revoked: Callable[[], None], seconds: float = RENEW_SECONDS
    ) -> None:
        self._lease, self._on_revoked, self._seconds = lease, on_revoked, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Start renewing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing; returns when the thread has ended, or after a few seconds."""
        self._over.set()
        self._thread.join(timeout=LEASE_SECONDS)

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                self._lease.renew()
            except Revoked:
                self._on_revoked()
                return
            except WedSyncError:
                # The lease runs out by itself; the owner says so to whoever asks.
                continue


def lost() -> Unavailable:
    """Return the error for an answer that came too late to be trusted."""
    return Unavailable("The owner's lease ran out meanwhile; retry.", retry_after=0.1)
