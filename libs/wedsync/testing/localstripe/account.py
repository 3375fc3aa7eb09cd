"""The hands of the merchant and of customers in a localstripe that runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from wedsync.testing.localstripe.events import Endpoint, deliver, event

SECRET_KEY = "sk_test_sandbox"  # noqa: S105 - it opens nothing but the sandbox
WEBHOOK_SECRET = "whsec_sandbox"  # noqa: S105 - as above

Json = dict[str, Any]

_GOOD_CARD, _DECLINED_CARD = "pm_card_visa", "pm_card_chargeCustomerFail"
_ANSWER_SECONDS = 10.0


class Refused(Exception):
    """localstripe refused; `status` and its own words say why."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"localstripe refused (status {status}): {said}")
        self.status = status


@dataclass(slots=True, kw_only=True)
class LocalStripe:
    """One account. Of what is done here its webhook endpoint is told, as Stripe would."""

    url: str
    """The address of the API: `http://127.0.0.1:<port>/v1`."""
    key: str = field(default=SECRET_KEY, repr=False)
    endpoint: Endpoint | None = None

    async def make_customer(self, name: str = "Ana & Bea", **fields: Any) -> str:
        """Make a customer and return its id."""
        return str((await self.call("POST", "/customers", {"name": name, **fields}))["id"])

    async def make_payment_intent(
        self,
        customer: str,
        amount: int,
        currency: str = "usd",
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Ask a customer for money, in Stripe's smallest unit, and return the payment intent's id."""
        asked: Json = {"customer": customer, "amount": amount, "currency": currency}
        return str(
            (await self.call("POST", "/payment_intents", {**asked, "metadata": dict(metadata or {})}))["id"]
        )

    async def intent(self, intent_id: str) -> Json:
        """Return the payment intent as it is now."""
        return await self.call("GET", f"/payment_intents/{intent_id}")

    async def pay(self, intent_id: str) -> Json:
        """Let the customer pay with a card; also after another one was declined."""
        await self._take_out(intent_id, _GOOD_CARD)
        return await self.call("POST", f"/payment_intents/{intent_id}/confirm")

    async def fail(self, intent_id: str) -> Json:
        """Let the customer try with a card that is declined."""
        await self._take_out(intent_id, _DECLINED_CARD)
        try:
            await self.call("POST", f"/payment_intents/{intent_id}/confirm")
        except Refused as error:
            if error.status != 402:
                raise
        return await self.intent(intent_id)

    async def cancel(self, intent_id: str) -> Json:
        """Let the merchant give up a payment that was not made."""
        return await self.call("POST", f"/payment_intents/{intent_id}/cancel")

    async def refund(self, intent_id: str, amount: int | None = None) -> Json:
        """Give back an amount, or all, and return the charge; its endpoint is told of `charge.refunded`.

        localstripe itself tells nobody of a refund.
        """
        asked = {"payment_intent": intent_id} | ({} if amount is None else {"amount": amount})
        await self.call("POST", "/refunds", asked)
        charge = (await self.intent(intent_id))["latest_charge"]
        if self.endpoint is not None:
            await self.deliver("charge.refunded", charge)
        return dict(charge)

    async def set_webhook(self, url: str, secret: str = WEBHOOK_SECRET, events: Sequence[str] = ()) -> None:
        """Enter the webhook endpoint, instead of the one before; no events are all events.

        localstripe tries each delivery once, a second after what it is about.
        """
        chosen = {"url": url, "secret": secret} | ({"events": list(events)} if events else {})
        await self._request("POST", f"{self._root}/_config/webhooks/wedsync", chosen)
        self.endpoint = Endpoint(url=url, secret=secret)

    async def deliver(
        self, event_type: str, shown: Mapping[str, Any], *, event_id: str = "", at: int | None = None
    ) -> int:
        """Tell the endpoint of an event about an object, and return the status of its answer.

        The same `event_id` again is a duplicate; an object of before is an event that comes late; `at`,
        in seconds, is the time of the signature if it is not now.
        """
        if self.endpoint is None:
            raise Refused(0, "there is no webhook endpoint: call set_webhook first")
        told = event(event_type, shown, at=int(time.time()) if at is None else at, event_id=event_id)
        return await deliver(self.endpoint, told, at=at)

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """Call the API. Raises `Refused`."""
        answer = await self._request(method, f"{self.url}{path}", body)
        assert isinstance(answer, dict)  # noqa: S101 - of localstripe's objects none is anything else
        return answer

    @property
    def _root(self) -> str:
        return urlsplit(self.url)._replace(path="").geturl()

    async def _take_out(self, intent_id: str, card: str) -> None:
        before = await self.intent(intent_id)
        if before["status"] == "requires_payment_method":
            # localstripe lets a payment be tried once only, unless the charge that failed is forgotten.
            chosen = {"payment_method": card, "latest_charge": None}
            await self.call("POST", f"/payment_intents/{intent_id}", chosen)

    async def _request(self, method: str, url: str, body: Mapping[str, Any] | None) -> Any:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        headers = {"Authorization": f"Bearer {self.key}"}
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.request(method, url, json=body) as answer,
        ):
            if answer.status >= 300:
                raise Refused(answer.status, await answer.text())
            return await answer.json() if answer.content_type == "application/json" else None
