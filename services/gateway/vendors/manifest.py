"""A vendor's manifest: what it can do, how it is reached, and what of our fields it can hold."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

from services.gateway.converters.contract import Context
from services.gateway.converters.reading import converter_problems, read_converter
from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.field_rules import Direction, Equivalence, FieldRule, KindRule, suits
from services.gateway.vendors.inbound import Inbound, inbound_contradictions, read_inbound
from services.gateway.vendors.manifest_yaml import Document, ManifestError, read_document
from services.gateway.vendors.port import Account, VendorPort
from services.gateway.vendors.rate_limit import RateLimit, read_rate_limit
from services.gateway.vendors.versions import OPAQUE, Versions
from wedsync.model.items import CATALOGUE, VENDOR_KINDS, FieldSpec, ItemKind

__all__ = [
    "FieldRule",
    "KindRule",
    "Manifest",
    "ManifestError",
    "RateLimit",
    "Vendor",
    "load_manifest",
    "load_vendors",
]

VENDORS = Path(__file__).parent
"""The folder that holds one folder per vendor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One thing an organization enters to connect."""

    name: str
    description: str
    secret: bool
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """How we prove who we are to the vendor."""

    type: str
    credentials: tuple[Credential, ...]
    token_url: str = ""
    """Of OAuth2: where a refresh token is traded in. A credential of that name comes before it."""
    scopes: tuple[str, ...] = ()
    """Of OAuth2: what an organization must have consented to."""
    client_auth: str = "body"
    """Of OAuth2: where the token endpoint wants our client's id and secret, `body` or `basic`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """How often one link is asked what moved, and how often it is compared as a whole."""

    interval_seconds: float
    sweep_interval_seconds: float
    jitter: float = 0.1
    min_interval_seconds: float | None = None
    max_interval_seconds: float | None = None

    @property
    def fastest(self) -> float:
        """How often a link is asked at most, while much happens there."""
        return self.min_interval_seconds or self.interval_seconds

    @property
    def slowest(self) -> float:
        """How seldom a link is asked at most, while nothing happens there."""
        return self.max_interval_seconds or self.interval_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """How the vendor's channels live, and how often a link is polled all the same while one works."""

    lifetime_seconds: float
    renew_before_seconds: float
    poll_interval_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A fact about the vendor that we only assume, and so can be changed per account."""

    default: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One vendor's manifest, validated."""

    vendor: str
    display_name: str
    category: str
    bridge_class: str
    auth: Auth
    base_url: str
    inbound: Inbound | None
    poll: Poll
    rate_limit: RateLimit
    timeout_seconds: float
    kinds: Mapping[ItemKind, KindRule]
    delete_semantics: str
    scope: Mapping[str, str]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    push: Push | None = None
    """None where the vendor has no channels."""
    versions: Versions = OPAQUE

    def rule(self, kind: ItemKind, path: str) -> FieldRule | None:
        """Return the field's rule, None where this vendor does not map it."""
        rules = self.kinds.get(kind)
        return rules.fields.get(path) if rules else None

    def setting(self, account: Account, name: str) -> str:
        """Return the account's value of a setting, else the manifest's default."""
        return account.settings.get(name, self.settings[name].default)

    def conversion(self, account: Account, scope: Mapping[str, str]) -> Context:
        """Return what values mean in one account and at one wedding."""
        settings = {name: self.setting(account, name) for name in self.settings}
        return Context(zone=scope.get("time_zone", "UTC"), settings=settings)

    def with_poll_interval(self, seconds: float) -> Manifest:
        """Return the same manifest, polled at another interval and at no other, channel or not."""
        poll = replace(
            self.poll, interval_seconds=seconds, min_interval_seconds=None, max_interval_seconds=None
        )
        push = replace(self.push, poll_interval_seconds=seconds) if self.push else None
        return replace(self, poll=poll, push=push)

    def with_rate(self, requests_per_second: float) -> Manifest:
        """Return the same manifest, called at another rate."""
        return replace(self, rate_limit=replace(self.rate_limit, requests_per_second=requests_per_second))

    def with_timeout(self, seconds: float) -> Manifest:
        """Return the same manifest, its vendor's answers waited for as long as this."""
        return replace(self, timeout_seconds=seconds)


