"""Which push channels a link should have: open, renew with overlap, close, forget. Pure.

A channel only makes us ask earlier; polling never ends. So a channel that is lost, refused or late costs
time and no edit.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.gateway.vendors.inbound import Notice
from services.gateway.vendors.port import Channel

OVERLAP_SECONDS = 60.0
"""How long the channel before is kept once its successor works."""
ENDING_SECONDS = 120.0
"""How long a channel that says it ends is still believed: time enough for its successor to be opened."""
OPENING_SECONDS = 120.0
"""A channel whose opening was not answered for so long is forgotten: it ends by itself."""
LATER_SECONDS = 300.0
"""How often a link that has no channel is looked at again, at least."""
SOON_SECONDS = 30.0
"""No link is looked at more often than this, whatever its vendor grants."""
JITTER = 0.5
"""Share of the time before a channel's end by which renewals are spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A channel as we keep it, from before it is asked for until it is closed or has ended."""

    id: str
    link_id: str
    channel: Channel
    address: str
    """Where the vendor was told to send its notifications."""
    created_at: datetime
    opened: bool = False
    """Whether the vendor has granted it; until then its end is when we stop waiting for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do about a link's channels."""

    opens: bool = False
    closes: tuple[Kept, ...] = ()
    forgets: tuple[Kept, ...] = ()
    """Those the vendor need not be asked about."""


def plan_channels(
    kept: Sequence[Kept], *, address: str | None, renew_before_seconds: float, now: datetime
) -> Plan:
    """Decide for one link; `address` is where it should be told, None if it is to have no channel."""
    over = [each for each in kept if each.channel.ends_at <= now]
    live = [each for each in kept if each.opened and each not in over]
    useful = sorted((c for c in live if c.address == address), key=lambda c: c.channel.ends_at)
    newest = useful[-1] if useful else None
    waiting = [each for each in kept if not each.opened and each not in over]
    due = newest is None or now >= _renewal(newest, renew_before_seconds, 1.0) or _ends_soon(newest, now)
    settled = newest is not None and now >= newest.created_at + timedelta(seconds=OVERLAP_SECONDS)
    return Plan(
        opens=address is not None and due and not waiting,
        closes=tuple(each for each in live if each is not newest and (settled or address is None)),
        forgets=tuple(over),
    )


def next_look(kept: Sequence[Kept], *, renew_before_seconds: float, now: datetime, dice: float) -> float:
    """Return in how many seconds to decide again: when one is to be renewed, closed or given up."""
    open_ones = sorted((each for each in kept if each.opened), key=lambda each: each.channel.ends_at)
    if not open_ones:
        return LATER_SECONDS
    if len(kept) > 1:
        return OVERLAP_SECONDS
    wait = (_renewal(open_ones[-1], renew_before_seconds, dice) - now).total_seconds()
    return max(SOON_SECONDS, wait)


def proves(kept: Kept, notice: Notice, *, greeting: bool) -> bool:
    """Say whether a notice came by this channel: its id, our secret, and what is watched.

    What is watched is known once the vendor has granted the channel; its greeting may come before that.
    Everything is compared, so that the time taken tells nothing of what was near.
    """
    resource = str(kept.channel.native.get("resource_id", "")) if kept.opened else notice.resource
    pairs = [
        (kept.channel.channel_id, notice.channel_id),
        (kept.channel.secret, notice.secret),
        (resource, notice.resource),
    ]
    same = [hmac.compare_digest(ours.encode(), theirs.encode()) for ours, theirs in pairs]
    return all(same) and bool(notice.secret) and (kept.opened or greeting)


def _ends_soon(kept: Kept, now: datetime) -> bool:
    return kept.channel.ends_at <= now + timedelta(seconds=ENDING_SECONDS)


def _renewal(kept: Kept, renew_before_seconds: float, dice: float) -> datetime:
    """Return when to renew: `dice` from 0 to 1 is the jitter, earlier and earlier.

    However short a life the vendor grants, half of it is used.
    """
    ends_at = kept.channel.ends_at
    granted = (ends_at - kept.created_at).total_seconds()
    early = min(renew_before_seconds * (1 + JITTER * dice), granted / 2)
    return ends_at - timedelta(seconds=early)
