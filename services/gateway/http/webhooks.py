"""Vendors' webhooks: checked, committed, and only then answered with 2xx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from services.gateway.arrivals import Arrivals
from services.gateway.channels import Kept, proves
from services.gateway.http.bodies import json_object, read_body
from services.gateway.http.hooks import Asked, answer_to, header_answer, payload, read_asked, text_answer
from services.gateway.http.problems import Problem
from services.gateway.metrics import webhooks_total
from services.gateway.poison import Unexpected, contained
from services.gateway.ports import Ports
from services.gateway.records import Link
from services.gateway.rush import Rush
from services.gateway.signatures.checks import SignatureChecks
from services.gateway.signatures.webhook import SignatureRefused, Webhook
from services.gateway.store.channels import ChannelStore
from services.gateway.store.inbound import Arrival, Endpoint
from services.gateway.store.link_rows import InScope
from services.gateway.store.links import endpoint_hash
from services.gateway.store.secrets import Door, SecretStore
from services.gateway.vendors.inbound import ChannelPlaces, Inbound, Notice, notices
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import VendorError, VendorGarbage
from wedsync.clock import Clock
from wedsync.errors import Overloaded, WedSyncError
from wedsync.model.ids import new_id
from wedsync.runtime.metrics import timed_stage
from wedsync.runtime.telemetry import Telemetry

_UNKNOWN = Problem(404, "UNKNOWN_ENDPOINT", "There is no such webhook address; connect the vendor again.")

_AS_IT_IS = {"X-Content-Type-Options": "nosniff"}
"""No browser takes a text for something else."""


class Webhooks:
    """`POST /api/integrations/webhooks/{vendor}/{endpoint_key}`."""

    def __init__(
        self,
        *,
        secrets: SecretStore,
        checks: SignatureChecks,
        channels: ChannelStore,
        ports: Ports,
        arrivals: Arrivals,
        telemetry: Telemetry,
        clock: Clock,
        vendors: frozenset[str],
        public_url: str | None,
        max_at_once: int,
        rush: Rush,
        saw: Callable[[Endpoint], None],
    ) -> None:
        self._secrets, self._arrivals = secrets, arrivals
        self._checks, self._public_url = checks, public_url
        self._channels, self._ports = channels, ports
        self._telemetry, self._clock, self._vendors, self._saw = telemetry, clock, vendors, saw
        self._free, self._rush = max_at_once, rush

    async def receive(self, request: Request) -> Response:
        """Accept one webhook, or say what is wrong with it."""
        vendor = request.path_params["vendor"]
        label = vendor if vendor in self._vendors else "unknown"
        try:
            answer, outcome = await self._bounded(request, label)
        except Problem as problem:
            webhooks_total.labels(label, problem.code).inc()
            raise
        except WedSyncError as error:
            webhooks_total.labels(label, error.reason).inc()
            raise
        webhooks_total.labels(label, outcome).inc()
        return answer

    async def _bounded(self, request: Request, label: str) -> tuple[Response, str]:
        if self._free == 0:
            raise Overloaded("Too many webhooks at once.", retry_after=1.0)
        self._free -= 1
        try:
            with timed_stage("gateway", "accept", vendor=label):
                return await self._accept(request)
        finally:
            self._free += 1

    async def _accept(self, request: Request) -> tuple[Response, str]:
        detected_at, body = self._clock.now(), await read_body(request)
        early, wanted = self._glance(request, body)
        door = await self._door(request, wanted)
        endpoint = door.endpoint
        inbound = _inbound(self._ports.manifest(endpoint.vendor))
        if (word := text_answer(request.query_params, inbound)) is not None:
            self._saw(endpoint)
            return PlainTextResponse(word, headers=_AS_IT_IS), "handshake"
        if (secret := header_answer(request.headers, inbound)) is not None:
            return await self._adopt(endpoint, inbound, secret), "handshake"
        if inbound.channel is not None:
            return await self._told(request, endpoint, inbound, inbound.channel, body, detected_at)
        content_type = _content_type(request, inbound)
        await self._believe(door, inbound, self._webhook(request, body, content_type, inbound))
        content = payload(body, content_type, inbound)
        event = json_object(content) if early is None else early
        if (greeting := answer_to(event, inbound)) is not None:
            self._saw(endpoint)
            return JSONResponse(greeting, 200), "handshake"
        asked = read_asked(request.headers, request.query_params, event, inbound)
        links = [] if asked.ignored else await self._concerned(door.links, event)
        return await self._keep(endpoint, inbound, content, detected_at, asked, links=links)

    async def _told(
        self,
        request: Request,
        endpoint: Endpoint,
        inbound: Inbound,
        places: ChannelPlaces,
        body: bytes,
        detected_at: datetime,
    ) -> tuple[JSONResponse, str]:
        """Take a notification: it says by which channels it came, and mostly nothing else."""
        content = body or b"{}"
        if body:
            _content_type(request, inbound)
        event = json_object(content)
        asked = read_asked(request.headers, request.query_params, event, inbound)
        greeting = bool(places.greeting) and asked.event_name == places.greeting
        told = notices(places, request.headers, request.query_params, event)
        kept = await self._come_by(endpoint, told, greeting=greeting)
        await self._end(endpoint, kept, told)
        if greeting:
            self._saw(endpoint)
            return JSONResponse({"acknowledged": True}, inbound.accepted_status), "handshake"
        if asked.delivery_key is not None:
            # The vendor numbers the notifications of each channel.
            asked = replace(asked, delivery_key=f"{kept[0].channel.channel_id}:{asked.delivery_key}")
        links = sorted({each.link_id for each in kept})
        return await self._keep(endpoint, inbound, content, detected_at, asked, wakes=links)

    async def _come_by(self, endpoint: Endpoint, told: Sequence[Notice], *, greeting: bool) -> list[Kept]:
        """Return the channels it came by; refuse what came by none of ours."""
        names = {notice.channel_id for notice in told}
        kept = await self._channels.find(endpoint.organization_id, endpoint.integration_id, names)
        proved = [k for k in kept for notice in told if proves(k, notice, greeting=greeting)]
        if not proved:
            detail = "No open channel of this address has this id, secret and resource."
            raise Problem(401, "CHANNEL_UNKNOWN", detail)
        return proved

    async def _end(self, endpoint: Endpoint, kept: Sequence[Kept], told: Sequence[Notice]) -> None:
        """Have the next channel opened where one says that it ends."""
        ending = {notice.channel_id for notice in told if notice.ends}
        for each in kept:
            if each.channel.channel_id in ending:
                await self._channels.end_soon(endpoint.organization_id, each)

    async def _believe(self, door: Door, inbound: Inbound, webhook: Webhook) -> None:
        """Refuse what is not the vendor's, over the bytes as they came."""
        try:
            await self._checks.check(door.secrets, inbound, webhook)
        except SignatureRefused as refused:
            raise Problem(401, refused.code, str(refused)) from refused

    def _webhook(self, request: Request, body: bytes, content_type: str, inbound: Inbound) -> Webhook:
        path, query = request.scope["raw_path"].decode("latin-1"), request.url.query
        address = f"{self._public_url.rstrip('/')}{path}" if self._public_url else ""
        return Webhook(
            method=request.method,
            url=f"{address}?{query}" if address and query else address,
            headers=request.headers,
            query=request.query_params,
            body=body,
            event=lambda: json_object(payload(body, content_type, inbound)),
        )

    async def _adopt(self, endpoint: Endpoint, inbound: Inbound, secret: str) -> Response:
        """Keep the secret that the vendor hands over, and say it back; the first one only."""
        if not await self._secrets.adopt(endpoint.organization_id, endpoint.integration_id, secret=secret):
            detail = "This address has a secret already; for another one, connect the vendor again."
            raise Problem(401, "HANDSHAKE_REFUSED", detail)
        self._saw(endpoint)
        return Response(status_code=200, headers={inbound.echoed_header: secret})

    async def _keep(
        self,
        endpoint: Endpoint,
        inbound: Inbound,
        content: bytes,
        detected_at: datetime,
        asked: Asked,
        wakes: Sequence[str] = (),
        links: Sequence[Link] | None = None,
    ) -> tuple[JSONResponse, str]:
        with self._telemetry.span("accept", new_trace=True, vendor=endpoint.vendor) as span:
            arrival = Arrival(
                webhook_id=new_id(),
                endpoint=endpoint,
                body=content,
                trace_parent=span.traceparent,
                detected_at=detected_at,
                delivery_key=asked.delivery_key,
                event_name=asked.event_name,
                ignored=asked.ignored,
                wakes=wakes,
                links=links or None,
            )
            with self._rush.one_more():
                known_as = await self._arrivals.accept(arrival)
        self._saw(endpoint)
        if known_as != arrival.webhook_id:
            return JSONResponse({"duplicate": True, "webhook_id": known_as}, 200), "duplicate"
        return JSONResponse({"webhook_id": known_as}, inbound.accepted_status), "accepted"

    def _glance(self, request: Request, body: bytes) -> tuple[Mapping[str, Any] | None, InScope | None]:
        """Return the event, before it is believed, and its links, to be asked for with its address."""
        vendor = request.path_params["vendor"]
        inbound = self._ports.manifest(vendor).inbound if vendor in self._vendors else None
        if inbound is None or inbound.channel is not None:
            return None, None
        try:
            event = json_object(payload(body, _content_type(request, inbound), inbound))
        except Problem:
            return None, None  # it is refused in its turn
        return event, InScope.of(inbound.scope_of(event))

    async def _door(self, request: Request, wanted: InScope | None) -> Door:
        key_hash = endpoint_hash(request.path_params["endpoint_key"])
        # Only who waits for us counts: whoever sends slowly must not be able to hold up all the others.
        with self._rush.one_more():
            door = await self._secrets.door(key_hash, wanted)
        if door is None or door.endpoint.vendor != request.path_params["vendor"]:
            raise _UNKNOWN
        return door

    async def _concerned(self, links: Sequence[Link], event: Mapping[str, Any]) -> Sequence[Link]:
        """Return whose event it is, once an adapter has read it; without a link there is nobody to ask."""
        for link in links[:1]:
            await self._check_shape(link, event)
        return links

    async def _check_shape(self, link: Link, event: Mapping[str, Any]) -> None:
        try:
            with contained():
                port = await self._ports.open(link)
                port.hints(event)
                port.decisions(event)
        except Unexpected:
            return  # nobody is at fault yet: it is kept, and parked where a person sees it
        except VendorGarbage as error:
            raise Problem(400, "WRONG_SHAPE", f"The event makes no sense: {error}.") from error
        except VendorError:
            return


def _inbound(manifest: Manifest) -> Inbound:
    if manifest.inbound is None:
        raise _UNKNOWN
    return manifest.inbound


def _content_type(request: Request, inbound: Inbound) -> str:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in inbound.content_types:
        wanted = ", ".join(sorted(inbound.content_types))
        raise Problem(415, "WRONG_CONTENT_TYPE", f"Send {wanted}, not {given or 'nothing'}.")
    return given
