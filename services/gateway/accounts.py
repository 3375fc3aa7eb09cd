"""Connecting accounts and joining them to weddings, the same for gRPC and REST."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.gateway.ports import Ports
from services.gateway.records import Link
from services.gateway.store.integration_rows import Integration
from services.gateway.store.links import WEBHOOK_SECRET, LinkStore, Match, new_endpoint_key, webhook_path
from services.gateway.store.secrets import SecretStore
from services.gateway.vendors.manifest import Manifest, Vendor
from services.gateway.vendors.port import Account, VendorAuthFailed, VendorError, VendorRejected
from wedsync import errors
from wedsync.client import SyncClient
from wedsync.errors import FieldViolation
from wedsync.model.ids import is_id, new_id
from wedsync.runtime.principal import Principal, Scope
from wedsync.runtime.telemetry import Telemetry, current_traceparent

_MAX_TEXT = 2_000

BELIEVE_SECONDS = 3600.0
"""How long deletes of any number are believed once a person said that they are meant."""
DEFAULT_OVERLAP_SECONDS = 24 * 3600
"""How long the webhook secrets before a new one stay valid."""
MAX_OVERLAP_SECONDS = 30 * 24 * 3600
MAX_MATCHES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """An integration and its webhook address, empty for a vendor that sends none."""

    integration: Integration
    webhook_path: str


class Accounts:
    """What an organization does with its vendors."""

    def __init__(
        self,
        *,
        vendors: Mapping[str, Vendor],
        links: LinkStore,
        secrets: SecretStore,
        ports: Ports,
        sync: SyncClient,
        telemetry: Telemetry,
        on_link: Callable[[], None],
        on_connect: Callable[[Integration], None],
    ) -> None:
        self._vendors, self._links, self._secrets, self._ports = vendors, links, secrets, ports
        self._sync, self._telemetry = sync, telemetry
        self._on_link, self._on_connect = on_link, on_connect

    async def connect(
        self,
        principal: Principal,
        *,
        request_id: str,
        vendor: str,
        credentials: Mapping[str, str],
        base_url: str,
    ) -> Connected:
        """Keep an account, its credentials sealed. They are tried when a wedding is linked."""
        manifest = self._checked(request_id, vendor, credentials, base_url)
        account = Account(
            integration_id=new_id(),
            base_url=base_url or manifest.base_url,
            credentials=dict(credentials),
        )
        integration = await self._links.connect(
            organization_id=principal.organization_id,
            request_id=request_id,
            vendor=vendor,
            account=account,
            endpoint_key=new_endpoint_key(),
        )
        self._on_connect(integration)
        path = webhook_path(vendor, self._links.endpoint_key(integration))
        return Connected(integration=integration, webhook_path=path if manifest.inbound else "")

    async def link(
        self,
        principal: Principal,
        *,
        request_id: str,
        wedding_id: str,
        integration_id: str,
        scope: Mapping[str, str],
        matches: Sequence[Match] = (),
    ) -> Link:
        """Join an account to a wedding after trying that the vendor lets us in and knows the scope.

        `matches` are what is there on both sides already; the rest is created on the other side.
        """
        if problems := _request_problems(request_id) + _match_problems(matches):
            raise _invalid(problems)
        link = await self.draft(principal, wedding_id=wedding_id, integration_id=integration_id, scope=scope)
        await self._try(link)
        trace_parent = current_traceparent() or self._telemetry.new_traceparent()
        made = await self._links.link(link, request_id=request_id, trace_parent=trace_parent, matches=matches)
        self._on_link()
        return made

    async def draft(
        self, principal: Principal, *, wedding_id: str, integration_id: str, scope: Mapping[str, str]
    ) -> Link:
        """Return a link as it would be made; nothing is kept, and the vendor was not asked."""
        integration = await self.find_connected(principal, integration_id)
        manifest = self._vendors[integration.vendor].manifest
        if problems := _key_problems("scope", set(manifest.scope), scope):
            raise _invalid(problems)
        wedding = await self._sync.get_wedding(wedding_id)
        if principal.organization_id not in {member.organization_id for member in wedding.members}:
            raise errors.UnknownWedding
        return Link(
            link_id=new_id(),
            organization_id=principal.organization_id,
            wedding_id=wedding_id,
            integration_id=integration_id,
            vendor=integration.vendor,
            scope=dict(scope),
            time_zone=wedding.time_zone,
        )

    async def find_connected(self, principal: Principal, integration_id: str) -> Integration:
        """Return one of the principal's integrations that is not disconnected."""
        integration = await self._links.integration([principal.organization_id], integration_id)
        if integration is None:
            raise errors.NotFound("There is no such integration; connect the vendor first.")
        if integration.disconnected_at is not None:
            raise errors.FailedPrecondition("The vendor was disconnected; connect it again.")
        return integration

    async def rotate_webhook_secret(
        self,
        principal: Principal,
        *,
        request_id: str,
        integration_id: str,
        secret: str,
        overlap_seconds: int,
    ) -> int:
        """Keep a new secret for the vendor's webhooks; return how many are valid now."""
        problems = _request_problems(request_id) + _key_problems("secret", {"secret"}, {"secret": secret})
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            problems.append(FieldViolation("overlap_seconds", f"must be from 0 to {MAX_OVERLAP_SECONDS}"))
        if problems:
            raise _invalid(problems)
        integration = await self.find_connected(principal, integration_id)
        inbound = self._vendors[integration.vendor].manifest.inbound
        if inbound is None or not inbound.has_secret:
            raise errors.FailedPrecondition(f"{integration.vendor} signs no webhooks: there is no secret.")
        if objection := inbound.objection(secret):
            raise _invalid([FieldViolation("secret", objection)])
        return await self._secrets.rotate(
            principal.organization_id,
            integration_id,
            request_id=request_id,
            secret=secret,
            overlap=overlap_seconds,
        )

    async def set_active(
        self, principal: Principal, link_id: str, *, active: bool, believe_deletes: bool = False
    ) -> Link:
        """Pause a link or let it go on; what is gone at the vendor may be believed, however much it is."""
        link = await self.find_link(principal, link_id)
        if link.ended:
            raise errors.FailedPrecondition(f"The link has ended ({link.reason}); link the wedding anew.")
        reason, believing = "" if active else "paused by request", BELIEVE_SECONDS if believe_deletes else 0.0
        await self._links.set_state(link, active=active, reason=reason, believing=believing)
        self._on_link()
        return await self.find_link(principal, link_id)

    async def sync_now(self, principal: Principal, link_id: str) -> None:
        """Look at the vendor now."""
        link = await self.find_link(principal, link_id)
        if not link.active:
            raise errors.FailedPrecondition(f"The link is {link.state} ({link.reason}).")
        await self._links.poll_now(link)
        self._on_link()

    async def find_link(self, principal: Principal, link_id: str) -> Link:
        """Return one of the principal's links."""
        link = await self._links.find_link([principal.organization_id], link_id) if is_id(link_id) else None
        if link is None:
            raise errors.NotFound("There is no such link.")
        return link

    async def _try(self, link: Link) -> None:
        with as_answers(link.vendor):
            await self._ports.try_out(link)

    def _checked(
        self, request_id: str, vendor: str, credentials: Mapping[str, str], base_url: str
    ) -> Manifest:
        if vendor not in self._vendors:
            known = ", ".join(sorted(self._vendors))
            raise _invalid([FieldViolation("vendor", f"{vendor!r} is not known; choose from {known}")])
        manifest = self._vendors[vendor].manifest
        checked_credentials(manifest, credentials, base_url, problems=_request_problems(request_id))
        return manifest


