"""Subscriptions: Outlook tries our address out before it grants one, and lets it end after some days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from services.gateway.vendors.outlook_calendar.api import GraphApi, Refused
from services.gateway.vendors.port import Channel, VendorGarbage, VendorRejected
from wedsync.clock import Clock

_MAX_SECRET = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriptions:
    """Those of one account."""

    api: GraphApi
    clock: Clock
    resource: str
    lasts: timedelta

    async def open(self, address: str, secret: str) -> Channel:
        """Have Outlook tell this address what moves, and what becomes of the subscription."""
        if not 0 < len(secret) <= _MAX_SECRET:
            raise VendorRejected(f"the secret must have 1 to {_MAX_SECRET} characters: choose another")
        asked = {
            "changeType": "created,updated,deleted",
            "notificationUrl": address,
            "lifecycleNotificationUrl": address,
            "resource": self.resource,
            "expirationDateTime": f"{self._end():%Y-%m-%dT%H:%M:%SZ}",
            "clientState": secret,
        }
        try:
            granted = await self.api.send("POST", "/subscriptions", asked)
        except Refused as refused:
            if refused.status != 400:
                raise
            cure = "see that our public address is reached from outside"
            raise VendorRejected(f"Outlook grants no subscription ({refused.code}): {cure}") from refused
        return _channel(granted, secret)

    async def close(self, channel: Channel) -> None:
        """End a subscription; ended already is success."""
        await self.api.delete(f"/subscriptions/{quote(channel.channel_id, safe='')}")

    def _end(self) -> datetime:
        return self.clock.now().astimezone(UTC) + self.lasts


def _channel(granted: dict[str, Any], secret: str) -> Channel:
    channel_id, end = granted.get("id"), granted.get("expirationDateTime")
    try:
        # Seconds are enough, and the fraction has seven digits.
        ends_at = datetime.fromisoformat(str(end)[:19]).replace(tzinfo=UTC)
    except ValueError as error:
        raise VendorGarbage("Outlook does not say until when a subscription lasts") from error
    if not isinstance(channel_id, str) or not channel_id:
        raise VendorGarbage("Outlook does not name the subscription it granted")
    return Channel(channel_id=channel_id, secret=secret, ends_at=ends_at)
