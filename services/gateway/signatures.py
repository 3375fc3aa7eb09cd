"""Whether a webhook is the vendor's: an HMAC over its raw bytes (RFC 2104), or a secret in it; fail closed.

The forms of the HMAC are those of Stripe (`t=..,v1=..` over `t.body`) and Slack (`v0=..` over
`v0:t:body`); which form a vendor has is data in its manifest.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.gateway.vendors.inbound import Signature

_MAX_SIGNATURES = 10
"""Signatures read from one header: a vendor that rotates sends two."""
_DIGITS = 12
"""A Unix time in seconds has ten."""


class SignatureRefused(Exception):
    """A webhook is not believed; `code` is stable, the text says what to mend."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def verify(
    scheme: Signature, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime
) -> None:
    """Return if one of the secrets signed these bytes just now. Raises `SignatureRefused`.

    The signature is checked before the age, so that only who knows a secret learns about our clock.
    Header names are in lower case.
    """
    header = headers.get(scheme.header)
    if not header:
        raise SignatureRefused("SIGNATURE_MISSING", f"The header {scheme.header} is missing.")
    if not secrets:
        raise _no_secret()
    timestamp, given = _parts(scheme, header, headers)
    signed = _signed(scheme, timestamp, body)
    expected = [hmac.digest(secret.encode(), signed, scheme.algorithm) for secret in secrets]
    # Every pair is compared, so that the time taken tells nothing of which secret was near.
    matches = [hmac.compare_digest(one, other) for one in given for other in expected]
    if not any(matches):
        detail = "No valid secret signed these bytes; check the secret, and that nothing rewrites the body."
        raise SignatureRefused("SIGNATURE_MISMATCH", detail)
    _check_age(scheme, timestamp, now)


def verify_token(given: Sequence[Any], secrets: Sequence[str]) -> None:
    """Return if every item of a webhook carries one of the secrets. Raises `SignatureRefused`."""
    if not given or not all(isinstance(token, str) and token for token in given):
        raise SignatureRefused("SIGNATURE_MISSING", "It does not carry its token, or not in every item.")
    if not secrets:
        raise _no_secret()
    # Every pair is compared, so that the time taken tells nothing of which secret was near.
    known = [[hmac.compare_digest(token.encode(), one.encode()) for one in secrets] for token in given]
    if not all(map(any, known)):
        raise SignatureRefused("SIGNATURE_MISMATCH", "It carries a token that is none of this address.")


def _parts(scheme: Signature, header: str, headers: Mapping[str, str]) -> tuple[str, list[bytes]]:
    if scheme.signature_pair:
        pairs = [pair.strip().partition("=")[::2] for pair in header.split(",")]
        times = [value for name, value in pairs if name == scheme.timestamp_pair]
        texts = [value for name, value in pairs if name == scheme.signature_pair]
        timestamp = times[0] if len(times) == 1 else ""
    else:
        texts = [header.removeprefix(scheme.prefix)] if header.startswith(scheme.prefix) else []
        timestamp = headers.get(scheme.timestamp_header, "") if scheme.timestamp_header else ""
    given = [digest for text in texts[:_MAX_SIGNATURES] if (digest := _decoded(scheme, text)) is not None]
    if not given:
        raise _malformed(f"{scheme.header} holds no signature as its vendor writes it")
    if _is_timed(scheme) and not (
        timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= _DIGITS
    ):
        raise _malformed("the timestamp is missing or no whole number of seconds")
    return timestamp, given


def _decoded(scheme: Signature, text: str) -> bytes | None:
    try:
        if scheme.encoding == "hex":
            return bytes.fromhex(text) if text.isascii() and text else None
        return base64.b64decode(text, validate=True) or None
    except (ValueError, binascii.Error):
        return None


def _signed(scheme: Signature, timestamp: str, body: bytes) -> bytes:
    before, _, after = scheme.signed.replace("{timestamp}", timestamp).partition("{body}")
    return before.encode() + body + after.encode()


def _check_age(scheme: Signature, timestamp: str, now: datetime) -> None:
    if not _is_timed(scheme):
        return
    seconds = now.timestamp() - int(timestamp)
    if abs(seconds) > scheme.tolerance_seconds:
        when = "ago" if seconds > 0 else "in the future"
        detail = (
            f"It was signed {abs(seconds):.0f} s {when}, more than {scheme.tolerance_seconds} s; "
            "check the clocks, or send it anew."
        )
        raise SignatureRefused("SIGNATURE_STALE", detail)


def _is_timed(scheme: Signature) -> bool:
    return "{timestamp}" in scheme.signed


def _no_secret() -> SignatureRefused:
    detail = "No webhook secret is kept for this address; give it with RotateWebhookSecret."
    return SignatureRefused("SIGNATURE_NOT_CONFIGURED", detail)


def _malformed(what: str) -> SignatureRefused:
    return SignatureRefused("SIGNATURE_MALFORMED", f"The signature cannot be read: {what}.")
