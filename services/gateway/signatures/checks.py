"""Each webhook against the scheme of its vendor's manifest."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.signatures import certificates, hmacs, jwts, tokens
from services.gateway.signatures.documents import FRESH, RETRY, KeyDocuments
from services.gateway.signatures.webhook import Webhook, mismatched, not_configured
from services.gateway.vendors.inbound import Inbound, every
from services.gateway.vendors.schemes import Jwt
from wedsync.clock import Clock


class SignatureChecks:
    """Believes a webhook or refuses it."""

    def __init__(self, *, documents: KeyDocuments, clock: Clock) -> None:
        self._documents, self._clock = documents, clock

    async def check(self, secrets: Sequence[str], inbound: Inbound, webhook: Webhook) -> None:
        """Return if the webhook is the vendor's, by one of the secrets that are valid.

        Raises `SignatureRefused`, or `Unavailable` where the vendor's keys cannot be had just now.
        """
        if inbound.by_address:
            return
        if not secrets:
            raise not_configured(
                "No webhook secret is kept for this address; give it with RotateWebhookSecret"
            )
        now = self._clock.now()
        if inbound.signature:
            hmacs.verify(inbound.signature, secrets, webhook, now)
        elif inbound.token:
            event = webhook.event() if inbound.token.part == "json" else {}
            tokens.verify_token(every(inbound.token, webhook.headers, webhook.query, event), secrets)
        elif inbound.basic:
            tokens.verify_basic(webhook, secrets)
        elif inbound.certificate:
            address = certificates.address(inbound.certificate, webhook)
            document = await self._documents.get(address)
            certificates.verify(inbound.certificate, secrets, webhook, document, now)
        elif inbound.jwt:
            jwts.verify(inbound.jwt, secrets, webhook, await self._keys(inbound.jwt, secrets, webhook), now)
        else:
            raise not_configured("The vendor's manifest does not say what proves its webhooks")

    async def _keys(self, scheme: Jwt, secrets: Sequence[str], webhook: Webhook) -> Sequence[jwts.Key]:
        if not scheme.keys_url:
            return secrets
        name = jwts.key_id(scheme, webhook)
        # A key we do not know may be new: then the document is read again.
        for max_age in (FRESH, RETRY):
            document = await self._documents.get(scheme.keys_url, max_age=max_age)
            if key := jwts.published(document, name):
                return [key]
        raise mismatched("The token names a key that the vendor has not published")
