"""How often a link is looked at: where much happens more often, where nothing does less. Pure."""

from __future__ import annotations

from datetime import datetime

from services.gateway.vendors.port import CursorLost, VendorError, VendorGarbage, VendorRejected

_FASTER, _SLOWER = 0.5, 1.25
# A page that cannot be had so often in a row will not be had any more: its place has been forgotten.
_MIDWAY_FAILURES = 5


def next_pause(before: float, *, changed: bool, fastest: float, slowest: float) -> float:
    """Return the pause after a look that found changes, or none, within the bounds."""
    return min(max(before * (_FASTER if changed else _SLOWER), fastest), slowest)


def while_told(pause: float, rarely: float, *, until: datetime | None, now: datetime) -> float:
    """Return the pause while the vendor tells us what moves: longer, but no further than that lasts."""
    left = (until - now).total_seconds() if until else 0.0
    return max(pause, min(rarely, left))


def spread(seconds: float, jitter: float, dice: float) -> float:
    """Return the pause spread by a share of itself, so that links do not come all at once."""
    return seconds * (1 + jitter * (2 * dice - 1))


def is_lost(error: VendorError, *, midway: bool, failures: int) -> bool:
    """Say whether the cursor is of no more use and everything is to be looked at anew.

    `midway` says that it stands between two pages: what a vendor keeps of those does not last.
    """
    useless = isinstance(error, (VendorGarbage, VendorRejected)) and failures >= _MIDWAY_FAILURES
    return isinstance(error, CursorLost) or (midway and useless)
