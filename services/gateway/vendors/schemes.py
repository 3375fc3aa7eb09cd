"""How a vendor proves its webhooks, as its manifest describes it. Pure, but for a file of authorities."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography import x509

from services.gateway.vendors.manifest_yaml import Document

FORM = "application/x-www-form-urlencoded"

_UNITS = {"seconds": 1, "milliseconds": 1000}
_SECTIONS = {
    "signature": ("hmac", "describe how the vendor signs"),
    "token": ("token", "say where the token stands"),
    "certificate": ("certificate", "describe what is signed, and whose certificates count"),
    "jwt": ("jwt", "describe the token"),
    "channel": ("channel", "say where a notification names its channel"),
}
"""What a scheme needs beside its name, and what to do where it is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """An HMAC over the body, mostly with a timestamp, often with the address."""

    algorithm: str
    encoding: str
    signed: str
    """The signed text, with the placeholders {timestamp}, {id}, {method}, {url}, {form} and {body}."""
    header: str
    tolerance_seconds: int = 0
    timestamp_pair: str = ""
    signature_pair: str = ""
    """Names within a header of pairs; empty where signatures stand behind `prefix`."""
    prefix: str = ""
    separator: str = ""
    """What stands between several signatures behind `prefix`; empty where there is one only."""
    timestamp_header: str = ""
    timestamp_unit: str = "seconds"
    id_header: str = ""
    key_encoding: str = "text"
    key_prefix: str = ""
    """What the secret begins with that is no part of the key."""
    body_digest: str = ""
    """The parameter of the address that holds the digest of a body that is no form."""

    @property
    def timed(self) -> bool:
        """Whether the vendor signs when it sends."""
        return self.signs("timestamp")

    def signs(self, what: str) -> bool:
        """Whether this is part of the signed text."""
        return f"{{{what}}}" in self.signed

    def moment(self, timestamp: str) -> float:
        """Return the Unix time of a timestamp."""
        return int(timestamp) / _UNITS[self.timestamp_unit]

    def key(self, secret: str) -> bytes | None:
        """Return the key that a secret stands for, None if it stands for none."""
        text = secret.removeprefix(self.key_prefix)
        if self.key_encoding == "text":
            return text.encode() or None
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True) or None
        except (ValueError, binascii.Error):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """An RSA signature by a certificate that the webhook names and the vendor's authorities vouch for."""

    algorithm: str
    signed: str
    """The signed text, with the placeholders {id}, {timestamp}, {secret}, {crc32} and {body}."""
    header: str
    algorithm_header: str
    url_header: str
    id_header: str
    timestamp_header: str
    hosts: frozenset[str]
    path: str
    """What the path of a certificate's address begins with."""
    subject: str
    """The name the certificate is for."""
    authorities: tuple[x509.Certificate, ...]
    tolerance_seconds: int


class Audience(StrEnum):
    """Whom a token must be meant for: the address it is sent to, what is kept as secret, or anybody."""

    URL = "url"
    SECRET = "secret"  # noqa: S105 - a word of the manifest
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt:
    """A signed token in a header."""

    header: str
    prefix: str
    algorithm: str
    audience: Audience
    tolerance_seconds: int
    issuers: tuple[str, ...] = ()
    keys_url: str = ""
    """Where the vendor publishes its keys; empty where the secret is the key."""
    secret_claim: str = ""
    """The claim that must hold the secret: who the vendor's sender is to us."""
    claims: Mapping[str, str | bool]
    """Claims that must say just this."""
    agrees: Mapping[str, str]
    """Claims that must say the same as the body, by JSON pointer."""
    body_digest: str = ""
    """The claim that holds the digest of the body."""


def read_signature(data: Mapping[str, Any]) -> Signature:
    """Return the section `signature`, which has been found valid."""
    plain = {name: value for name, value in data.items() if name != "pairs"}
    pairs = {f"{name}_pair": value for name, value in data.get("pairs", {}).items()}
    return Signature(**{**plain, **pairs, **_headers(data)})


def read_certificate(data: Mapping[str, Any], folder: Path) -> Certificate:
    """Return the section `certificate`, which has been found valid."""
    return Certificate(
        **{
            **data,
            **_headers(data),
            "hosts": frozenset(data["hosts"]),
            "authorities": read_authorities(folder / data["authorities"]),
        }
    )


def read_jwt(data: Mapping[str, Any]) -> Jwt:
    """Return the section `jwt`, which has been found valid."""
    return Jwt(
        **{
            "claims": {},
            "agrees": {},
            **data,
            "header": data["header"].lower(),
            "issuers": tuple(data.get("issuers", ())),
            "audience": Audience(data["audience"]),
        }
    )


def read_authorities(path: Path) -> tuple[x509.Certificate, ...]:
    """Return the certificates in a file. Raises `OSError` or `ValueError`."""
    return tuple(x509.load_pem_x509_certificates(path.read_bytes()))


