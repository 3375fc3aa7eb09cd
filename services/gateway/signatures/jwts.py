"""A JSON Web Token (RFC 7519), signed with our secret or with a published key of the vendor's. Pure.

A token proves who sends. It covers the body only where the vendor puts a digest of it into a claim.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.gateway.signatures.webhook import (
    SignatureRefused,
    Webhook,
    any_equal,
    check_age,
    malformed,
    mismatched,
    not_configured,
)
from services.gateway.vendors.pointers import pointed
from services.gateway.vendors.schemes import Audience, Jwt

_MAX_TOKEN = 8192
_MAX_KEY_ID = 255

Key = str | RSAPublicKey


def key_id(scheme: Jwt, webhook: Webhook) -> str:
    """Return the name of the published key that a token says it is signed with. Raises `SignatureRefused`."""
    try:
        name = jwt.get_unverified_header(_token(scheme, webhook)).get("kid")
    except jwt.InvalidTokenError as error:
        raise malformed("it is no token") from error
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_KEY_ID:
        raise malformed("the token does not name its key")
    return name


def published(document: bytes, name: str) -> RSAPublicKey | None:
    """Return the key of this name from a document of keys (RFC 7517), None if it is not there."""
    try:
        found = [key for key in jwt.PyJWKSet.from_json(document.decode()).keys if key.key_id == name]
    except (ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise not_configured("The vendor's document of keys cannot be read") from error
    return next((key.key for key in found if isinstance(key.key, RSAPublicKey)), None)


def verify(scheme: Jwt, secrets: Sequence[str], webhook: Webhook, keys: Sequence[Key], now: datetime) -> None:
    """Return if one of the keys signed the token, for us and for now. Raises `SignatureRefused`."""
    claims = _signed(scheme, secrets, webhook, keys)
    _check_claims(scheme, secrets, webhook, claims)
    _check_times(scheme, claims, now)


def _token(scheme: Jwt, webhook: Webhook) -> str:
    header = webhook.header(scheme.header)
    if not header.startswith(scheme.prefix) or len(header) > _MAX_TOKEN:
        raise malformed(f"{scheme.header} holds no token as its vendor writes it")
    token = header.removeprefix(scheme.prefix)
    signature = token.rpartition(".")[2]
    # There is one way to write a signature; the library would take several.
    if jwt.utils.base64url_encode(_decoded(signature)).decode() != signature:
        raise malformed("it is no token")
    return token


def _decoded(part: str) -> bytes:
    try:
        return jwt.utils.base64url_decode(part)
    except ValueError as error:
        raise malformed("it is no token") from error


def _signed(scheme: Jwt, secrets: Sequence[str], webhook: Webhook, keys: Sequence[Key]) -> Mapping[str, Any]:
    token, audience = _token(scheme, webhook), _audience(scheme, secrets, webhook)
    tried = [_tried(scheme, token, key, audience) for key in keys]
    refusals = [claims for claims in tried if isinstance(claims, SignatureRefused)]
    believed = [claims for claims in tried if not isinstance(claims, SignatureRefused)]
    if not believed:
        raise refusals[0] if refusals else not_configured("There is no key to check the token with")
    return believed[0]


def _tried(
    scheme: Jwt, token: str, key: Key, audience: Sequence[str] | None
) -> Mapping[str, Any] | SignatureRefused:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[scheme.algorithm],
            issuer=scheme.issuers or None,
            audience=audience,
            options={
                "require": ["exp"],
                "verify_aud": audience is not None,
                # Times are compared with the clock that is handed in; the library would ask the system's.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidSignatureError:
        return mismatched("No valid key signed the token; check the secret")
    except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
        return mismatched("The token is not meant for us, or not by this vendor")
    except (jwt.PyJWTError, ValueError, TypeError):
        return malformed("it is no token of the kind its vendor sends")


def _audience(scheme: Jwt, secrets: Sequence[str], webhook: Webhook) -> Sequence[str] | None:
    if scheme.audience is Audience.NONE:
        return None
    if scheme.audience is Audience.SECRET:
        return list(secrets)
    if not webhook.url:
        raise not_configured(
            "The token is meant for an address, and we do not know ours: set WEDSYNC_PUBLIC_URL"
        )
    return [webhook.url]


def _check_claims(scheme: Jwt, secrets: Sequence[str], webhook: Webhook, claims: Mapping[str, Any]) -> None:
    if scheme.secret_claim:
        given = claims.get(scheme.secret_claim)
        if not isinstance(given, str) or not any_equal([given.encode()], [s.encode() for s in secrets]):
            raise mismatched(f"The token's {scheme.secret_claim} is none of this address")
    wrong = [name for name, value in scheme.claims.items() if claims.get(name) != value]
    wrong += [
        name
        for name, pointer in scheme.agrees.items()
        if name not in claims or claims[name] != pointed(webhook.event(), pointer)
    ]
    if wrong:
        raise mismatched(f"The token does not say the right thing: {', '.join(wrong)}")
    if scheme.body_digest:
        digest = hashlib.sha256(webhook.body).hexdigest().encode()
        if not hmac.compare_digest(str(claims.get(scheme.body_digest)).encode(), digest):
            raise mismatched(f"The token's {scheme.body_digest} is not the digest of the body")


def _check_times(scheme: Jwt, claims: Mapping[str, Any], now: datetime) -> None:
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    if any(type(time) not in {int, float} for time in times.values()):
        raise malformed("the token's times are no numbers")
    seconds = now.timestamp()
    # Within its times, which may lie hours apart, a token is never too old.
    check_age(min(seconds, times.pop("exp")), scheme.tolerance_seconds, now)
    for begins in times.values():
        check_age(max(seconds, begins), scheme.tolerance_seconds, now)
