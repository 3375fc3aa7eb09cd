"""A secret that a webhook carries as it is: in a header, the address or each item, or as HTTP Basic. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.gateway.signatures.webhook import (
    Webhook,
    any_equal,
    malformed,
    mismatched,
    missing,
    strict_base64,
)

_BASIC = "Basic "


def verify_token(given: Sequence[Any], secrets: Sequence[str]) -> None:
    """Return if every item of a webhook carries one of the secrets. Raises `SignatureRefused`."""
    if not given or not all(isinstance(token, str) and token for token in given):
        raise missing("It does not carry its token, or not in every item")
    # Each item is compared, so that the time taken tells nothing of which was wrong.
    known = [any_equal([token.encode()], [secret.encode() for secret in secrets]) for token in given]
    if not all(known):
        raise mismatched("It carries a token that is none of this address")


def verify_basic(webhook: Webhook, secrets: Sequence[str]) -> None:
    """Return if it carries one of the secrets, each `name:password` (RFC 7617). Raises `SignatureRefused`."""
    header = webhook.header("authorization")
    if not header.startswith(_BASIC):
        raise malformed("authorization is not Basic")
    given = strict_base64(header.removeprefix(_BASIC))
    if not any_equal([given], [secret.encode() for secret in secrets]):
        raise mismatched("It carries a name and password that are none of this address")
