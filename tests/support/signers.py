"""Vendors as their manifests describe them, and their own way of signing: SDKs and independent libraries."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl

import standardwebhooks
import stripe
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC
from joserfc import jwk, jwt
from slack_sdk.signature import SignatureVerifier
from twilio.request_validator import RequestValidator

from services.gateway.signatures.webhook import Webhook
from services.gateway.vendors.inbound import Inbound
from services.gateway.vendors.manifest import VENDORS, load_manifest
from tests.support.authority import Authority
from tests.support.signed import BODY, NOW, URL, webhook

CERTIFICATES = "https://certs.petalworks.test/v1/certs/"
KEYS = "https://keys.petalworks.test/jwks"
_FORM = b"Body=caf%C3%A9+at+6&From=%2B14158675309&From=%2B14158675300&Empty="
_JSON = "content_types: [application/json]"


@dataclass(frozen=True, kw_only=True)
class Signer:
    """One vendor: its manifest's section, the secret it shares with us, and what it sends."""

    section: str
    sign: Callable[[str, bytes, str, datetime], Mapping[str, str]]
    """Given secret, body, address and time, the headers."""
    secret: str = "s3cret-of-more-than-thirty-two-bytes"
    body: bytes = BODY
    url: str = URL
    covers: tuple[str, ...] = ("body",)
    """What is signed besides the headers that `sign` returns."""
    timed: bool = False
    """Whether what is signed has an age."""

    @property
    def inbound(self) -> Inbound:
        """The section as the manifest's reader understands it."""
        return inbound(self.section)

    def sent(self, *, secret: str = "", at: datetime = NOW) -> Webhook:
        """Return a webhook as this vendor sends it."""
        headers = self.sign(secret or self.secret, self.body, self.url, at)
        return webhook(headers, self.body, self.url)


@cache
def authority() -> Authority:
    """Return the vendor's authority of certificates."""
    return Authority()


@cache
def published_key() -> jwk.RSAKey:
    """Return the key that the vendor publishes and signs tokens with."""
    return jwk.RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"})


def key_document() -> bytes:
    """Return the vendor's document of keys."""
    return json.dumps({"keys": [published_key().as_dict(private=False)]}).encode()


@cache
def inbound(section: str) -> Inbound:
    """Return what the manifest of a vendor says that has this section."""
    text = (
        (VENDORS / "tave" / "manifest.yaml").read_text("utf-8").replace("vendor: tave", "vendor: petalworks")
    )
    before, _, rest = text.partition("inbound:")
    after = rest.partition("\npoll:")[2]
    with TemporaryDirectory() as root:
        folder = Path(root, "petalworks")
        folder.mkdir()
        (folder / "authorities.pem").write_bytes(authority().pem)
        common = "  events: [any]\n  delivery_id: none\n"
        whole = f"{before}inbound:\n{section}{common}\npoll:{after}"
        (folder / "manifest.yaml").write_text(whole, "utf-8")
        found = load_manifest(folder).inbound
    assert found is not None
    return found


def token(claims: Mapping[str, object], key: jwk.Key, algorithm: str = "RS256") -> dict[str, str]:
    """Return the header with a token."""
    header = {"alg": algorithm, **({"kid": key.kid} if key.kid else {})}
    return {"authorization": f"Bearer {jwt.encode(header, dict(claims), key)}"}


def _mac(secret: bytes, text: bytes, algorithm: HashAlgorithm | None = None) -> bytes:
    mac = HMAC(secret, algorithm or SHA256())
    mac.update(text)
    return mac.finalize()


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _stripe(secret: str, body: bytes, _: str, at: datetime) -> Mapping[str, str]:
    made = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, _seconds(at))
    return {"stripe-signature": made}


def _slack(secret: str, body: bytes, _: str, at: datetime) -> Mapping[str, str]:
    made = SignatureVerifier(secret).generate_signature(timestamp=str(_seconds(at)), body=body)
    assert made
    return {"x-slack-signature": made, "x-slack-request-timestamp": str(_seconds(at))}


def _standard(secret: str, body: bytes, _: str, at: datetime) -> Mapping[str, str]:
    made = standardwebhooks.Webhook(secret).sign("msg_2KWPBgLlAfxd", at, body.decode())
    ids = {"webhook-id": "msg_2KWPBgLlAfxd", "webhook-timestamp": str(_seconds(at))}
    return {**ids, "webhook-signature": f"v1a,c29tZXRoaW5n {made}"}


