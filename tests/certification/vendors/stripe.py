"""Stripe: localstripe, and a couple who are asked for money."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.certification.bench import Account, OpenAccount, without
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Answer, Asked
from wedsync.testing.localstripe.account import SECRET_KEY, WEBHOOK_SECRET, LocalStripe
from wedsync.testing.localstripe.running import running_localstripe

_MEMO = "wedsync_memo"


@asynccontextmanager
async def system(_: Path) -> AsyncIterator[OpenAccount]:
    """Start localstripe; an account is one of its customers."""

    @asynccontextmanager
    async def account() -> AsyncIterator[StripeAccount]:
        own = LocalStripe(url=stripe.url)
        yield StripeAccount(own, await own.make_customer())

    with running_localstripe() as stripe:
        yield account


class StripeAccount(Account):
    """The account, and a customer who was not asked for money yet."""

    cannot: Mapping[str, str] = {
        "forget_cursors": "Stripe keeps no cursor: each poll reads the customer's whole list",
        "set_clock": "localstripe takes the machine's clock",
    }

    def __init__(self, stripe: LocalStripe, customer: str) -> None:
        self.base_url, self._stripe = stripe.url, stripe
        self.credentials = {"secret_key": SECRET_KEY, "webhook_secret": WEBHOOK_SECRET}
        self.scope = {"customer_id": customer}
        self.hands = {ItemKind.PAYMENT: Payments(stripe, customer)}

    async def tell(self, address: str) -> None:
        """Enter the webhook endpoint."""
        await self._stripe.set_webhook(address)

    def emptied(self, asked: Asked, answer: Answer) -> Answer:
        """A list has `data`."""
        return without(answer, "data", has_more=False)


class Payments:
    """Asks the couple for money, and writes memos to it."""

    field = "memo"
    cannot: Mapping[str, str] = {"remove": "Stripe forgets no payment"}

    def __init__(self, stripe: LocalStripe, customer: str) -> None:
        self._stripe, self._customer = stripe, customer

    async def make(self, text: str) -> str:
        """Ask for money, with a memo."""
        return await self._stripe.make_payment_intent(self._customer, 250_00, metadata={_MEMO: text})

    async def edit(self, record: str, text: str) -> None:
        """Change the memo."""
        await self._stripe.call("POST", f"/payment_intents/{record}", {"metadata": {_MEMO: text}})

    async def remove(self, record: str) -> None:
        """See `cannot`."""
        raise NotImplementedError

    async def texts(self) -> Mapping[str, str]:
        """Return the memos."""
        listed = await self._stripe.call("GET", f"/payment_intents?customer={self._customer}")
        return {intent["id"]: intent["metadata"].get(_MEMO, "") for intent in listed["data"]}

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return a payment; none is made by us."""
        return {"amount": "25000 USD", "memo": text}
