"""A token is believed if the vendor's key signed it, for us and for now; another library signs here."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwk

from services.gateway.signatures import jwts
from services.gateway.signatures.webhook import Webhook
from services.gateway.vendors.schemes import Audience, Jwt
from tests.support.signed import BODY, NOW, SECONDS, URL, refusal, webhook
from tests.support.signers import GOOGLE, SECRET_JWT, key_document, published_key, token

SECRET = "s3cret-of-more-than-thirty-two-bytes"
CLAIMS: dict[str, Any] = {
    "iss": "https://accounts.google.com",
    "aud": URL,
    "email": "push@petalworks.test",
    "email_verified": True,
    "iat": SECONDS,
    "exp": SECONDS + 3600,
}


def scheme() -> Jwt:
    """Return a scheme with published keys."""
    assert GOOGLE.inbound.jwt is not None
    return GOOGLE.inbound.jwt


def judged(sent: Webhook, rules: Jwt | None = None) -> None:
    """Check a webhook with the vendor's published key."""
    rules = rules or scheme()
    key = jwts.published(key_document(), jwts.key_id(rules, sent))
    jwts.verify(rules, ["push@petalworks.test"], sent, [key] if key else [], NOW)


def code(claims: dict[str, Any]) -> str:
    """Return by which code a token with these claims is refused."""
    return refusal(lambda: judged(webhook(token(claims, published_key()))))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"iss": "https://accounts.evil.test"}, "SIGNATURE_MISMATCH"),
        ({"iss": None}, "SIGNATURE_MISMATCH"),
        ({"aud": "https://another.test/hook"}, "SIGNATURE_MISMATCH"),
        ({"aud": []}, "SIGNATURE_MALFORMED"),
        ({"email": "push@another.test"}, "SIGNATURE_MISMATCH"),
        ({"email": ["push@petalworks.test"]}, "SIGNATURE_MISMATCH"),
        ({"email_verified": False}, "SIGNATURE_MISMATCH"),
        ({"email_verified": "true"}, "SIGNATURE_MISMATCH"),
        ({"exp": SECONDS - 61}, "SIGNATURE_STALE"),
        ({"iat": SECONDS + 61}, "SIGNATURE_STALE"),
        ({"nbf": SECONDS + 61}, "SIGNATURE_STALE"),
        ({"exp": True}, "SIGNATURE_MALFORMED"),
        ({"nbf": "now"}, "SIGNATURE_MALFORMED"),
    ],
    ids=str,
)
def test_a_token_for_others_or_for_another_time_is_refused(changed: dict[str, Any], expected: str) -> None:
    """Another issuer, audience, sender or time is refused, however well it is signed."""
    assert code({**CLAIMS, **changed}) == expected


def test_a_token_without_an_end_is_refused() -> None:
    """What never ends would be believed for ever."""
    assert code({name: value for name, value in CLAIMS.items() if name != "exp"}) == "SIGNATURE_MALFORMED"


@pytest.mark.parametrize(
    "changed",
    [{"exp": SECONDS - 60}, {"iat": SECONDS + 60}, {"nbf": SECONDS + 60}, {"aud": ["x", URL]}],
    ids=str,
)
def test_clocks_may_differ_by_the_tolerance(changed: dict[str, Any]) -> None:
    """A token just within the tolerance passes, either way; it may be meant for others too."""
    judged(webhook(token({**CLAIMS, **changed}, published_key())))


def _forged(algorithm: str, secret: bytes = b"") -> dict[str, str]:
    """Return a token made by hand, signed with a secret if there is one."""
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "kid": "k1"}, CLAIMS)]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    digest = hmac.digest(secret, text, "sha256") if secret else b""
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=")
    return {"authorization": f"Bearer {text.decode()}.{signature.decode()}"}


@pytest.mark.parametrize("algorithm", ["none", "None", "RS256"])
def test_an_unsigned_token_is_refused(algorithm: str) -> None:
    """The algorithm is the manifest's, never the token's: "none" is no signature."""
    expected = {"SIGNATURE_MALFORMED", "SIGNATURE_MISMATCH"}
    assert refusal(lambda: judged(webhook(_forged(algorithm)))) in expected


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    """A token signed by HMAC with the published key as secret is refused."""
    public = published_key().public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert refusal(lambda: judged(webhook(_forged("HS256", public)))) == "SIGNATURE_MALFORMED"


