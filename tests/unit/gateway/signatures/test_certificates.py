"""The certificate of a webhook comes from the vendor only, and its authorities vouch for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from services.gateway.signatures.certificates import address, verify
from services.gateway.vendors.schemes import Certificate
from tests.support.authority import CERTIFICATE, Authority
from tests.support.signed import BODY, NOW, refusal, webhook
from tests.support.signers import PAYPAL, authority

REFUSED = "SIGNATURE_CERTIFICATE_REFUSED"


def scheme() -> Certificate:
    """Return the scheme as the manifest describes it."""
    assert PAYPAL.inbound.certificate is not None
    return PAYPAL.inbound.certificate


def judged(document: bytes, **headers: str) -> None:
    """Check a webhook that was signed by the vendor's key, with this document as its certificate."""
    sent = webhook({**authority().signed("WH-1", BODY, NOW), **headers})
    verify(scheme(), ["WH-1"], sent, document, NOW)


@pytest.mark.parametrize(
    "place",
    [
        "http://certs.petalworks.test/v1/certs/C",
        "https://petalworks.test.evil.test/v1/certs/C",
        "https://evil.test/certs.petalworks.test/v1/certs/C",
        "https://certs.petalworks.test@evil.test/v1/certs/C",
        "https://evil.test\\@certs.petalworks.test/v1/certs/C",
        "https://certs.petalworks.test\\@evil.test/v1/certs/C",
        "https://certs.petalworks.test:8443/v1/certs/C",
        "https://certs.petalworks.test:x/v1/certs/C",
        "https://certs.petalworks.test/v1/certs/../../upload/C",
        "https://certs.petalworks.test/v1/certs/%2e%2e/upload/C",
        "https://certs.petalworks.test/upload/C",
        "https://certs.petalworks.test/v1/certs/C?redirect=https://evil.test",
        "https://certs.petalworks.test/v1/certs/C#x",
        "https://127.0.0.1/v1/certs/C",
        "https://[::1]/v1/certs/C",
        "https://[",
        "file:///etc/passwd",
        "https://certs.petalworks.test/v1/certs/C\r\nHost: evil.test",
        "//certs.petalworks.test/v1/certs/C",
        "certs.petalworks.test",
        "https://cérts.petalworks.test/v1/certs/C",
    ],
    ids=str,
)
def test_no_other_address_is_fetched(place: str) -> None:
    """Whoever calls us chooses the address: only the vendor's host and folder, over https, may be asked."""
    sent = webhook({"paypal-cert-url": place})
    assert refusal(lambda: address(scheme(), sent)) in {REFUSED, "SIGNATURE_MALFORMED"}


@pytest.mark.parametrize("place", [CERTIFICATE, CERTIFICATE.replace(".test/", ".test:443/")])
def test_the_vendors_address_is_fetched(place: str) -> None:
    """An address on the vendor's host, below its folder, is where the certificate is."""
    assert address(scheme(), webhook({"paypal-cert-url": place})) == place


def test_a_certificate_of_the_vendors_is_believed() -> None:
    """A certificate that an authority in the manifest's file vouches for, for this name and time, counts."""
    judged(authority().document)
    judged(authority().document + authority().pem)


def _documents() -> Mapping[str, bytes]:
    ours, others = authority(), Authority()
    return {
        "another authority": others.certificate(),
        "another name": ours.certificate("evil.test"),
        "ended": ours.certificate(begins=NOW - timedelta(days=91), days=90),
        "not begun": ours.certificate(begins=NOW + timedelta(days=1)),
        "the authority itself": ours.pem,
        "no certificate": b"<html>not found</html>",
        "nothing": b"",
        "a long chain": ours.document * 9,
    }


@pytest.mark.parametrize("what", list(_documents()))
def test_any_other_certificate_is_refused(what: str) -> None:
    """Another authority's, another name's, one of another time, and what is none are refused."""
    assert refusal(lambda: judged(_documents()[what])) == REFUSED


def test_a_signature_by_another_key_is_refused() -> None:
    """The right certificate does not help who lacks its key."""
    forged = Authority().signed("WH-1", BODY, NOW)
    assert refusal(lambda: judged(authority().document, **forged)) == "SIGNATURE_MISMATCH"


def test_a_webhook_for_another_account_is_refused() -> None:
    """The vendor's genuine signature for somebody else's webhook is not for us."""
    others = authority().signed("WH-2", BODY, NOW)
    assert refusal(lambda: judged(authority().document, **others)) == "SIGNATURE_MISMATCH"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("paypal-auth-algo", "SHA1withRSA"),
        ("paypal-transmission-sig", "not base64!"),
        ("paypal-transmission-time", "yesterday"),
        ("paypal-transmission-time", "2027-02-03T12:00:00"),
        ("paypal-transmission-id", "a|b"),
    ],
)
def test_headers_that_cannot_be_read_are_malformed(header: str, value: str) -> None:
    """Another algorithm, and what is no signature, no time or no id, are refused before anything else."""
    assert refusal(lambda: judged(authority().document, **{header: value})) == "SIGNATURE_MALFORMED"


def test_a_whole_body_may_be_signed_instead_of_its_checksum() -> None:
    """What is signed is data: where it is the body, no other body passes."""
    whole = replace(scheme(), signed="{id}|{timestamp}|{secret}|{body}")
    sent = webhook(authority().signed("WH-1", BODY, NOW))
    assert refusal(lambda: verify(whole, ["WH-1"], sent, authority().document, NOW)) == "SIGNATURE_MISMATCH"