def _twilio(secret: str, body: bytes, url: str, _: datetime) -> Mapping[str, str]:
    validator, media = RequestValidator(secret), "application/json"
    fields: Mapping[str, str] = {}
    if not url.endswith(f"bodySHA256={validator.compute_hash(body.decode())}"):
        media, fields = "application/x-www-form-urlencoded", _Fields(body)
    return {"content-type": media, "x-twilio-signature": validator.compute_signature(url, fields)}


class _Fields(dict[str, str]):
    """A form as Twilio's SDK takes it."""

    def __init__(self, body: bytes) -> None:
        self.pairs = parse_qsl(body.decode(), keep_blank_values=True)
        super().__init__(self.pairs)

    def getall(self, name: str) -> list[str]:
        """Return all values of a name."""
        return [value for known, value in self.pairs if known == name]


def _square(secret: str, body: bytes, url: str, _: datetime) -> Mapping[str, str]:
    return {"x-square-hmacsha256-signature": _base64(_mac(secret.encode(), url.encode() + body))}


def _hubspot(secret: str, body: bytes, url: str, at: datetime) -> Mapping[str, str]:
    millis = str(_seconds(at) * 1000)
    made = _mac(secret.encode(), b"POST" + url.encode() + body + millis.encode())
    return {"x-hubspot-signature-v3": _base64(made), "x-hubspot-request-timestamp": millis}


def _teams(secret: str, body: bytes, _: str, __: datetime) -> Mapping[str, str]:
    return {"authorization": f"HMAC {_base64(_mac(base64.b64decode(secret), body))}"}


def _plain(secret: str, body: bytes, _: str, __: datetime) -> Mapping[str, str]:
    return {"x-hub-signature-256": f"sha256={_mac(secret.encode(), body).hex()}"}


def _paypal(secret: str, body: bytes, _: str, at: datetime) -> Mapping[str, str]:
    return authority().signed(secret, body, at)


def _basic(secret: str, _: bytes, __: str, ___: datetime) -> Mapping[str, str]:
    return {"authorization": f"Basic {_base64(secret.encode())}"}


def _google(secret: str, _: bytes, url: str, at: datetime) -> Mapping[str, str]:
    claims = {
        "iss": "https://accounts.google.com",
        "aud": url,
        "email": secret,
        "email_verified": True,
        "iat": _seconds(at),
        "exp": _seconds(at + timedelta(hours=1)),
    }
    return token(claims, published_key())


def _bot(secret: str, body: bytes, _: str, at: datetime) -> Mapping[str, str]:
    claims = {
        "iss": "https://api.botframework.com",
        "aud": secret,
        "serviceurl": json.loads(body)["serviceUrl"],
        "nbf": _seconds(at),
        "exp": _seconds(at + timedelta(hours=1)),
    }
    return token(claims, published_key())


def _secret_jwt(secret: str, body: bytes, url: str, at: datetime) -> Mapping[str, str]:
    claims = {"aud": url, "exp": _seconds(at + timedelta(minutes=5)), "body": _digest(body)}
    return token(claims, jwk.OctKey.import_key(secret), "HS256")


def _digest(body: bytes) -> str:
    return str(RequestValidator("").compute_hash(body.decode()))