def scheme_contradictions(document: Document) -> Iterator[str]:
    """Yield what in the proof of webhooks needs or excludes something else."""
    data, where = document.data["inbound"], ["inbound"]
    for section, (scheme, cure) in _SECTIONS.items():
        if (data["scheme"] == scheme) != (section in data):
            mend = f"write {scheme} as the scheme" if section in data else cure
            yield document.problem(
                where, f"has the scheme {data['scheme']} and {section} must suit it: {mend}"
            )
    for section, check in _CHECKS.items():
        if section in data:
            found = check(data[section], data, document.path.parent)
            yield from (document.problem([*where, section], problem) for problem in found)


_HEADERS = frozenset({"header", "timestamp_header", "id_header", "algorithm_header", "url_header"})


def _headers(data: Mapping[str, Any]) -> dict[str, str]:
    return {name: data[name].lower() for name in _HEADERS if name in data}


def _placeholders(template: str) -> list[str]:
    return [part.partition("}")[0] for part in template.split("{")[1:]]


def _strange(signed: str, known: str, content: str) -> Iterator[str]:
    """Yield what is wrong with a signed text, given which placeholders are known and which it must hold."""
    names = _placeholders(signed)
    if unknown := sorted(set(names) - set(known.split())):
        yield f"signs {', '.join(unknown)}, which is not known: choose from {known}"
    if len(names) != len(set(names)):
        yield "signs something twice: write each placeholder once"
    if not set(names) & set(content.split()):
        yield f"does not sign what is sent: write {{{content.replace(' ', '} or {')}}} into signed"


def _signature_problems(data: Mapping[str, Any], inbound: Mapping[str, Any], _: Path) -> Iterator[str]:
    signed = data["signed"]
    yield from _strange(signed, "timestamp id method url form body", "body form")
    timed = "{timestamp}" in signed
    if ("pairs" in data) == ("prefix" in data):
        yield "needs either pairs or prefix: say which form the header has"
    if "pairs" in data and timed != ("timestamp" in data["pairs"]):
        yield "needs the timestamp's pair just where {timestamp} is signed"
    if "timestamp_header" in data and "pairs" in data:
        yield "has timestamp_header beside pairs: the pairs name the timestamp"
    if "prefix" in data and timed != ("timestamp_header" in data):
        yield "needs timestamp_header just where {timestamp} is signed"
    if timed != ("tolerance_seconds" in data):
        yield "needs tolerance_seconds just where {timestamp} is signed: nothing else has an age"
    if "timestamp_unit" in data and not timed:
        yield "has timestamp_unit and signs no {timestamp}: drop it"
    if ("{id}" in signed) != ("id_header" in data):
        yield "needs id_header just where {id} is signed"
    if "separator" in data and "prefix" not in data:
        yield "has separator without prefix: pairs are separated by commas"
    if "key_prefix" in data and data.get("key_encoding") != "base64":
        yield "has key_prefix, and a key that is text: write base64 as key_encoding, or drop it"
    yield from _form_problems(data, inbound)


def _form_problems(data: Mapping[str, Any], inbound: Mapping[str, Any]) -> Iterator[str]:
    form, url = "{form}" in data["signed"], "{url}" in data["signed"]
    others = sorted(set(inbound["content_types"]) - {FORM})
    if "body_digest" in data and not (form and url):
        yield "has body_digest, which counts only where {url} and {form} are signed: sign them, or drop it"
    if form and FORM not in inbound["content_types"]:
        yield f"signs {{form}}, and no form is sent: list {FORM} in content_types, or sign {{body}}"
    if form and "{body}" not in data["signed"] and others and "body_digest" not in data:
        yield f"does not sign a body of {', '.join(others)}: name body_digest, or list only {FORM}"


def _certificate_problems(data: Mapping[str, Any], _: Mapping[str, Any], folder: Path) -> Iterator[str]:
    signed = data["signed"]
    yield from _strange(signed, "id timestamp secret crc32 body", "crc32 body")
    if lacking := [name for name in ("id", "timestamp", "secret") if f"{{{name}}}" not in signed]:
        yield f"does not sign {', '.join(lacking)}: what was sent to others, or long ago, would be believed"
    try:
        found = read_authorities(folder / data["authorities"])
    except (OSError, ValueError):
        found = ()
    if not found:
        yield f"names {data['authorities']}: put certificates into that file, as PEM, beside the manifest"


def _jwt_problems(data: Mapping[str, Any], _: Mapping[str, Any], __: Path) -> Iterator[str]:
    published, audience = "keys_url" in data, data["audience"]
    if (data["algorithm"] == "RS256") != published:
        yield "needs keys_url just with RS256: with HS256 the secret is the key"
    if published and not data.get("issuers"):
        yield "names no issuers: say who may sign"
    if published and (audience == "secret") == ("secret_claim" in data):
        yield "needs one place for what is kept as secret: secret as audience, or else secret_claim"
    if published and audience == "none":
        yield "is meant for anybody: write url as audience, or secret"
    if not published and (audience == "secret" or "secret_claim" in data):
        yield "would show the key it is signed with: write url or none as audience, and no secret_claim"


_CHECKS = {
    "signature": _signature_problems,
    "certificate": _certificate_problems,
    "jwt": _jwt_problems,
}
