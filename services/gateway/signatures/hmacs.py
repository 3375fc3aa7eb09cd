"""An HMAC over the raw bytes (RFC 2104), in the forms that vendors give it. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from services.gateway.signatures.webhook import (
    Webhook,
    any_equal,
    check_age,
    filled,
    malformed,
    mismatched,
    not_configured,
)
from services.gateway.vendors.schemes import FORM, Signature

_MAX_SIGNATURES = 10
"""Signatures read from one header: a vendor that rotates sends two."""
_MAX_FIELDS = 1000
_DIGITS = {"seconds": 12, "milliseconds": 15}
"""A Unix time in seconds has ten."""
_PORTS = {"https": 443, "http": 80}
_WRITTEN = {"hex": re.compile(r"[0-9a-f]+"), "base64": re.compile(r"[A-Za-z0-9+/]+={0,2}")}


def verify(scheme: Signature, secrets: Sequence[str], webhook: Webhook, now: datetime) -> None:
    """Return if one of the secrets signed these bytes just now. Raises `SignatureRefused`.

    The signature is checked before the age, so that only who knows a secret learns about our clock.
    """
    timestamp, given = _parts(scheme, webhook)
    keys = [key for secret in secrets if (key := scheme.key(secret))]
    if not keys:
        raise not_configured(
            "No webhook secret that can be used is kept for this address; give it with RotateWebhookSecret"
        )
    signed = [_signed(scheme, url, timestamp, webhook) for url in _addresses(scheme, webhook)]
    digests = [hmac.digest(key, text, scheme.algorithm) for key in keys for text in signed]
    if not any_equal(given, [_encoded(scheme, digest) for digest in digests]):
        raise mismatched(
            "No valid secret signed these bytes; check the secret, and that nothing rewrites body or address"
        )
    if scheme.timed:
        check_age(scheme.moment(timestamp), scheme.tolerance_seconds, now)


def _parts(scheme: Signature, webhook: Webhook) -> tuple[str, list[bytes]]:
    header, timestamp = webhook.header(scheme.header), ""
    if scheme.signature_pair:
        pairs = [pair.strip().partition("=")[::2] for pair in header.split(",")]
        times = [value for name, value in pairs if name == scheme.timestamp_pair]
        texts = [value for name, value in pairs if name == scheme.signature_pair]
        timestamp = times[0] if len(times) == 1 else ""
    else:
        several = header.split(scheme.separator) if scheme.separator else [header]
        texts = [one.removeprefix(scheme.prefix) for one in several if one.startswith(scheme.prefix)]
        timestamp = webhook.headers.get(scheme.timestamp_header, "") if scheme.timestamp_header else ""
    given = [text.encode() for text in texts[:_MAX_SIGNATURES] if _WRITTEN[scheme.encoding].fullmatch(text)]
    if not given:
        raise malformed(f"{scheme.header} holds no signature as its vendor writes it")
    if scheme.timed and not _is_number(timestamp, _DIGITS[scheme.timestamp_unit]):
        raise malformed(f"the timestamp is missing or no whole number of {scheme.timestamp_unit}")
    return timestamp, given


def _addresses(scheme: Signature, webhook: Webhook) -> list[str]:
    """Return the address as it may have been signed: some vendors add the usual port, or drop it."""
    if not scheme.signs("url"):
        return [""]
    if not webhook.url:
        raise not_configured(
            "The vendor signs the address it sends to, and we do not know ours: set WEDSYNC_PUBLIC_URL"
        )
    parts = urlsplit(webhook.url)
    host, usual = parts.hostname or "", _PORTS.get(parts.scheme)
    if parts.port not in {None, usual}:
        return [webhook.url]
    return [webhook.url, parts._replace(netloc=f"{host}:{usual}" if parts.port is None else host).geturl()]


def _signed(scheme: Signature, url: str, timestamp: str, webhook: Webhook) -> bytes:
    values = {
        "timestamp": timestamp.encode(),
        "body": webhook.body,
        "method": webhook.method.encode(),
        "url": url.encode(),
        "id": webhook.delivery(scheme.id_header).encode() if scheme.id_header else b"",
        "form": _form(scheme, webhook) if scheme.signs("form") else b"",
    }
    return filled(scheme.signed, values)


def _form(scheme: Signature, webhook: Webhook) -> bytes:
    """Return a form's fields as they are signed; of another body, the address must hold the digest."""
    digest = webhook.query.get(scheme.body_digest) if scheme.body_digest else None
    if digest is not None and not hmac.compare_digest(
        digest.encode(), hashlib.sha256(webhook.body).hexdigest().encode()
    ):
        raise mismatched(f"{scheme.body_digest} in the address is not the digest of the body")
    if webhook.content_type != FORM:
        if digest is None:
            raise malformed("the body is no form, and the address holds no digest of it")
        return b""
    try:
        fields = parse_qsl(
            webhook.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError as error:
        raise malformed("the body is no form") from error
    return "".join(name + value for name, value in sorted(set(fields))).encode()


def _encoded(scheme: Signature, digest: bytes) -> bytes:
    return digest.hex().encode() if scheme.encoding == "hex" else base64.b64encode(digest)


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= digits