STRIPE = Signer(
    section=f"""
  scheme: hmac
  signature: {{algorithm: sha256, encoding: hex, signed: "{{timestamp}}.{{body}}", header: Stripe-Signature,
    pairs: {{timestamp: t, signature: v1}}, tolerance_seconds: 300}}
  {_JSON}
""",
    sign=_stripe,
    timed=True,
)
SLACK = Signer(
    section=f"""
  scheme: hmac
  signature: {{algorithm: sha256, encoding: hex, signed: "v0:{{timestamp}}:{{body}}",
    header: X-Slack-Signature, prefix: "v0=", timestamp_header: X-Slack-Request-Timestamp,
    tolerance_seconds: 300}}
  {_JSON}
""",
    sign=_slack,
    timed=True,
)
STANDARD = Signer(
    section=f"""
  scheme: hmac
  signature: {{algorithm: sha256, encoding: base64, signed: "{{id}}.{{timestamp}}.{{body}}",
    header: webhook-signature, prefix: "v1,", separator: " ", id_header: webhook-id,
    timestamp_header: webhook-timestamp, key_encoding: base64, key_prefix: whsec_, tolerance_seconds: 300}}
  {_JSON}
""",
    sign=_standard,
    secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    timed=True,
)
_TWILIO = """
  scheme: hmac
  signature: {algorithm: sha1, encoding: base64, signed: "{url}{form}",
    header: X-Twilio-Signature, prefix: "", body_digest: bodySHA256}
  content_types: [application/x-www-form-urlencoded, application/json]
"""
TWILIO = Signer(section=_TWILIO, sign=_twilio, body=_FORM, url=f"{URL}?foo=1", covers=("body", "url"))
TWILIO_JSON = replace(TWILIO, body=BODY, url=f"{URL}?bodySHA256={_digest(BODY)}")
SQUARE = Signer(
    section=f"""
  scheme: hmac
  signature: {{algorithm: sha256, encoding: base64, signed: "{{url}}{{body}}", prefix: "",
    header: x-square-hmacsha256-signature}}
  {_JSON}
""",
    sign=_square,
    url=f"{URL}?portal=7",
    covers=("body", "url"),
)
HUBSPOT = Signer(
    section=f"""
  scheme: hmac
  signature: {{algorithm: sha256, encoding: base64, signed: "{{method}}{{url}}{{body}}{{timestamp}}",
    header: X-HubSpot-Signature-v3, prefix: "", timestamp_header: X-HubSpot-Request-Timestamp,
    timestamp_unit: milliseconds, tolerance_seconds: 300}}
  {_JSON}
""",
    sign=_hubspot,
    url=f"{URL}?portal=7",
    covers=("body", "url"),
    timed=True,
)
TEAMS = Signer(
    section=f"""
  scheme: hmac
  signature: {{algorithm: sha256, encoding: base64, signed: "{{body}}",
    header: Authorization, prefix: "HMAC ", key_encoding: base64}}
  {_JSON}
""",
    sign=_teams,
    secret="vqF0En+Z0ucuRTM/01o2GuhMH3hKKk/N2bOmlM31zaA=",
)
PLAIN = Signer(
    section=f"""
  scheme: hmac
  signature: {{algorithm: sha256, encoding: hex, signed: "{{body}}", header: X-Hub-Signature-256,
    prefix: "sha256="}}
  {_JSON}
""",
    sign=_plain,
)
PAYPAL = Signer(
    section=f"""
  scheme: certificate
  certificate:
    algorithm: SHA256withRSA
    signed: "{{id}}|{{timestamp}}|{{secret}}|{{crc32}}"
    header: PayPal-Transmission-Sig
    algorithm_header: PayPal-Auth-Algo
    url_header: PayPal-Cert-Url
    id_header: PayPal-Transmission-Id
    timestamp_header: PayPal-Transmission-Time
    hosts: [certs.petalworks.test]
    path: /v1/certs/
    subject: messages.petalworks.test
    authorities: authorities.pem
    tolerance_seconds: 300
  {_JSON}
""",
    sign=_paypal,
    secret="WH-1",
    timed=True,
)
BASIC = Signer(section=f"\n  scheme: basic\n  {_JSON}\n", sign=_basic, secret="vendor:pässword", covers=())
GOOGLE = Signer(
    section=f"""
  scheme: jwt
  jwt: {{header: Authorization, prefix: "Bearer ", algorithm: RS256, keys_url: "{KEYS}", audience: url,
    issuers: ["https://accounts.google.com"], secret_claim: email, claims: {{email_verified: true}},
    tolerance_seconds: 60}}
  {_JSON}
""",
    sign=_google,
    secret="push@petalworks.test",
    covers=("url",),
)
BOT = Signer(
    section=f"""
  scheme: jwt
  jwt: {{header: Authorization, prefix: "Bearer ", algorithm: RS256, keys_url: "{KEYS}", audience: secret,
    issuers: ["https://api.botframework.com"], agrees: {{serviceurl: /serviceUrl}}, tolerance_seconds: 60}}
  {_JSON}
""",
    sign=_bot,
    secret="4b8b6a2e-app-id",
    body=b'{"serviceUrl": "https://smba.trafficmanager.net/emea/"}',
    covers=(),
)
SECRET_JWT = Signer(
    section=f"""
  scheme: jwt
  jwt: {{header: Authorization, prefix: "Bearer ", algorithm: HS256, audience: url, body_digest: body,
    tolerance_seconds: 60}}
  {_JSON}
""",
    sign=_secret_jwt,
    covers=("body", "url"),
)

SIGNERS: Mapping[str, Signer] = {
    "stripe": STRIPE,
    "slack": SLACK,
    "standard webhooks": STANDARD,
    "twilio": TWILIO,
    "twilio json": TWILIO_JSON,
    "square": SQUARE,
    "hubspot": HUBSPOT,
    "teams": TEAMS,
    "plain": PLAIN,
    "paypal": PAYPAL,
    "basic": BASIC,
    "google": GOOGLE,
    "bot framework": BOT,
    "secret jwt": SECRET_JWT,
}
