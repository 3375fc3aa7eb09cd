"""The people at Stripe and in Slack: a couple that pays, and a team that talks and decides."""

from __future__ import annotations

import json
from typing import Any

from wedsync.cli.demo.vendors import Json, require
from wedsync.cli.http import Send

_GOOD_CARD = "pm_card_visa"
_TOLD = ["payment_intent.succeeded"]


class Payer:
    """A couple with a card, at the studio's account in Stripe."""

    def __init__(self, base_url: str, key: str, send: Send) -> None:
        self._url, self._key, self._send = base_url.rstrip("/"), key, send

    async def become_customer(self, name: str) -> str:
        """Become a customer and return the id."""
        return str((await self._call("POST", "/customers", {"name": name}))["id"])

    async def tell(self, url: str, secret: str) -> None:
        """Have Stripe tell an address, signed, of what was paid."""
        root = self._url.removesuffix("/v1")
        body = {"url": url, "secret": secret, "events": _TOLD}
        await self._request("POST", f"{root}/_config/webhooks/wedsync", body)

    async def pay(self, customer: str, amount: int, currency: str) -> str:
        """Pay an amount in the currency's smallest unit; return the payment's id."""
        asked = {"customer": customer, "amount": amount, "currency": currency, "payment_method": _GOOD_CARD}
        intent = str((await self._call("POST", "/payment_intents", asked))["id"])
        await self._call("POST", f"/payment_intents/{intent}/confirm", {})
        return intent

    async def _call(self, method: str, path: str, body: Json) -> Json:
        return await self._request(method, self._url + path, body)

    async def _request(self, method: str, url: str, body: Json) -> Json:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        answer = await self._send(method, url, headers, json.dumps(body).encode())
        require(answer, f"Stripe, {method} {url}")
        return dict(json.loads(answer.body)) if answer.body.startswith(b"{") else {}


class Team:
    """The people of one Slack channel."""

    def __init__(self, address: str, send: Send) -> None:
        self._address, self._send = address.rstrip("/"), send

    async def tell(self, url: str) -> None:
        """Have Slack tell an address of messages and clicks; an empty one ends that."""
        await self._control("POST", "subscribe", url=url)

    async def reads(self, text: str) -> bool:
        """Say whether the channel shows a text."""
        return any(text in str(message.get("text")) for message in await self._messages())

    async def asked_about(self) -> list[str]:
        """Return the conflicts that messages ask about with buttons, the newest first."""
        blocks = [b for message in await self._messages() for b in message.get("blocks") or []]
        buttons = [e for b in blocks if b["type"] == "actions" for e in b["elements"]]
        return [button["value"] for button in reversed(buttons)]

    async def click(self, conflict_id: str, choice: str) -> None:
        """Press a button."""
        await self._control("POST", "click", value=conflict_id, choice=choice)

    async def _messages(self) -> list[Any]:
        return list((await self._control("GET", "messages"))["messages"])

    async def _control(self, method: str, path: str, **told: str) -> Json:
        url, headers = f"{self._address}/_sandbox/{path}", {"Content-Type": "application/json"}
        answer = await self._send(method, url, headers, json.dumps(told).encode())
        require(answer, f"Slack, {method} {path}")
        return dict(json.loads(answer.body))
