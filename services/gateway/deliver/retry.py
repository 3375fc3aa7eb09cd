"""What to do after a vendor call failed: when to try again, and when to stop. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.vendors.port import (
    NotCalled,
    RecordGone,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
    VersionMismatch,
)

FIRST_SECONDS, CAP_SECONDS = 0.5, 300.0
MAX_ATTEMPTS = 30
"""With the cap above this keeps trying for about two hours; then a human looks."""
MAX_GARBLED = 5
"""An answer that makes no sense is worth few repetitions."""


RECONNECT = "Connect the account again"
"""The cure of a refusal of our credentials; where it stands in a pause's reason, new ones end the pause."""

_CAUSES: tuple[tuple[type[VendorError], str], ...] = (
    (VendorAuthFailed, "auth"),
    (VendorRejected, "rejected"),
    (VendorGarbage, "garbage"),
    (VendorUnavailable, "unavailable"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Stop, and say why, in a word too, and what a human can do."""

    reason: str
    cause: str = ""


def after_failure(error: VendorError, *, attempts: int, dice: float) -> Again | Park:
    """Decide by the kind of failure; `attempts` counts this one, `dice` in [0, 1) is the jitter."""
    match error:
        case VendorAuthFailed():
            return Park(reason=f"{error}. {RECONNECT}, then retry.", cause=cause_of(error))
        case VendorRejected():
            reason = f"{error}. Correct the record or the mapping, then retry."
            return Park(reason=reason, cause=cause_of(error))
        case NotCalled(retry_after=asked):
            # No try, so none too many; spread, or all that waited would be there at once again.
            return Again(seconds=(asked or FIRST_SECONDS) * (1 + dice / 4))
        case VersionMismatch() | RecordGone():
            return _again(attempts, MAX_ATTEMPTS, error, 0.05 * dice)
        case VendorGarbage():
            return _again(attempts, MAX_GARBLED, error, backoff(attempts, dice))
        case VendorUnavailable(retry_after=float() as asked):
            return _again(attempts, MAX_ATTEMPTS, error, asked + backoff(1, dice))
        case _:
            return _again(attempts, MAX_ATTEMPTS, error, backoff(attempts, dice))


def cause_of(error: VendorError) -> str:
    """Return why a call failed, in a word that people can search for."""
    return next((word for kind, word in _CAUSES if isinstance(error, kind)), "moved")


def backoff(attempts: int, dice: float, *, first: float = FIRST_SECONDS, cap: float = CAP_SECONDS) -> float:
    """Return seconds: doubling from the first, capped, with full jitter over its upper half."""
    ceiling = min(cap, first * 2 ** min(attempts - 1, 20))
    return float(ceiling * (0.5 + dice / 2))


def _again(attempts: int, limit: int, error: VendorError, seconds: float) -> Again | Park:
    if attempts >= limit:
        cure = "have the record corrected" if isinstance(error, VendorGarbage) else "see to the vendor"
        reason = f"{error}. Gave up after {attempts} tries; {cure}, then retry."
        return Park(reason=reason, cause=cause_of(error))
    return Again(seconds=seconds)
