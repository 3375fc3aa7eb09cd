"""Every way to prove a webhook, as data in a manifest, against what the vendors' own SDKs sign."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.gateway.signatures.checks import SignatureChecks
from services.gateway.signatures.documents import KeyDocuments
from services.gateway.signatures.webhook import SignatureRefused, Webhook
from services.gateway.vendors.inbound import Inbound
from tests.support.authority import CERTIFICATE
from tests.support.signed import BODY, NOW, URL, Published, refusal, webhook
from tests.support.signers import (
    BASIC,
    GOOGLE,
    HUBSPOT,
    KEYS,
    PAYPAL,
    SIGNERS,
    SQUARE,
    TEAMS,
    TWILIO,
    Signer,
    authority,
    key_document,
)
from wedsync.clock import FakeClock
from wedsync.errors import Unavailable

_vendors = pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)


def check(sent: Webhook, inbound: Inbound, secrets: Sequence[str], now: datetime = NOW) -> None:
    """Check a webhook as the gateway does, with what the vendor publishes at hand."""
    clock = FakeClock(now)
    documents = KeyDocuments(Published({CERTIFICATE: authority().document, KEYS: key_document()}), clock)
    asyncio.run(SignatureChecks(documents=documents, clock=clock).check(secrets, inbound, sent))


def refused(signer: Signer, sent: Webhook, now: datetime = NOW) -> str:
    """Return by which code what a signer sent is refused."""
    return refusal(lambda: check(sent, signer.inbound, [signer.secret], now))


@_vendors
def test_what_a_vendor_signs_is_believed(signer: Signer) -> None:
    """A manifest alone is enough to believe what the vendor's own way of signing made."""
    check(signer.sent(), signer.inbound, [signer.secret])


def _flipped(text: bytes, bit: int) -> bytes:
    changed = bytearray(text)
    changed[bit // 8 % len(text)] ^= 1 << bit % 8
    return bytes(changed)


def _with_flip(sent: Webhook, part: str, bit: int) -> Webhook:
    if part == "body":
        body = _flipped(sent.body, bit)
        return replace(sent, body=body, event=webhook({}, body).event)
    if part == "url":
        url = _flipped(sent.url.encode(), bit).decode("latin-1")
        assume(url.isascii())
        return replace(sent, url=url, query=dict(parse_qsl(urlsplit(url).query)))
    changed = _flipped(sent.headers[part].encode(), bit).decode("latin-1")
    return replace(sent, headers={**sent.headers, part: changed})


def _says_the_same(one: Webhook, other: Webhook) -> bool:
    """Whether two forms hold the same fields: `+` for `%20`, and `%2b` for `%2B`, are how it is written."""
    try:
        fields = [parse_qsl(each.body.decode(), keep_blank_values=True) for each in (one, other)]
    except ValueError:
        return False
    return one.content_type.endswith("urlencoded") and sorted(set(fields[0])) == sorted(set(fields[1]))


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(SIGNERS)), st.integers(0, 2**14), st.data())
def test_any_changed_bit_refuses(name: str, bit: int, data: st.DataObject) -> None:
    """Whichever bit of body, signature, timestamp, id or address is changed on the way: it is refused."""
    signer = SIGNERS[name]
    sent = signer.sent()
    parts = [*signer.covers, *(header for header in sent.headers if header != "content-type")]
    part = data.draw(st.sampled_from(parts))
    try:
        changed = _with_flip(sent, part, bit)
    except ValueError:
        return  # it is no address any more
    assume(part != "body" or not _says_the_same(sent, changed))
    if part == "webhook-signature":
        # A signature of a version we do not know may stand beside ours.
        assume(changed.headers[part].split(" ")[-1] != sent.headers[part].split(" ")[-1])
    with pytest.raises((SignatureRefused, Unavailable)):
        check(changed, signer.inbound, [signer.secret])


@pytest.mark.parametrize(
    ("signer", "header"),
    [(PAYPAL, "paypal-transmission-sig"), (GOOGLE, "authorization"), (BASIC, "authorization")],
    ids=["certificate", "jwt", "basic"],
)
def test_there_is_one_way_to_write_a_signature(signer: Signer, header: str) -> None:
    """Bits of the last letter that stand for nothing are none to play with: nobody can write it anew."""
    sent = signer.sent()
    written = sent.headers[header]
    end = written.rstrip("=")
    other = f"{end[:-1]}{chr(ord(end[-1]) + 1)}{written[len(end) :]}"
    assert refused(signer, replace(sent, headers={**sent.headers, header: other})) == "SIGNATURE_MALFORMED"


@_vendors
def test_old_and_new_secret_are_both_believed_until_the_old_one_ends(signer: Signer) -> None:
    """While a secret is changed, what either signed is believed; of a secret that ended, nothing is."""
    new = {"whsec_": "whsec_C2FVsBQIhrscChlQIMV", "vqF0": "A2F0En+Z0ucuRTM/01o2GuhMH3hKKk/N2bOmlM31zaA="}
    other = next((v for k, v in new.items() if signer.secret.startswith(k)), f"another {signer.secret}")
    for secret in (signer.secret, other):
        check(signer.sent(secret=secret), signer.inbound, [other, signer.secret])
    assert refusal(lambda: check(signer.sent(), signer.inbound, [other])) == "SIGNATURE_MISMATCH"


@_vendors
def test_without_a_secret_nothing_is_believed(signer: Signer) -> None:
    """Where no secret is kept, everything is refused."""
    assert refusal(lambda: check(signer.sent(), signer.inbound, [])) == "SIGNATURE_NOT_CONFIGURED"


