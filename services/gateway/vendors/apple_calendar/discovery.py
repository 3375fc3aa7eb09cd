"""From an account to its calendars (RFC 6764, RFC 4791 section 6.2): used when a wedding is linked."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin

from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.apple_calendar import davxml
from services.gateway.vendors.apple_calendar.dav import DavClient
from services.gateway.vendors.apple_calendar.davxml import Resource
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import Account, VendorGarbage, VendorRejected

_WELL_KNOWN = "/.well-known/caldav"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """A calendar that can be linked: `url` is the scope's `calendar_url`."""

    url: str
    name: str


async def discover(http: VendorHttp, manifest: Manifest, account: Account) -> list[Calendar]:
    """Return the account's calendars that hold events. Raises `VendorError`s."""
    dav = DavClient(http, manifest, account)
    principal = await _principal(dav, account.base_url)
    home = await _linked(dav, principal, davxml.HOME_SET)
    if home is None:
        raise VendorGarbage("the calendar server names no calendar home for this account")
    wanted = (davxml.RESOURCE_TYPE, davxml.DISPLAY_NAME, davxml.COMPONENTS)
    final, found = await dav.propfind_at(home, wanted, depth=1)
    return [
        Calendar(url=urljoin(final, resource.path), name=_name(resource))
        for resource in found.resources
        if holds_events(resource)
    ]


def holds_events(resource: Resource) -> bool:
    """Say whether the resource is a calendar of events; one that does not say what it holds may."""
    if davxml.CALENDAR not in resource.names(davxml.RESOURCE_TYPE):
        return False
    components = resource.props.get(davxml.COMPONENTS)
    named = {entry.get("name", "").upper() for entry in components} if components is not None else set()
    return not named or "VEVENT" in named


async def _principal(dav: DavClient, base_url: str) -> str:
    # The well-known address is asked first; servers that lack it answer at the base itself.
    for start in (_WELL_KNOWN, base_url):
        try:
            principal = await _linked(dav, start, davxml.PRINCIPAL)
        except (VendorRejected, VendorGarbage):
            if start == base_url:
                raise
            continue
        if principal is not None:
            return principal
    raise VendorGarbage("the calendar server does not say who the account is")


async def _linked(dav: DavClient, url: str, name: str) -> str | None:
    """Return the address that a property of a resource holds, made absolute by who answered."""
    final, found = await dav.propfind_at(url, (name,), depth=0)
    hrefs = [href for resource in found.resources for href in resource.hrefs(name)]
    return urljoin(final, hrefs[0]) if hrefs else None


def _name(resource: Resource) -> str:
    return resource.text(davxml.DISPLAY_NAME) or resource.path.rstrip("/").rpartition("/")[2]
