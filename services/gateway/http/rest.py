"""REST for people's own scripts: connect, look, nudge."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from services.gateway.accounts import Accounts, writer
from services.gateway.http.bodies import json_object, read_body
from services.gateway.http.problems import Problem
from services.gateway.records import Link
from services.gateway.store.journeys import JourneyStore
from services.gateway.store.links import LinkStore
from wedsync.errors import NotFound, PermissionDenied
from wedsync.runtime.principal import KeyRing, Principal, Scope
from wedsync.runtime.requests import require_id


class Rest:
    """Handlers that need an API key."""

    def __init__(
        self, *, keys: KeyRing, accounts: Accounts, links: LinkStore, journeys: JourneyStore
    ) -> None:
        self._keys, self._accounts, self._links, self._journeys = keys, accounts, links, journeys

    async def connect(self, request: Request) -> JSONResponse:
        """`POST /api/integrations/vendor/connect`: keep an account."""
        principal = writer(self._caller(request))
        wanted = json_object(await read_body(request))
        connected = await self._accounts.connect(
            principal,
            request_id=_text(wanted, "request_id"),
            vendor=_text(wanted, "vendor"),
            credentials=_texts(wanted, "credentials"),
            base_url=_text(wanted, "base_url"),
        )
        integration = connected.integration
        body = {
            "integration_id": integration.integration_id,
            "vendor": integration.vendor,
            "base_url": integration.base_url,
            "webhook_path": connected.webhook_path,
        }
        return JSONResponse(body, 201)

    async def status(self, request: Request) -> JSONResponse:
        """`GET /api/integrations/sync/{wedding_id}`: how each of the caller's links is doing."""
        principal, links = await self._links_of(request)
        due = await self._journeys.due(principal.organization_id, links[0].wedding_id)
        return JSONResponse({"links": [_link(link, due.get(link.link_id, 0)) for link in links]})

    async def sync_now(self, request: Request) -> JSONResponse:
        """`POST /api/integrations/sync/{wedding_id}`: look at every vendor now."""
        principal, links = await self._links_of(request)
        writer(principal)
        active = [link for link in links if link.active]
        for link in active:
            await self._accounts.sync_now(principal, link.link_id)
        return JSONResponse({"links": [link.link_id for link in active]}, 202)

    async def _links_of(self, request: Request) -> tuple[Principal, list[Link]]:
        principal = self._caller(request)
        wedding_id = require_id("wedding_id", request.path_params["wedding_id"])
        found = await self._links.links([principal.organization_id], wedding_id=wedding_id)
        links = [link for link in found if not link.ended]
        if not links:
            raise NotFound("No vendor of yours is linked to this wedding.")
        return principal, links

    def _caller(self, request: Request) -> Principal:
        principal = self._keys.verify(request.headers.get("authorization", ""))
        if not principal.may(Scope.READ):
            raise PermissionDenied("The caller's key lacks the scope `read`.")
        return principal


def _link(link: Link, due: int) -> dict[str, Any]:
    return {
        "link_id": link.link_id,
        "vendor": link.vendor,
        "state": "active" if link.active else "paused",
        "reason": link.reason,
        "scanned_at": link.scanned_at.isoformat() if link.scanned_at else None,
        "deliveries_due": due,
    }


def _text(body: Any, name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise Problem(400, "WRONG_TYPE", f"{name} must be text.")
    return value


def _texts(body: Any, name: str) -> dict[str, str]:
    value = body.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise Problem(400, "WRONG_TYPE", f"{name} must be an object of texts.")
    return value