@_vendors
def test_without_its_proof_nothing_is_believed(signer: Signer) -> None:
    """A webhook that lacks any of the headers by which its vendor proves it is refused."""
    sent = signer.sent()
    for header in set(sent.headers) - {"content-type"}:
        fewer = {name: value for name, value in sent.headers.items() if name != header}
        assert refused(signer, replace(sent, headers=fewer)) in {"SIGNATURE_MISSING", "SIGNATURE_MALFORMED"}


@pytest.mark.parametrize("seconds", [-301, 301], ids=["stale", "future"])
@_vendors
def test_a_recorded_webhook_is_refused(signer: Signer, seconds: int) -> None:
    """What was signed longer ago than the tolerance, or as far ahead, is refused if it has an age."""
    if signer.timed:
        sent = signer.sent(at=NOW + timedelta(seconds=seconds))
        assert refused(signer, sent) == "SIGNATURE_STALE"
    else:
        assert "timestamp" not in signer.section


@pytest.mark.parametrize(
    "signer", [TWILIO, SQUARE, HUBSPOT, GOOGLE], ids=["twilio", "square", "hubspot", "jwt"]
)
def test_who_does_not_know_its_address_cannot_check_it(signer: Signer) -> None:
    """Where the vendor signs the address and ours is not set, the refusal names the setting."""
    with pytest.raises(SignatureRefused, match="WEDSYNC_PUBLIC_URL") as error:
        check(replace(signer.sent(), url=""), signer.inbound, [signer.secret])
    assert error.value.code == "SIGNATURE_NOT_CONFIGURED"


def test_a_manifest_that_names_no_proof_refuses() -> None:
    """An inbound section without any proof that is not said to go by address believes nothing."""
    bare = Inbound(content_types=frozenset(), events=frozenset(), event_name=(), delivery_id=())
    assert refusal(lambda: check(webhook({}), bare, ["s3cret"])) == "SIGNATURE_NOT_CONFIGURED"
    check(webhook({}), replace(bare, by_address=True), [])


def test_signatures_that_the_vendors_own_sdks_computed() -> None:
    """HubSpot's and Square's SDKs made these for this address and body; Twilio's own example holds."""
    body, url = '{"id": "evt_1", "text": "é"}'.encode(), f"{URL}?portal=7"
    hubspot = {
        "x-hubspot-signature-v3": "Tj/bPpk0rksowtn9Cq3Cxmvmny8s5EdWKssf9r/XWaI=",
        "x-hubspot-request-timestamp": "1801656000000",
    }
    square = {"x-square-hmacsha256-signature": "7c10UeuVY+UDVtJ44JhVfwCo26+3uZr6g5sOoR12kXY="}
    check(webhook(hubspot, body, url), HUBSPOT.inbound, ["s3cret"])
    check(webhook(square, body, url), SQUARE.inbound, ["s3cret"])
    fields = (
        b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    )
    twilio = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-twilio-signature": "9pyy2ZSJda9ihJ1NNXPXtY4oV2Y=",
    }
    check(webhook(twilio, fields, "https://example.com/myapp.php?foo=1&bar=2"), TWILIO.inbound, ["12345"])


@pytest.mark.parametrize(
    ("signed", "ours", "believed"),
    [
        ("https://a.test:443/k", "https://a.test/k", True),
        ("https://a.test/k", "https://a.test:443/k", True),
        ("http://a.test:80/k", "http://a.test/k", True),
        ("https://a.test:8443/k", "https://a.test:8443/k", True),
        ("https://a.test/k", "https://a.test:8443/k", False),
        ("http://a.test/k", "https://a.test/k", False),
    ],
)
def test_the_usual_port_may_be_written_or_not(signed: str, ours: str, believed: bool) -> None:
    """Twilio writes the port of an address or leaves it out; any other address is another one."""
    sent = replace(TWILIO, url=signed).sent()
    arrived = replace(sent, url=ours)
    if believed:
        check(arrived, TWILIO.inbound, [TWILIO.secret])
    else:
        assert refused(TWILIO, arrived) == "SIGNATURE_MISMATCH"


def test_a_body_that_is_no_form_needs_its_digest() -> None:
    """Where the address holds no digest, or another, a body beside the signed fields is refused."""
    sent = TWILIO.sent()
    other = replace(sent, headers={**sent.headers, "content-type": "application/json"})
    assert refused(TWILIO, other) == "SIGNATURE_MALFORMED"
    json = SIGNERS["twilio json"]
    assert refused(json, replace(json.sent(), body=BODY + b" ")) == "SIGNATURE_MISMATCH"
    # The digest counts whatever the body says it is.
    fields = {**json.sent().headers, "content-type": "application/x-www-form-urlencoded"}
    assert refused(json, replace(json.sent(), headers=fields, body=b"")) == "SIGNATURE_MISMATCH"


def test_a_key_that_is_no_base64_is_not_used() -> None:
    """A secret that cannot be the key is as good as none, and whoever enters it is told."""
    assert refusal(lambda: check(TEAMS.sent(), TEAMS.inbound, ["not base64!"])) == "SIGNATURE_NOT_CONFIGURED"
    assert TEAMS.inbound.objection("not base64!") == "must be base64, as the vendor shows it"
    assert TEAMS.inbound.objection(TEAMS.secret) is None
    assert SIGNERS["basic"].inbound.objection("no colon") == "must be name:password, as entered at the vendor"
