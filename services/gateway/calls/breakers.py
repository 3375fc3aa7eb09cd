"""The breakers of this process, by account."""

from __future__ import annotations

import random
from dataclasses import dataclass

from services.gateway.calls.breaker import CLOSED, Breaker, abandoned, ask, failed
from services.gateway.vendors.port import VendorResting
from wedsync.clock import Clock


class Breakers:
    """Remembers only the accounts that have trouble."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._troubled: dict[str, Breaker] = {}

    def rest(self, account: str) -> VendorResting | None:
        """Return why no call is worth making now, None where one is; takes no probe."""
        _, rest = ask(self._of(account), self._clock.monotonic())
        return _resting(rest.seconds) if rest else None

    def enter(self, account: str) -> Call:
        """Begin a call, of which exactly one outcome is to be told. Raises `VendorResting`."""
        before = self._of(account)
        breaker, rest = ask(before, self._clock.monotonic())
        if rest is not None:
            raise _resting(rest.seconds)
        self._keep(account, breaker)
        return Call(breakers=self, account=account, probe=breaker.opened > 0)

    def succeeded(self, call: Call) -> None:
        """The vendor answered."""
        self._troubled.pop(call.account, None)

    def failed(self, call: Call) -> None:
        """The vendor did not answer, or is broken."""
        dice = random.random()  # noqa: S311 - jitter
        now = self._clock.monotonic()
        self._keep(call.account, failed(self._of(call.account), now, probe=call.probe, dice=dice))

    def abandoned(self, call: Call) -> None:
        """The call was not made after all."""
        self._keep(call.account, abandoned(self._of(call.account), probe=call.probe))

    def _of(self, account: str) -> Breaker:
        return self._troubled.get(account, CLOSED)

    def _keep(self, account: str, breaker: Breaker) -> None:
        if breaker != CLOSED:
            self._troubled[account] = breaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call under way."""

    breakers: Breakers
    account: str
    probe: bool

    def succeeded(self) -> None:
        """The vendor answered."""
        self.breakers.succeeded(self)

    def failed(self) -> None:
        """The vendor did not answer, or is broken."""
        self.breakers.failed(self)

    def abandoned(self) -> None:
        """The call was not made after all."""
        self.breakers.abandoned(self)


def _resting(seconds: float) -> VendorResting:
    return VendorResting(
        "the vendor fails again and again; it is left alone, and asked by single calls whether it is well",
        retry_after=seconds,
    )
