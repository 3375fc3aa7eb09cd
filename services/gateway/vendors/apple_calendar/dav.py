"""Calls to one CalDAV account: credentials only to its own hosts, and answers as values or errors."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import urljoin, urlsplit

from services.gateway.vendor_http import Response, VendorHttp
from services.gateway.vendors.apple_calendar import davxml
from services.gateway.vendors.apple_calendar.davxml import Multistatus
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import Account, VendorAuthFailed, VendorGarbage, VendorRejected

# iCloud sends an account to its partition's host, which may send it on once more.
_MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 307, 308})
# CalDAV says with 403 that a precondition does not hold, and with 507 that an answer is not complete.
_ANSWERS = frozenset({403, 501, 507})
_XML = {"Content-Type": "application/xml; charset=utf-8"}


class DavClient:
    """Speaks WebDAV as one account. Addresses may be absolute, or relative to the account's base."""

    def __init__(self, http: VendorHttp, manifest: Manifest, account: Account) -> None:
        self._http, self._timeout = http, manifest.timeout_seconds
        self._base = urlsplit(account.base_url)
        self._base_url = account.base_url
        self._domain = manifest.setting(account, "credential_domain").lower()
        self._authorization = _basic(account)

    def absolute(self, address: str) -> str:
        """Return the absolute form of an address."""
        return urljoin(self._base_url, address)

    async def propfind(self, url: str, names: Iterable[str], *, depth: int) -> Multistatus:
        """Read properties. Raises `VendorRejected` where there is nothing at that address."""
        _, found = await self.propfind_at(url, names, depth=depth)
        return found

    async def propfind_at(self, url: str, names: Iterable[str], *, depth: int) -> tuple[str, Multistatus]:
        """Read properties; return also the address that answered in the end."""
        headers = {**_XML, "Depth": str(depth)}
        final, response = await self.call("PROPFIND", url, headers=headers, body=davxml.propfind(names))
        return final, multistatus(final, response)

    async def call(
        self, method: str, url: str, *, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[str, Response]:
        """Make one call, following redirects between the account's own hosts; return who answered, and what.

        An answer of 403 is returned if it names a precondition, else it raises `VendorAuthFailed`.
        """
        target = self.absolute(url)
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._once(method, target, headers, body)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or not location:
                return target, response
            target = urljoin(target, location)
        raise VendorGarbage("the calendar server redirects in circles")

    async def _once(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Response:
        if not self._is_own(url):
            host = urlsplit(url).hostname
            raise VendorRejected(f"{host} is not a host of this account, so it is not sent the password")
        response = await self._http.request(
            method,
            url,
            headers={**headers, "Authorization": self._authorization},
            body=body,
            timeout=self._timeout,
            returns=_ANSWERS,
        )
        if response.status == 403 and not davxml.preconditions(response.body):
            raise VendorAuthFailed("the calendar server refuses access (status 403): reconnect the account")
        return response

    def _is_own(self, url: str) -> bool:
        try:
            parts, base = urlsplit(url), self._base
            if (parts.scheme, parts.hostname, parts.port) == (base.scheme, base.hostname, base.port):
                return True
            hosts = (parts.hostname or "", base.hostname or "")
            return parts.scheme == "https" and parts.port in (None, 443) and all(map(self._in_domain, hosts))
        except ValueError:  # a port that is no number
            return False

    def _in_domain(self, host: str) -> bool:
        return bool(self._domain) and (host == self._domain or host.endswith(f".{self._domain}"))


def multistatus(url: str, response: Response) -> Multistatus:
    """Return the multistatus that was answered; raise what any other answer means."""
    if response.status == 207:
        return davxml.parse_multistatus(response.body, davxml.normal_path(url))
    if response.status in (404, 410):
        raise VendorRejected("there is no such calendar: choose one that discovery lists")
    if response.status >= 400:
        raise VendorRejected(f"the calendar server refused ({refusal(response)})")
    raise VendorGarbage(f"the calendar server answered status {response.status} to a query")


def refusal(response: Response) -> str:
    """Return the status and the preconditions of a refusal, for a person to read."""
    names = sorted(tag.rpartition("}")[2] for tag in davxml.preconditions(response.body))
    return " ".join([f"status {response.status}", *names])


def _basic(account: Account) -> str:
    try:
        pair = f"{account.credentials['username']}:{account.credentials['password']}"
    except KeyError as error:
        raise VendorAuthFailed(f"the account lacks its {error.args[0]}: reconnect it") from error
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
