"""Vendors' webhooks: checked, committed, and only then answered with 2xx."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from services.gateway.arrivals import Arrivals
from services.gateway.http.bodies import json_object, read_body
from services.gateway.http.problems import Problem
from services.gateway.metrics import webhooks_total
from services.gateway.ports import Ports
from services.gateway.store.inbound import Arrival, Endpoint, InboundStore
from services.gateway.store.links import LinkStore, endpoint_hash
from services.gateway.vendors.manifest import Inbound, Manifest
from services.gateway.vendors.port import VendorError, VendorGarbage
from wedsync.clock import Clock
from wedsync.errors import Overloaded, WedSyncError
from wedsync.model.ids import new_id
from wedsync.runtime.metrics import timed_stage
from wedsync.runtime.telemetry import Telemetry

MAX_DELIVERY_KEY = 255
"""Characters of a vendor's own id of a delivery."""

_UNKNOWN = Problem(404, "UNKNOWN_ENDPOINT", "There is no such webhook address; connect the vendor again.")


class Webhooks:
    """`POST /api/integrations/webhooks/{vendor}/{endpoint_key}`."""

    def __init__(
        self,
        *,
        store: InboundStore,
        links: LinkStore,
        ports: Ports,
        arrivals: Arrivals,
        telemetry: Telemetry,
        clock: Clock,
        vendors: frozenset[str],
        max_at_once: int,
        saw: Callable[[Endpoint], None],
    ) -> None:
        self._store, self._links, self._ports, self._arrivals = store, links, ports, arrivals
        self._telemetry, self._clock, self._vendors, self._saw = telemetry, clock, vendors, saw
        self._free = max_at_once

    async def receive(self, request: Request) -> JSONResponse:
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

    async def _bounded(self, request: Request, label: str) -> tuple[JSONResponse, str]:
        if self._free == 0:
            raise Overloaded("Too many webhooks at once.", retry_after=1.0)
        self._free -= 1
        try:
            with timed_stage("gateway", "accept", vendor=label):
                return await self._accept(request)
        finally:
            self._free += 1

    async def _accept(self, request: Request) -> tuple[JSONResponse, str]:
        detected_at, body = self._clock.now(), await read_body(request)
        endpoint = await self._endpoint(request)
        inbound = _inbound(self._ports.manifest(endpoint.vendor))
        _check_content_type(request, inbound)
        event = json_object(body)
        _check_event(request, event, inbound)
        await self._check_shape(endpoint, event)
        delivery_key = _delivery_key(request, event, inbound)
        with self._telemetry.span("accept", new_trace=True, vendor=endpoint.vendor) as span:
            arrival = Arrival(
                webhook_id=new_id(),
                endpoint=endpoint,
                body=body,
                trace_parent=span.traceparent,
                detected_at=detected_at,
                delivery_key=delivery_key,
            )
            fresh = await self._arrivals.accept(arrival)
        self._saw(endpoint)
        if not fresh:
            return JSONResponse({"duplicate": True}, 200), "duplicate"
        return JSONResponse({"webhook_id": arrival.webhook_id}, 202), "accepted"

    async def _endpoint(self, request: Request) -> Endpoint:
        endpoint = await self._store.endpoint(endpoint_hash(request.path_params["endpoint_key"]))
        if endpoint is None or endpoint.vendor != request.path_params["vendor"]:
            raise _UNKNOWN
        return endpoint

    async def _check_shape(self, endpoint: Endpoint, event: Mapping[str, Any]) -> None:
        """Let an adapter read the hint before it is accepted; without a link there is nobody to ask."""
        links = await self._links.links([endpoint.organization_id], integration_id=endpoint.integration_id)
        for link in links[:1]:
            try:
                (await self._ports.open(link)).hints(event)
            except VendorGarbage as error:
                raise Problem(400, "WRONG_SHAPE", f"The event makes no sense: {error}.") from error
            except VendorError:
                return


def _inbound(manifest: Manifest) -> Inbound:
    if manifest.inbound is None:
        raise _UNKNOWN
    return manifest.inbound


def _check_content_type(request: Request, inbound: Inbound) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in inbound.content_types:
        wanted = ", ".join(sorted(inbound.content_types))
        raise Problem(415, "WRONG_CONTENT_TYPE", f"Send {wanted}, not {given or 'nothing'}.")


def _delivery_key(request: Request, event: Mapping[str, Any], inbound: Inbound) -> str | None:
    """Return the vendor's id of the delivery. One that cannot be stored would fail its whole batch."""
    key = inbound.delivery_id.read(request.headers, event) if inbound.delivery_id else None
    if key is not None and (len(key) > MAX_DELIVERY_KEY or not key.isprintable()):
        detail = f"The delivery's id must be at most {MAX_DELIVERY_KEY} printable characters."
        raise Problem(400, "WRONG_SHAPE", detail)
    return key


def _check_event(request: Request, event: Mapping[str, Any], inbound: Inbound) -> None:
    """Refuse an event we never asked for; a vendor that names none is read as a hint."""
    name = request.query_params.get("event") or event.get("event")
    if name is not None and not isinstance(name, str):
        raise Problem(400, "WRONG_TYPE", "event must be text.")
    if name is not None and name not in inbound.events:
        raise Problem(422, "UNKNOWN_EVENT", f"Known events: {', '.join(sorted(inbound.events))}.")
