"""An RSA signature by a certificate that the webhook names, as PayPal's. Pure.

What is signed is often a checksum of the body, not the body: two bodies with the same checksum are signed
alike, so such a webhook is a hint to read what it is about, never the fact itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from services.gateway.signatures.webhook import (
    SignatureRefused,
    Webhook,
    check_age,
    filled,
    malformed,
    mismatched,
    strict_base64,
)
from services.gateway.vendors.schemes import Certificate

_MAX_CHAIN = 8


def address(scheme: Certificate, webhook: Webhook) -> str:
    """Return where the certificate is: an address that the manifest allows. Raises `SignatureRefused`.

    Whoever calls us chooses it, so nothing but the vendor's own documents may be fetched.
    """
    text = webhook.header(scheme.url_header)
    if not text.isascii() or not text.isprintable():
        raise malformed(f"{scheme.url_header} is no address")
    try:
        parts = urlsplit(text)
        plain = (
            parts.port in {None, 443} and parts.username is None and not parts.query and not parts.fragment
        )
    except ValueError as error:
        raise malformed(f"{scheme.url_header} is no address") from error
    inside = parts.path.startswith(scheme.path) and ".." not in parts.path and "%" not in parts.path
    if parts.scheme != "https" or parts.hostname not in scheme.hosts or not plain or not inside:
        raise _refused("its certificate is not where the vendor keeps them")
    return text


def verify(
    scheme: Certificate, secrets: Sequence[str], webhook: Webhook, document: bytes, now: datetime
) -> None:
    """Return if the certificate is the vendor's and signed this just now. Raises `SignatureRefused`."""
    if webhook.header(scheme.algorithm_header) != scheme.algorithm:
        raise malformed(f"{scheme.algorithm_header} is not {scheme.algorithm}")
    signature = strict_base64(webhook.header(scheme.header))
    timestamp = webhook.header(scheme.timestamp_header)
    signed_at, key = _moment(timestamp), _trusted_key(scheme, document, now)
    values = {
        "id": webhook.delivery(scheme.id_header).encode(),
        "timestamp": timestamp.encode(),
        "crc32": str(zlib.crc32(webhook.body)).encode(),
        "body": webhook.body,
    }
    texts = [filled(scheme.signed, {**values, "secret": secret.encode()}) for secret in secrets]
    if not any(_signs(key, signature, text) for text in texts):
        raise mismatched(
            "The vendor did not sign these bytes for us; check what is kept with RotateWebhookSecret, "
            "and that nothing rewrites the body"
        )
    check_age(signed_at.timestamp(), scheme.tolerance_seconds, now)


def _trusted_key(scheme: Certificate, document: bytes, now: datetime) -> RSAPublicKey:
    try:
        chain = x509.load_pem_x509_certificates(document)
    except ValueError as error:
        raise _refused("what stands there is no certificate") from error
    if len(chain) > _MAX_CHAIN:
        raise _refused("it comes with too many others")
    policy = PolicyBuilder().store(Store(list(scheme.authorities))).time(now)
    try:
        policy.build_server_verifier(x509.DNSName(scheme.subject)).verify(chain[0], chain[1:])
    except VerificationError as error:
        raise _refused(f"its authorities do not vouch for it now as {scheme.subject}") from error
    key = chain[0].public_key()
    if not isinstance(key, RSAPublicKey):
        raise _refused("its key is none of RSA")
    return key


def _signs(key: RSAPublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise malformed("the time is none of RFC 3339") from error
    if moment.tzinfo is None:
        raise malformed("the time has no offset")
    return moment


def _refused(why: str) -> SignatureRefused:
    return SignatureRefused("SIGNATURE_CERTIFICATE_REFUSED", f"The certificate is not believed: {why}.")
