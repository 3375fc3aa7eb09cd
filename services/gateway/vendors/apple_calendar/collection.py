"""What moved in one calendar: by sync token where the server has them, else by comparing ETags.

The cursor is {"token"} or {"ctag", "etags"}. While a first load comes in pieces it also carries
"seen", so that the last piece can say what the calendar holds as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from services.gateway.vendors.apple_calendar import davxml
from services.gateway.vendors.apple_calendar.dav import DavClient, multistatus
from services.gateway.vendors.apple_calendar.davxml import Resource
from services.gateway.vendors.apple_calendar.discovery import holds_events
from services.gateway.vendors.port import CursorLost, VendorGarbage, VendorRejected

# Bodies are asked for in pieces that stay far below the response limit; iCloud's clients ask for 50.
BATCH = 50
# A calendar with more events is somebody's whole life, not a wedding's.
MAX_RESOURCES = 20_000
_REPORT = {"Content-Type": "application/xml; charset=utf-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Which resources changed and which are suspected gone; `present` after a complete look only."""

    changed: Sequence[str] = ()
    missing: Sequence[str] = ()
    present: frozenset[str] | None = None
    cursor: Mapping[str, Any]
    more: bool = False


class Collection:
    """One calendar collection of an account."""

    def __init__(self, dav: DavClient, url: str) -> None:
        absolute = dav.absolute(url)
        self._dav = dav
        self.url = absolute if absolute.endswith("/") else f"{absolute}/"
        self.path = davxml.normal_path(self.url)

    def address(self, path: str) -> str:
        """Return the address of a path on the server that holds this calendar."""
        return urljoin(self.url, path)

    async def check(self) -> Resource:
        """Return the calendar's properties. Raises `VendorRejected` if it is no calendar of events."""
        names = (davxml.RESOURCE_TYPE, davxml.COMPONENTS, davxml.REPORTS, davxml.CTAG)
        found = await self._dav.propfind(self.url, names, depth=0)
        own = next((r for r in found.resources if r.path == self.path), None)
        if own is None or not holds_events(own):
            raise VendorRejected("the address is no calendar of events: choose one that discovery lists")
        return own

    async def moves(self, cursor: Mapping[str, Any] | None) -> Moves:
        """Return what moved since the cursor; everything for None. Raises `CursorLost`."""
        if cursor is None:
            own = await self.check()
            syncs = davxml.SYNC_COLLECTION in own.names(davxml.REPORTS)
            return await (self._since_token("", []) if syncs else self._since_etags(None, {}))
        match cursor:
            case {"token": str(token), **rest}:
                return await self._since_token(token, rest.get("seen"))
            case {"ctag": str() | None as ctag, "etags": {**etags}}:
                return await self._since_etags(ctag, {str(path): str(etag) for path, etag in etags.items()})
        raise CursorLost("the cursor is none of ours")

    async def bodies(self, paths: Sequence[str]) -> list[Resource]:
        """Return the resources with ETag and calendar data; those gone meanwhile with status 404."""
        found = dict[str, Resource]()
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            try:
                found |= await self._together(batch)
            except VendorGarbage:
                # One oversize event, or a character that XML cannot say, must not hide the others.
                found |= {path: await self._alone(path) for path in batch}
        return [found.get(path) or Resource(path=path, status=404) for path in paths]

    async def etag(self, path: str) -> str | None:
        """Return the ETag of one resource."""
        found = await self._dav.propfind(self.address(path), (davxml.ETAG,), depth=0)
        return next((r.text(davxml.ETAG) for r in found.resources if r.path == path), None)

    async def _together(self, paths: Sequence[str]) -> dict[str, Resource]:
        # Depth 1 is what servers want that treat a multiget like any other report.
        headers = {**_REPORT, "Depth": "1"}
        final, response = await self._dav.call(
            "REPORT", self.url, headers=headers, body=davxml.multiget(paths)
        )
        return {resource.path: resource for resource in multistatus(final, response).resources}

    async def _alone(self, path: str) -> Resource:
        try:
            _, response = await self._dav.call("GET", self.address(path), headers={})
        except VendorGarbage:
            return Resource(path=path)
        if response.status in (404, 410):
            return Resource(path=path, status=404)
        return davxml.resource(path, response.headers.get("etag"), response.body)

    async def _since_token(self, token: str, seen: Sequence[str] | None) -> Moves:
        headers = {**_REPORT, "Depth": "0"}
        final, response = await self._dav.call(
            "REPORT", self.url, headers=headers, body=davxml.sync_collection(token)
        )
        # By element, not by status: servers answer 403, 409 or 412.
        if davxml.VALID_SYNC_TOKEN in davxml.preconditions(response.body):
            raise CursorLost("the calendar server no longer knows the sync token")
        found = multistatus(final, response)
        if found.sync_token is None or (found.truncated and found.sync_token == token):
            raise VendorGarbage("the calendar server's answer lacks a new sync token")
        members = self._members(found.resources)
        changed = [r.path for r in members if r.status != 404]
        whole = (
            None if seen is None else sorted({*seen, *changed} - {r.path for r in members if r.status == 404})
        )
        done = not found.truncated
        return Moves(
            changed=changed,
            missing=[r.path for r in members if r.status == 404],
            present=frozenset(whole) if whole is not None and done else None,
            cursor={"token": found.sync_token, **({} if whole is None or done else {"seen": whole})},
            more=found.truncated,
        )

    async def _since_etags(self, ctag: str | None, etags: Mapping[str, str]) -> Moves:
        # The tag is read before the list: what moves in between is then found by the next look.
        found = await self._dav.propfind(self.url, (davxml.CTAG,), depth=0)
        now = next((r.text(davxml.CTAG) for r in found.resources if r.path == self.path), None)
        if ctag is not None and now == ctag:
            return Moves(cursor={"ctag": ctag, "etags": dict(etags)})
        listed = await self._dav.propfind(self.url, (davxml.ETAG,), depth=1)
        present = {r.path: r.text(davxml.ETAG) or "" for r in self._members(listed.resources)}
        return Moves(
            changed=[path for path, etag in present.items() if not etag or etags.get(path) != etag],
            missing=[path for path in etags if path not in present],
            present=frozenset(present),
            cursor={"ctag": now, "etags": present},
        )

    def _members(self, resources: Sequence[Resource]) -> list[Resource]:
        members = [r for r in resources if r.path.startswith(self.path) and r.path != self.path]
        if len(members) > MAX_RESOURCES:
            raise VendorRejected(f"the calendar holds more than {MAX_RESOURCES} events: link a smaller one")
        return members