class CreateAdapter(Protocol):
    """The entry point in each vendor folder's `adapter.py`.

    `scope` holds the keys the manifest lists, and `time_zone`, the wedding's IANA zone.
    """

    def __call__(
        self, http: VendorHttp, manifest: Manifest, account: Account, scope: Mapping[str, str]
    ) -> VendorPort:
        """Return an adapter for one account and scope."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A vendor: its manifest and the code that speaks its protocol."""

    manifest: Manifest
    create_adapter: CreateAdapter


def load_vendors(root: Path = VENDORS, package: str = "services.gateway.vendors") -> Mapping[str, Vendor]:
    """Load every vendor folder below root, which must be the folder of the given package."""
    return {
        path.parent.name: _load_vendor(path.parent, package) for path in sorted(root.glob("*/manifest.yaml"))
    }


def load_manifest(folder: Path) -> Manifest:
    """Load and validate one folder's manifest. Raises `ManifestError` naming file, line and cure."""
    document = read_document(folder / "manifest.yaml")
    document.refuse(_contradictions(document, folder.name))
    return _manifest(document.data, folder)


def _load_vendor(folder: Path, package: str) -> Vendor:
    manifest = load_manifest(folder)
    create = None
    if (folder / "adapter.py").exists():
        adapter = importlib.import_module(f"{package}.{folder.name}.adapter")
        create = getattr(adapter, "create_adapter", None)
    if create is None:
        cure = "define create_adapter(http, manifest, account, scope) in it"
        raise ManifestError([f"{folder / 'adapter.py'}:1: no entry point: {cure}"])
    return Vendor(manifest=manifest, create_adapter=cast("CreateAdapter", create))


def _contradictions(document: Document, folder: str) -> Iterator[str]:
    """Yield what a schema cannot see: names that must exist elsewhere, and types that must suit."""
    data = document.data
    if data["vendor"] != folder:
        yield document.problem(["vendor"], f"is {data['vendor']!r}: write the folder's name, {folder!r}")
    yield from inbound_contradictions(document)
    if data.get("inbound", {}).get("whole_records") and not data.get("versions", {}).get("rise"):
        cure = "write rise: true under versions, or leave it out"
        yield document.problem(["inbound", "whole_records"], f"needs versions that tell old from new: {cure}")
    yield from _poll_contradictions(document)
    yield from _push_contradictions(document)
    yield from _auth_contradictions(document, data["auth"])
    for kind, rules in data["kinds"].items():
        if kind not in VENDOR_KINDS:
            choice = ", ".join(VENDOR_KINDS)
            yield document.problem(["kinds", kind], f"is no kind vendors keep: choose from {choice}")
            continue
        for path, rule in rules["fields"].items():
            yield from _field_contradictions(document, ItemKind(kind), path, rule)


def _poll_contradictions(document: Document) -> Iterator[str]:
    poll = document.data["poll"]
    usual = poll["interval_seconds"]
    if poll.get("min_interval_seconds", usual) > usual:
        cure = f"write at most interval_seconds, {usual}"
        yield document.problem(["poll", "min_interval_seconds"], f"is the longer one: {cure}")
    if poll.get("max_interval_seconds", usual) < usual:
        cure = f"write at least interval_seconds, {usual}"
        yield document.problem(["poll", "max_interval_seconds"], f"is the shorter one: {cure}")


def _push_contradictions(document: Document) -> Iterator[str]:
    data = document.data
    push, by_channel = data.get("push"), data.get("inbound", {}).get("scheme") == "channel"
    if by_channel != (push is not None):
        where, cure = (
            (["push"], "write channel as the scheme") if push else (["inbound"], "say how they live")
        )
        yield document.problem(where, f"needs both a section push and the inbound scheme channel: {cure}")
    if push is None:
        return
    if push["renew_before_seconds"] > push["lifetime_seconds"] / 2:
        yield document.problem(["push", "renew_before_seconds"], "is over half the lifetime: write less")
    if push["poll_interval_seconds"] < data["poll"]["interval_seconds"]:
        cure = "write at least poll.interval_seconds"
        yield document.problem(
            ["push", "poll_interval_seconds"], f"is shorter than without a channel: {cure}"
        )