def test_another_key_under_the_same_name_is_refused() -> None:
    """Only the vendor's published key counts, whatever the token calls its own."""
    other = jwk.RSAKey.generate_key(2048, {"kid": "k1"})
    assert refusal(lambda: judged(webhook(token(CLAIMS, other)))) == "SIGNATURE_MISMATCH"
    unknown = jwk.RSAKey.generate_key(2048, {"kid": "k2"})
    assert jwts.published(key_document(), "k2") is None
    assert refusal(lambda: judged(webhook(token(CLAIMS, unknown)))) == "SIGNATURE_NOT_CONFIGURED"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a.b",
        "Basic abc",
        "Bearer a.b.c",
        "Bearer " + "a" * 9000,
        "Bearer é.b.c",
    ],
    ids=["empty", "word", "space", "two parts", "basic", "letters", "long", "accent"],
)
def test_what_is_no_token_is_refused(header: str) -> None:
    """Whatever stands in the header, the answer is a refusal."""
    expected = {"SIGNATURE_MALFORMED", "SIGNATURE_MISSING"}
    assert refusal(lambda: judged(webhook({"authorization": header}))) in expected


def test_a_token_without_the_name_of_its_key_is_refused() -> None:
    """A published key is looked up by name only."""
    nameless = jwk.RSAKey.import_key(published_key().as_dict(private=True) | {"kid": ""})
    assert refusal(lambda: judged(webhook(token(CLAIMS, nameless)))) == "SIGNATURE_MALFORMED"


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"\xff", b'{"keys": []}', b'{"keys": [{"kty": "nope"}]}'], ids=str
)
def test_a_document_of_keys_that_cannot_be_read_is_refused(document: bytes) -> None:
    """Whatever the vendor publishes, what is no set of keys proves nothing."""
    assert refusal(lambda: jwts.published(document, "k1")) == "SIGNATURE_NOT_CONFIGURED"


def test_a_key_of_another_kind_is_none() -> None:
    """A secret or a curve that is published under the name does not verify RSA."""
    curve, secret = (
        jwk.ECKey.generate_key("P-256", {"kid": "k1"}),
        jwk.OctKey.import_key(SECRET, {"kid": "k1"}),
    )
    document = json.dumps({"keys": [curve.as_dict(), secret.as_dict()]}).encode()
    assert jwts.published(document, "k1") is None


def test_a_claim_must_agree_with_the_body() -> None:
    """Where the manifest says so, the body says the same as the token, and both say it."""
    rules = replace(scheme(), agrees={"tenant": "/tenant"})
    named = {**CLAIMS, "tenant": "t1"}
    judged(webhook(token(named, published_key()), b'{"tenant": "t1"}'), rules)
    for claims, body in ((named, b'{"tenant": "t2"}'), (named, b"{}"), (CLAIMS, b"{}")):
        sent = webhook(token(claims, published_key()), body)
        assert refusal(lambda sent=sent: judged(sent, rules)) == "SIGNATURE_MISMATCH"  # type: ignore[misc]


def test_a_claim_may_hold_the_digest_of_the_body() -> None:
    """Then the token proves the body as well; without the claim it proves nothing."""
    rules = SECRET_JWT.inbound.jwt
    assert rules is not None
    jwts.verify(rules, [SECRET], SECRET_JWT.sent(), [SECRET], NOW)
    bare = webhook(token({"aud": URL, "exp": SECONDS + 60}, jwk.OctKey.import_key(SECRET), "HS256"), BODY)
    assert refusal(lambda: jwts.verify(rules, [SECRET], bare, [SECRET], NOW)) == "SIGNATURE_MISMATCH"
    anybody = replace(rules, audience=Audience.NONE, body_digest="")
    jwts.verify(anybody, [SECRET], bare, [SECRET], NOW)
