"""Webhooks as they come over the wire, for whoever checks or forges them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from services.gateway.signatures.webhook import SignatureRefused, Webhook
from services.gateway.vendor_http import Response, VendorHttp
from services.gateway.vendors.port import VendorUnavailable

NOW = datetime(2027, 2, 3, 12, 0, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
URL = "https://hooks.wedsync.test/api/integrations/webhooks/petalworks/k3y"
BODY = '{\n  "id": "evt_1",\n  "text": "é"\n}'.encode()


class Published(VendorHttp):
    """What vendors publish, by address."""

    def __init__(self, documents: Mapping[str, bytes] | None = None) -> None:
        super().__init__()
        self.documents = dict(documents or {})
        self.status = 200
        self.asked: list[str] = []

    async def request(self, method: str, url: str, **_: Any) -> Response:
        """Return what stands there."""
        self.asked.append(url)
        if url not in self.documents:
            raise VendorUnavailable("nothing is there")
        return Response(status=self.status, body=self.documents[url])


def webhook(headers: Mapping[str, str], body: bytes = BODY, url: str = URL) -> Webhook:
    """Return a webhook sent to our public address."""
    return Webhook(
        method="POST",
        url=url,
        headers={"content-type": "application/json", **headers},
        query=dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)),
        body=body,
        event=lambda: orjson.loads(body),
    )


def refusal(check: Callable[[], object]) -> str:
    """Return the stable code by which a check refuses; it says so in a sentence."""
    with pytest.raises(SignatureRefused) as refused:
        check()
    assert str(refused.value).endswith(".")
    return refused.value.code
