"""Subscriptions: an address is tried out before it is taken, told of changes, and forgotten when it ends."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from wedsync.clock import Clock
from wedsync.testing.outlook import times
from wedsync.testing.outlook.notifier import Notifier
from wedsync.testing.outlook.refusal import Refused, invalid
from wedsync.testing.outlook.shape import Json

TENANT = "84bd8158-6d4d-4958-8b9f-9d6445542f95"
_CHANGES = frozenset({"created", "updated", "deleted"})
_KNOWN = frozenset(
    {
        "changeType",
        "clientState",
        "expirationDateTime",
        "lifecycleNotificationUrl",
        "notificationUrl",
        "resource",
    }
)
_MAX_STATE = 128


@dataclass(slots=True, kw_only=True)
class Subscription:
    """Who is told of what, and until when."""

    id: str
    change_types: frozenset[str]
    resource: str
    address: str
    lifecycle_address: str
    state: str
    ends_at: datetime
    immutable_ids: bool

    def shown(self) -> Json:
        """Return it as the API shows it; the client's secret is never told back."""
        return {
            "id": self.id,
            "resource": self.resource,
            "changeType": ",".join(sorted(self.change_types)),
            "notificationUrl": self.address,
            "lifecycleNotificationUrl": self.lifecycle_address or None,
            "expirationDateTime": times.stamp(self.ends_at),
            "clientState": None,
        }

    def item(self) -> Json:
        """Return what each of its notifications carries."""
        return {
            "subscriptionId": self.id,
            "subscriptionExpirationDateTime": times.stamp(self.ends_at),
            "clientState": self.state,
            "tenantId": TENANT,
        }

    def concerns(self, what: str, calendar: str) -> bool:
        """Say whether it asked for such a change."""
        places = {"me/events", f"me/calendars/{calendar}/events"}
        return what in self.change_types and self.resource.strip("/") in places


@dataclass(slots=True, kw_only=True)
class Subscriptions:
    """All that a mailbox has."""

    clock: Clock
    notifier: Notifier
    max_minutes: int = 4230
    granted_minutes: int | None = None
    """Grant less than was asked for."""
    kept: dict[str, Subscription] = field(default_factory=dict)

    async def create(self, given: Any, *, immutable_ids: bool) -> Json:
        """Subscribe, once the address has answered. Raises `Refused`."""
        made = self._read(given, immutable_ids=immutable_ids)
        for address in dict.fromkeys([made.address, made.lifecycle_address]):
            if address and not await self.notifier.answers(address):
                message = (
                    "Subscription validation request failed. Notification endpoint must respond with 200 OK."
                )
                raise Refused(400, "ValidationError", message)
        self.kept[made.id] = made
        return made.shown()

    def renew(self, subscription_id: str, given: Any) -> Json:
        """Let one last longer. Raises `Refused`."""
        kept = self.get(subscription_id)
        if not isinstance(given, dict) or set(given) != {"expirationDateTime"}:
            raise invalid("Only expirationDateTime can be changed.", "ValidationError")
        kept.ends_at = self._end(given["expirationDateTime"])
        return kept.shown()

    def delete(self, subscription_id: str) -> None:
        """End one. Raises `Refused`."""
        del self.kept[self.get(subscription_id).id]

    def get(self, subscription_id: str) -> Subscription:
        """Return one that has not ended. Raises `Refused`."""
        found = {kept.id: kept for kept in self.alive()}.get(subscription_id)
        if found is None:
            raise Refused(404, "ExtensionError", "The object was not found.")
        return found

    def alive(self) -> list[Subscription]:
        """Return those that have not ended."""
        return [kept for kept in self.kept.values() if kept.ends_at > self.clock.now()]

    def lifecycle(self, event: str) -> None:
        """Tell every subscriber `missed`, `subscriptionRemoved` (and do so) or `reauthorizationRequired`."""
        for kept in self.alive():
            told = {**kept.item(), "lifecycleEvent": event, "resource": kept.resource}
            if kept.lifecycle_address:
                self.notifier.send(kept.lifecycle_address, [told])
            if event == "subscriptionRemoved":
                del self.kept[kept.id]

    def _read(self, given: Any, *, immutable_ids: bool) -> Subscription:
        if not isinstance(given, dict) or not set(given) <= _KNOWN:
            raise invalid("The subscription has a property that is not known.", "ValidationError")
        changes = frozenset(str(given.get("changeType")).split(","))
        state, address = str(given.get("clientState", "")), str(given.get("notificationUrl", ""))
        if not changes <= _CHANGES or len(state) > _MAX_STATE or not address.startswith("http"):
            raise invalid("The subscription makes no sense.", "ValidationError")
        return Subscription(
            id=str(uuid.uuid4()),
            change_types=changes,
            resource=str(given.get("resource")),
            address=address,
            lifecycle_address=str(given.get("lifecycleNotificationUrl") or ""),
            state=state,
            ends_at=self._end(given.get("expirationDateTime")),
            immutable_ids=immutable_ids,
        )

    def _end(self, given: Any) -> datetime:
        now = self.clock.now()
        moment = times.parameter(given if isinstance(given, str) else None, "expirationDateTime")
        wanted = moment.replace(tzinfo=now.tzinfo)
        if not now < wanted <= now + timedelta(minutes=self.max_minutes, seconds=1):
            message = f"Subscription expiration can only be {self.max_minutes} minutes in the future."
            raise invalid(message, "ValidationError")
        granted = now + timedelta(minutes=self.granted_minutes or self.max_minutes)
        return min(wanted, granted)
