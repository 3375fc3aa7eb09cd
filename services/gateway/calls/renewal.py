"""What to do about an account's access token: use it, renew it, wait for who does, or give up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from services.gateway.calls.oauth2 import Tokens

YOUNG_SECONDS = 60.0
"""A token that is refused within this time of being given is not worth another one: the account is."""
_EARLY_SHARE, _EARLY_SECONDS = 0.2, 300.0
# A token that ends on the way to the vendor is of no use.
_SLACK_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One account's tokens as all replicas see them."""

    tokens: Tokens
    generation: int = 0
    failures: int = 0
    """Refreshes in a row that failed although they may work later."""
    reconnect: str = ""
    """Why the account must be connected again; empty while it works."""
    seconds_left: float
    age: float
    """Seconds since the access token was given."""
    wait: float = 0.0
    """Seconds before the next refresh may be tried."""
    refreshing: bool = False
    """Somebody is at it."""

    @property
    def usable(self) -> bool:
        """Whether the access token is good for a call now."""
        return bool(self.tokens.access_token) and self.seconds_left > _SLACK_SECONDS


class Step(Enum):
    """What to do."""

    USE = auto()
    REFRESH = auto()
    WAIT = auto()
    """Somebody refreshes: look again in a moment."""
    PUT_OFF = auto()
    """The last refresh failed a moment ago: come back after `Kept.wait`."""
    RECONNECT = auto()
    REFUSED = auto()
    """A token that was just given is not taken: another one would not be, either."""


def early(lifetime: float, dice: float) -> float:
    """Return how many seconds before its end a token is renewed; `dice` in [0, 1) is the jitter."""
    return min(_EARLY_SECONDS, lifetime * _EARLY_SHARE) * (0.5 + dice / 2)


def next_step(kept: Kept, *, dice: float, refused: str = "") -> Step:
    """Decide; `refused` is a token that the vendor did not take."""
    if kept.reconnect:
        return Step.RECONNECT
    rejected = bool(refused) and refused == kept.tokens.access_token
    if rejected and kept.age < YOUNG_SECONDS:
        return Step.REFUSED
    usable = kept.usable and not rejected
    if usable and kept.seconds_left > early(kept.tokens.lifetime, dice):
        return Step.USE
    if kept.refreshing:
        return Step.USE if usable else Step.WAIT
    if kept.wait > 0:
        return Step.USE if usable else Step.PUT_OFF
    return Step.REFRESH
