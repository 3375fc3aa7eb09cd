"""A webhook is believed only if a live secret signed its raw bytes just now, as the vendors' SDKs say."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import Clock, SignatureVerifier

from services.gateway.signatures.hmacs import verify
from services.gateway.vendors.schemes import Signature
from tests.support.signed import BODY as _BODY
from tests.support.signed import NOW as _NOW
from tests.support.signed import SECONDS as _SECONDS
from tests.support.signed import refusal, webhook

_PAIRS = Signature(
    algorithm="sha256",
    encoding="hex",
    signed="{timestamp}.{body}",
    header="stripe-signature",
    timestamp_pair="t",
    signature_pair="v1",
    tolerance_seconds=300,
)
_PREFIX = Signature(
    algorithm="sha256",
    encoding="hex",
    signed="v0:{timestamp}:{body}",
    header="x-slack-signature",
    prefix="v0=",
    timestamp_header="x-slack-request-timestamp",
    tolerance_seconds=300,
)
_PLAIN = Signature(
    algorithm="sha1",
    encoding="base64",
    signed="{body}",
    header="x-signature",
)


class _Stopped(Clock):
    def now(self) -> float:
        return float(_SECONDS)


def _stripe(secret: str, body: bytes = _BODY, seconds: int = _SECONDS) -> dict[str, str]:
    made = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, seconds)
    return {"stripe-signature": made}


def _slack(secret: str, body: bytes = _BODY, seconds: int = _SECONDS) -> dict[str, str]:
    made = SignatureVerifier(secret).generate_signature(timestamp=str(seconds), body=body)
    assert made is not None
    return {"x-slack-signature": made, "x-slack-request-timestamp": str(seconds)}


def _refused(scheme: Signature, secrets: list[str], headers: dict[str, str], body: bytes = _BODY) -> str:
    return refusal(lambda: verify(scheme, secrets, webhook(headers, body), _NOW))


@given(body=st.text(st.characters(exclude_categories=["Cs"])), secret=st.text("abcdef0123_", min_size=1))
def test_what_the_vendors_own_sdk_signs_is_believed(body: str, secret: str) -> None:
    """Bytes signed by Stripe's and by Slack's SDK pass, for any body and secret."""
    raw = body.encode()
    verify(_PAIRS, [secret], webhook(_stripe(secret, raw), raw), _NOW)
    if raw:  # Slack's SDK signs no empty body
        verify(_PREFIX, [secret], webhook(_slack(secret, raw), raw), _NOW)


@given(change=st.integers(0, len(_BODY) - 1), secret=st.sampled_from(["whsec_a", "whsec_b"]))
def test_what_the_vendors_own_sdk_refuses_is_refused(change: int, secret: str) -> None:
    """One changed byte, or another secret, is refused here just where the SDKs refuse it."""
    body = bytearray(_BODY)
    body[change] ^= 1
    text = bytes(body).decode("utf-8", "replace").encode()
    headers = _slack("whsec_a")
    sdk = SignatureVerifier(secret, clock=_Stopped()).is_valid(
        text, headers["x-slack-request-timestamp"], headers["x-slack-signature"]
    )
    assert not sdk
    assert _refused(_PREFIX, [secret], headers, text) == "SIGNATURE_MISMATCH"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(text.decode(), _stripe("whsec_a")["stripe-signature"], secret)
    assert _refused(_PAIRS, [secret], _stripe("whsec_a"), text) == "SIGNATURE_MISMATCH"


def test_any_live_secret_and_any_signature_of_the_header_is_enough() -> None:
    """During a rotation both sides may know two secrets: one that both know is enough."""
    verify(_PAIRS, ["new", "old"], webhook(_stripe("old")), _NOW)
    old, new = _stripe("old")["stripe-signature"], _stripe("new")["stripe-signature"]
    both = {"stripe-signature": f"{old},{new.partition(',')[2]},v0=00"}
    verify(_PAIRS, ["new"], webhook(both), _NOW)


def test_a_reserialised_body_is_refused() -> None:
    """The raw bytes are signed: the same JSON written differently is not what the vendor sent."""
    again = json.dumps(json.loads(_BODY)).encode()
    assert _refused(_PAIRS, ["s"], _stripe("s"), again) == "SIGNATURE_MISMATCH"


@pytest.mark.parametrize("seconds", [-301, 301], ids=["stale", "future"])
@pytest.mark.parametrize("scheme", ["pairs", "prefix"])
def test_a_signature_from_another_time_is_refused(seconds: int, scheme: str) -> None:
    """A recorded webhook is refused after the tolerance, and one from the future as well."""
    at = _SECONDS + seconds
    if scheme == "pairs":
        assert _refused(_PAIRS, ["s"], _stripe("s", seconds=at)) == "SIGNATURE_STALE"
    else:
        assert _refused(_PREFIX, ["s"], _slack("s", seconds=at)) == "SIGNATURE_STALE"


@pytest.mark.parametrize("seconds", [-300, 300], ids=["oldest", "newest"])
def test_the_tolerance_is_inclusive(seconds: int) -> None:
    """A webhook signed just within the tolerance passes, either way."""
    verify(_PAIRS, ["s"], webhook(_stripe("s", seconds=_SECONDS + seconds)), _NOW)


def test_the_age_is_told_only_to_who_knows_a_secret() -> None:
    """An old webhook with a wrong signature is refused for its signature."""
    assert _refused(_PAIRS, ["other"], _stripe("s", seconds=1)) == "SIGNATURE_MISMATCH"


def test_without_header_or_secret_nothing_is_believed() -> None:
    """A missing header is refused, and so is everything where no secret is kept."""
    assert _refused(_PAIRS, ["s"], {}) == "SIGNATURE_MISSING"
    assert _refused(_PAIRS, ["s"], {"stripe-signature": ""}) == "SIGNATURE_MISSING"
    assert _refused(_PAIRS, [], _stripe("s")) == "SIGNATURE_NOT_CONFIGURED"


@pytest.mark.parametrize(
    "header",
    [
        "nonsense",
        "t=1",
        "v1=aa",
        "t=x,v1=aa",
        "t=1,t=2,v1=aa",
        "t=1,v1=zz",
        "t=1,v1=",
        "t=1,v1=\u0663\u0663",
        "t=\u0663,v1=aa",
        "t=-1,v1=aa",
        "t=1e3,v1=aa",
        f"t={'9' * 400},v1=aa",
    ],
    ids=str,
)
def test_a_header_of_pairs_that_cannot_be_read_is_malformed(header: str) -> None:
    """Whatever stands in the header, the answer is a refusal, never an accident."""
    assert _refused(_PAIRS, ["s"], {"stripe-signature": header}) == "SIGNATURE_MALFORMED"


@pytest.mark.parametrize(
    ("signature", "seconds"), [("v1=aa", "1"), ("v0=", "1"), ("v0=aa", ""), ("v0=aa", "one")]
)
def test_a_header_with_a_prefix_that_cannot_be_read_is_malformed(signature: str, seconds: str) -> None:
    """Another version, an empty signature and a timestamp that is none are refused."""
    headers = {"x-slack-signature": signature, "x-slack-request-timestamp": seconds}
    assert _refused(_PREFIX, ["s"], headers) == "SIGNATURE_MALFORMED"


def test_a_body_may_be_signed_alone_and_in_base64() -> None:
    """A scheme without timestamp has no age; base64 is read strictly."""
    made = base64.b64encode(hmac.digest(b"s", _BODY, hashlib.sha1)).decode()
    verify(_PLAIN, ["s"], webhook({"x-signature": made}), _NOW + timedelta(days=9))
    assert _refused(_PLAIN, ["s"], {"x-signature": "*" + made}) == "SIGNATURE_MALFORMED"
    assert _refused(replace(_PLAIN, algorithm="sha256"), ["s"], {"x-signature": made}) == "SIGNATURE_MISMATCH"