@contextlib.contextmanager
def as_answers(vendor: str) -> Iterator[None]:
    """Turn a vendor's errors into answers to whoever called us."""
    try:
        yield
    except (VendorAuthFailed, VendorRejected) as error:
        raise errors.FailedPrecondition(f"{vendor}: {error}.") from error
    except VendorError as error:
        raise errors.Unavailable(f"{vendor}: {error}.", retry_after=5.0) from error


def checked_credentials(
    manifest: Manifest,
    credentials: Mapping[str, str],
    base_url: str,
    *,
    complete: bool = True,
    problems: Sequence[FieldViolation] = (),
) -> None:
    """Raise `InvalidRequest` if that is nothing to sign in with, or there are problems already.

    All that the manifest asks for must be there, unless it is not to be `complete`.
    """
    entered = manifest.auth.credentials
    required = {credential.name for credential in entered if complete and not credential.optional}
    optional = {credential.name for credential in entered} - required
    found = [*problems, *_key_problems("credentials", required, credentials, optional)]
    if base_url and not _is_address(base_url):
        found.append(FieldViolation("base_url", "must be an address such as https://host/path"))
    secret = credentials.get(WEBHOOK_SECRET)
    if secret and manifest.inbound and (objection := manifest.inbound.objection(secret)):
        found.append(FieldViolation(f"credentials.{WEBHOOK_SECRET}", objection))
    if found:
        raise _invalid(found)


def writer(principal: Principal) -> Principal:
    """Return the principal if it may change things. Raises `PermissionDenied`."""
    if not principal.may(Scope.WRITE):
        raise errors.PermissionDenied("The caller's key lacks the scope `write`.")
    return principal


def _request_problems(request_id: str) -> list[FieldViolation]:
    if is_id(request_id):
        return []
    return [FieldViolation("request_id", "must be a UUID of yours in lower case; repeat it to retry safely")]


def _match_problems(matches: Sequence[Match]) -> list[FieldViolation]:
    records, items = {match.record_id for match in matches}, {match.item_id for match in matches}
    problems = {
        f"must hold at most {MAX_MATCHES}": len(matches) > MAX_MATCHES,
        "must name each record and each item once": min(len(records), len(items)) < len(matches),
        "must name the record and the item, by its UUID": not all(
            is_id(match.item_id) and match.record_id for match in matches
        ),
    }
    return [FieldViolation("matches", problem) for problem, true in problems.items() if true]


def _key_problems(
    field: str, required: set[str], given: Mapping[str, str], optional: AbstractSet[str] = frozenset()
) -> list[FieldViolation]:
    wanted = required | optional
    missing = [FieldViolation(f"{field}.{name}", "is required") for name in sorted(required - set(given))]
    unknown = [
        FieldViolation(f"{field}.{name}", f"is not known; give {', '.join(sorted(wanted))}")
        for name in sorted(set(given) - wanted)
    ]
    unfit = [
        FieldViolation(f"{field}.{name}", f"must be one line of 1 to {_MAX_TEXT} printable characters")
        for name in sorted(wanted & set(given))
        if not _is_line(given[name])
    ]
    return missing + unknown + unfit


def _is_line(text: str) -> bool:
    return 0 < len(text) <= _MAX_TEXT and text.isprintable()


def _is_address(text: str) -> bool:
    """Whether it reads like a web address; which hosts may be called is decided when one is."""
    try:
        parts = urlsplit(text)
        return _is_line(text) and parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def _invalid(problems: list[FieldViolation]) -> errors.InvalidRequest:
    return errors.InvalidRequest(violations=problems)