def _auth_contradictions(document: Document, auth: Mapping[str, Any]) -> Iterator[str]:
    oauth2, where = auth["type"] == "oauth2", ["auth"]
    for key in ("token_url", "scopes", "client_auth"):
        if key in auth and not oauth2:
            yield document.problem([*where, key], "is of OAuth2 only: leave it out, or write type oauth2")
    if not oauth2:
        return
    if "token_url" not in auth:
        yield document.problem(where, "lacks token_url: write where a refresh token is traded in")
    missing = {"client_id", "refresh_token"} - {entry["name"] for entry in auth["credentials"]}
    for name in sorted(missing):
        yield document.problem([*where, "credentials"], f"lacks {name}: an OAuth2 account needs it")


def _field_contradictions(
    document: Document, kind: ItemKind, path: str, rule: Mapping[str, Any]
) -> Iterator[str]:
    where = ["kinds", kind.value, "fields", path]
    spec = CATALOGUE[kind].get(path)
    if spec is None:
        yield document.problem(where, f"is no field of {kind}: choose from {', '.join(CATALOGUE[kind])}")
    elif not suits(Equivalence(rule["equivalence"]), spec.type):
        fitting = ", ".join(e for e in Equivalence if suits(e, spec.type))
        yield document.problem([*where, "equivalence"], f"does not suit a {spec.type}: choose from {fitting}")
    else:
        yield from _choice_contradictions(document, where, spec, rule)
        if "convert" in rule:
            found = converter_problems(rule, spec, document.data.get("settings", {}))
            yield from (document.problem([*where, "convert"], problem) for problem in found)


def _choice_contradictions(
    document: Document, where: Sequence[str], spec: FieldSpec, rule: Mapping[str, Any]
) -> Iterator[str]:
    named = {
        "accepts": rule.get("accepts", []),
        "rising": [v for step in rule.get("rising", []) for v in step],
    }
    for key, values in named.items():
        if unknown := sorted(set(values) - set(spec.values)):
            cure = f"choose from {', '.join(spec.values)}" if spec.values else "leave it out: it is no choice"
            yield document.problem([*where, key], f"names {', '.join(unknown)}: {cure}")


def _manifest(data: Mapping[str, Any], folder: Path) -> Manifest:
    plain = (
        "vendor",
        "display_name",
        "category",
        "bridge_class",
        "base_url",
        "timeout_seconds",
        "delete_semantics",
    )
    return Manifest(
        **{name: data[name] for name in plain},
        auth=_auth(data["auth"]),
        inbound=read_inbound(data["inbound"], folder) if "inbound" in data else None,
        poll=Poll(**data["poll"]),
        push=Push(**data["push"]) if "push" in data else None,
        rate_limit=read_rate_limit(data["rate_limit"]),
        versions=Versions(**data.get("versions", {})),
        kinds={ItemKind(kind): _kind(ItemKind(kind), rules, data) for kind, rules in data["kinds"].items()},
        scope=dict(data["scope"]),
        settings={name: Setting(**entry) for name, entry in data.get("settings", {}).items()},
    )


def _auth(data: Mapping[str, Any]) -> Auth:
    plain = {name: data[name] for name in ("type", "token_url", "client_auth") if name in data}
    return Auth(
        **plain,
        credentials=tuple(Credential(**entry) for entry in data["credentials"]),
        scopes=tuple(data.get("scopes", ())),
    )


def _kind(kind: ItemKind, data: Mapping[str, Any], manifest: Mapping[str, Any]) -> KindRule:
    fields = {path: _field(CATALOGUE[kind][path], rule, manifest) for path, rule in data["fields"].items()}
    return KindRule(create=data["create"], update=data["update"], delete=data["delete"], fields=fields)


def _field(spec: FieldSpec, data: Mapping[str, Any], manifest: Mapping[str, Any]) -> FieldRule:
    convert = data.get("convert", {})
    return FieldRule(
        direction=Direction(data["direction"]),
        equivalence=Equivalence(data["equivalence"]),
        max_length=data.get("max_length"),
        accepts=frozenset(data["accepts"]) if "accepts" in data else None,
        rising=tuple(frozenset(step) for step in data.get("rising", ())),
        convert=read_converter(convert, spec) if convert else None,
        region=manifest["settings"][convert["region"]]["default"] if "region" in convert else "",
    )
