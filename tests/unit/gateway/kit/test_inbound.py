"""What a manifest says of a vendor's webhooks is read whole, or refused with the cure."""

from pathlib import Path

import pytest

from services.gateway.vendors.inbound import Handshake, Place, Signature, every, first_of
from services.gateway.vendors.manifest import VENDORS, ManifestError, load_manifest

_SIGNED = """\
  scheme: hmac
  signature:
    algorithm: sha256
    encoding: hex
    signed: "v0:{timestamp}:{body}"
    header: X-Petal-Signature
    prefix: "v0="
    timestamp_header: X-Petal-Timestamp
    tolerance_seconds: 300
  form_field: payload
  event_name: [json:/event/type, json:/type]
  other_events: ignore
  handshake: {pointer: /type, equals: hello, echo: /word}
"""


def _folder(tmp_path: Path, section: str) -> Path:
    """Return a folder whose manifest is another vendor's, with these first lines in its inbound section."""
    text = (VENDORS / "tave" / "manifest.yaml").read_text("utf-8")
    text = text.replace("vendor: tave", "vendor: petalworks").replace("  scheme: endpoint_key\n", section)
    folder = tmp_path / "petalworks"
    folder.mkdir()
    (folder / "manifest.yaml").write_text(text, "utf-8")
    return folder


def test_a_signature_scheme_is_data(tmp_path: Path) -> None:
    """Scheme, names, form, handshake and what to do with other events are read from the manifest."""
    inbound = load_manifest(_folder(tmp_path, _SIGNED)).inbound
    assert inbound is not None
    assert inbound.signature == Signature(
        algorithm="sha256",
        encoding="hex",
        signed="v0:{timestamp}:{body}",
        header="x-petal-signature",
        prefix="v0=",
        timestamp_header="x-petal-timestamp",
        tolerance_seconds=300,
    )
    assert inbound.handshake == Handshake(pointer="/type", equals="hello", echo="/word")
    assert (inbound.form_field, inbound.ignores_other_events) == ("payload", True)
    assert inbound.event_name == (Place(part="json", name="/event/type"), Place(part="json", name="/type"))


def test_the_pairs_of_a_header_have_names(tmp_path: Path) -> None:
    """A header of name=value pairs names its timestamp and its signatures."""
    pairs = _SIGNED.replace(
        '    prefix: "v0="\n    timestamp_header: X-Petal-Timestamp\n',
        "    pairs: {timestamp: t, signature: v1}\n",
    )
    inbound = load_manifest(_folder(tmp_path, pairs)).inbound
    assert inbound is not None
    assert inbound.signature is not None
    assert (inbound.signature.timestamp_pair, inbound.signature.signature_pair) == ("t", "v1")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("scheme: hmac", "scheme: endpoint_key", "write hmac as the scheme"),
        ('    prefix: "v0="\n', "", "needs either pairs or prefix"),
        ('    prefix: "v0="\n', "    pairs: {timestamp: t, signature: v1}\n", "beside pairs"),
        ("v0:{timestamp}:{body}", "v0:{body}", "needs timestamp_header just where {timestamp} is signed"),
        ("{timestamp}:{body}", "{body}:{nonce}", "Write the text that is signed, with {body}"),
        ("tolerance_seconds: 300", "tolerance_seconds: 0", "1 to 3600 seconds"),
        ("algorithm: sha256", "algorithm: md5", "Write sha1 or sha256"),
        ("pointer: /type", "pointer: type", "Write a JSON pointer"),
    ],
)
def test_a_signature_that_cannot_be_checked_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    """A scheme that lacks a part, or has one too many, is refused with the cure."""
    assert old in _SIGNED
    with pytest.raises(ManifestError) as refused:
        load_manifest(_folder(tmp_path, _SIGNED.replace(old, new)))
    assert says in str(refused.value)


def test_hmac_without_a_signature_is_refused(tmp_path: Path) -> None:
    """The scheme hmac says how the vendor signs."""
    with pytest.raises(ManifestError, match="describe how the vendor signs"):
        load_manifest(_folder(tmp_path, "  scheme: hmac\n"))


def test_the_first_place_that_has_something_counts() -> None:
    """A value is read from header, query or body: from the first that has it."""
    places = [
        Place(part="header", name="x-id"),
        Place(part="query", name="id"),
        Place(part="json", name="/meta/id"),
    ]
    assert first_of(places, {"x-id": "h"}, {"id": "q"}, {"meta": {"id": 7}}) == "h"
    assert first_of(places, {"x-id": ""}, {"id": "q"}, {}) == "q"
    assert first_of(places, {}, {}, {"meta": {"id": 7}}) == 7
    assert first_of(places, {}, {}, {"meta": []}) is None
    assert first_of(places, {}, {}, {"meta": {"id": ""}}) is None


_CARRIED = "  scheme: token\n  token: json:/value/*/secret\n  handshake: {query: validationToken}\n"


def test_a_token_in_the_webhook_is_data(tmp_path: Path) -> None:
    """Where the secret stands, and which query parameter tries an address out, are read from the manifest."""
    inbound = load_manifest(_folder(tmp_path, _CARRIED)).inbound
    assert inbound is not None
    assert (inbound.token, inbound.has_secret) == (Place(part="json", name="/value/*/secret"), True)
    assert (inbound.echoed_parameter, inbound.handshake, inbound.signature) == ("validationToken", None, None)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("scheme: token", "scheme: endpoint_key", "write token as the scheme"),
        ("  token: json:/value/*/secret\n", "", "say where the token stands"),
        ("json:/value/*/secret", "body", "Write header:"),
        ("{query: validationToken}", "{pointer: /type}", "give pointer, equals and echo for JSON, or query"),
        (
            "{query: validationToken}",
            "{query: t, pointer: /type, equals: a, echo: /b}",
            "give pointer, equals and echo for JSON, or query",
        ),
    ],
)
def test_a_token_that_cannot_be_found_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    """A scheme without its place, and a handshake that is half of one, are refused with the cure."""
    assert old in _CARRIED
    with pytest.raises(ManifestError) as refused:
        load_manifest(_folder(tmp_path, _CARRIED.replace(old, new)))
    assert says in str(refused.value)


def test_every_item_of_a_batch_is_asked() -> None:
    """A place in a batch stands for one value per item, missing ones included; elsewhere for one."""
    batch = Place(part="json", name="/value/*/secret")
    assert every(batch, {}, {}, {"value": [{"secret": "a"}, {}, 5]}) == ["a", None, None]
    assert every(batch, {}, {}, {"value": {}}) == every(batch, {}, {}, []) == []
    assert every(Place(part="header", name="x-token"), {"x-token": "a"}, {}, {}) == ["a"]
    assert every(Place(part="json", name="/secret"), {}, {}, {}) == [None]
