"""A manifest whose proof of webhooks cannot work is refused when it is loaded, with file, line and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.gateway.vendors.manifest import VENDORS, ManifestError, load_manifest
from tests.support.signers import (
    GOOGLE,
    HUBSPOT,
    PAYPAL,
    PLAIN,
    SECRET_JWT,
    STANDARD,
    STRIPE,
    TWILIO,
    authority,
)

_ANY = "  events: [any]\n  delivery_id: none\n"


def _problems(tmp_path: Path, section: str, *, pem: bytes | None = None) -> list[str]:
    text = (
        (VENDORS / "tave" / "manifest.yaml").read_text("utf-8").replace("vendor: tave", "vendor: petalworks")
    )
    before, _, rest = text.partition("inbound:")
    folder = tmp_path / "petalworks"
    folder.mkdir()
    if pem is not None:
        (folder / "authorities.pem").write_bytes(pem)
    whole = f"{before}inbound:{section}{_ANY}\npoll:{rest.partition(chr(10) + 'poll:')[2]}"
    (folder / "manifest.yaml").write_text(whole, "utf-8")
    with pytest.raises(ManifestError) as refused:
        load_manifest(folder)
    return list(refused.value.problems)


@pytest.mark.parametrize(
    ("section", "old", "new", "says"),
    [
        (STRIPE.section, "{body}", "body", "does not sign what is sent: write {body} or {form}"),
        (STRIPE.section, "{body}", "{body}{body}", "write each placeholder once"),
        (STRIPE.section, "{timestamp}.", "", "needs the timestamp's pair just where"),
        (STRIPE.section, "timestamp: t, ", "", "needs the timestamp's pair just where"),
        (STRIPE.section, ", tolerance_seconds: 300", "", "needs tolerance_seconds just where"),
        (PLAIN.section, '"sha256="', '"sha256=", tolerance_seconds: 9', "needs tolerance_seconds just where"),
        (PLAIN.section, '"sha256="', '"sha256=", timestamp_unit: seconds', "signs no {timestamp}: drop it"),
        (PLAIN.section, '"sha256="', '"sha256=", key_prefix: whsec_', "write base64 as key_encoding"),
        (
            PLAIN.section,
            '"sha256="',
            '"sha256=", id_header: X-Id',
            "needs id_header just where {id} is signed",
        ),
        (
            PLAIN.section,
            '"sha256="',
            '"sha256=", body_digest: d',
            "counts only where {url} and {form} are signed",
        ),
        (STANDARD.section, "id_header: webhook-id,", "", "needs id_header just where {id} is signed"),
        (STANDARD.section, 'prefix: "v1,", ', "", "has separator without prefix"),
        (TWILIO.section, "application/x-www-form-urlencoded, ", "", "no form is sent: list"),
        (TWILIO.section, ", body_digest: bodySHA256", "", "name body_digest, or list only"),
        (HUBSPOT.section, "{method}", "{verb}", "signs verb, which is not known: choose from"),
        (PLAIN.section, "scheme: hmac", "scheme: token", "say where the token stands"),
        (PLAIN.section, "scheme: hmac", "scheme: jwt", "describe the token"),
        (PLAIN.section, "scheme: hmac", "scheme: basic", "write hmac as the scheme"),
        (
            PLAIN.section,
            "scheme: hmac",
            "scheme: handwriting",
            "Write hmac, token, basic, certificate or jwt",
        ),
        (PAYPAL.section, "{secret}|", "", "does not sign secret: what was sent to others"),
        (PAYPAL.section, "|{crc32}", "", "does not sign what is sent"),
        (PAYPAL.section, "authorities.pem", "others.pem", "put certificates into that file"),
        (PAYPAL.section, "authorities.pem", "../x.pem", "Name the file beside the manifest"),
        (PAYPAL.section, "[certs.petalworks.test]", '["*"]', "Write a host's name"),
        (PAYPAL.section, "SHA256withRSA", "SHA1withRSA", "Write SHA256withRSA"),
        (GOOGLE.section, "secret_claim: email, ", "", "needs one place for what is kept as secret"),
        (GOOGLE.section, "audience: url", "audience: secret", "needs one place for what is kept as secret"),
        (GOOGLE.section, "audience: url", "audience: none", "is meant for anybody"),
        (GOOGLE.section, 'issuers: ["https://accounts.google.com"], ', "", "names no issuers"),
        (GOOGLE.section, "algorithm: RS256", "algorithm: HS256", "needs keys_url just with RS256"),
        (SECRET_JWT.section, "algorithm: HS256", "algorithm: RS256", "needs keys_url just with RS256"),
        (SECRET_JWT.section, "audience: url", "audience: secret", "would show the key"),
        (SECRET_JWT.section, "algorithm: HS256", "algorithm: none", "Write HS256 if the secret is the key"),
        (
            "\n  scheme: basic\n  content_types: [application/json]\n  handshake: {header: X-Secret}\n",
            "",
            "",
            "gives a secret that nothing is signed with",
        ),
    ],
)
def test_a_scheme_that_cannot_work_is_refused(
    tmp_path: Path, section: str, old: str, new: str, says: str
) -> None:
    """What is missing, too much or contradicts itself is named by file and line, with the cure."""
    assert old in section
    problems = _problems(tmp_path, section.replace(old, new), pem=authority().pem)
    assert any(says in problem for problem in problems), problems
    assert all(problem.startswith(f"{tmp_path}/petalworks/manifest.yaml:") for problem in problems)


@pytest.mark.parametrize(
    "pem", [None, b"", b"-----BEGIN CERTIFICATE-----\n"], ids=["no file", "empty", "no PEM"]
)
def test_authorities_must_be_there(tmp_path: Path, pem: bytes | None) -> None:
    """A certificate nobody vouches for would never be believed: the manifest says so when it is loaded."""
    (problem,) = _problems(tmp_path, PAYPAL.section, pem=pem)
    assert "inbound.certificate names authorities.pem: put certificates into that file" in problem
