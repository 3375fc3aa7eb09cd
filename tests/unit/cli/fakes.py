"""The four services, small enough to say in each test what they answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from wedsync.api.common.v1 import item_pb2
from wedsync.api.conflicts.v1 import service_pb2 as conflicts_pb2
from wedsync.api.conflicts.v1 import service_pb2_grpc as conflicts_grpc
from wedsync.api.gateway.v1 import (
    delivery_pb2,
    delivery_pb2_grpc,
    integration_pb2,
    integration_pb2_grpc,
    link_pb2,
    link_pb2_grpc,
)
from wedsync.api.health.v1 import service_pb2 as health_service_pb2
from wedsync.api.health.v1 import service_pb2_grpc as health_grpc
from wedsync.api.sync.v1 import service_pb2 as sync_pb2
from wedsync.api.sync.v1 import service_pb2_grpc as sync_grpc
from wedsync.api.sync.v1 import wedding_pb2
from wedsync.convert import item_to_message, logged_change_to_message, to_status
from wedsync.errors import Unauthenticated, UnknownWedding, WedSyncError
from wedsync.model.changes import (
    Change,
    ChangeKind,
    ChangeResult,
    Collision,
    FieldResult,
    FieldState,
    ItemState,
    Outcome,
    Source,
)
from wedsync.model.items import ItemKind

KEY = "wsk_demo_secret"
WEDDING = "0198c7a2-0000-7000-8000-000000000001"
ITEM = "0198c7a2-0000-7000-8000-000000000002"
CHANGE = "0198c7a2-0000-7000-8000-000000000003"
WEBHOOK = "0198c7a2-0000-7000-8000-000000000004"
NOON = datetime(2027, 6, 1, 12, tzinfo=UTC)
TAVE = Source(
    organization_id="org",
    actor="integration",
    link_id="link",
    vendor="tave",
    record_id="event/1",
    event_id=WEBHOOK,
)
ANN = Source(organization_id="org", actor="ann")


@dataclass
class System:
    """What the services answer; a test changes what it is about."""

    key: str = KEY
    weddings: list[wedding_pb2.Wedding] = field(default_factory=lambda: [wedding()])
    webhooks: list[delivery_pb2.Webhook] = field(default_factory=list)
    deliveries: list[delivery_pb2.Delivery] = field(default_factory=list)
    journeys: dict[str, delivery_pb2.Journey] = field(default_factory=dict)
    replayed: list[delivery_pb2.ReplayedWebhook] = field(default_factory=list)
    plan: link_pb2.LinkPlan = field(default_factory=link_pb2.LinkPlan)
    links: list[link_pb2.Link] = field(default_factory=list)
    latency: list[delivery_pb2.StageLatency] = field(default_factory=list)
    conflicts: list[conflicts_pb2.Conflict] = field(default_factory=list)
    health: list[health_service_pb2.IntegrationHealth] = field(default_factory=list)
    rewound: sync_pb2.RewindWeddingResponse = field(default_factory=sync_pb2.RewindWeddingResponse)
    asked: list[Any] = field(default_factory=list)
    """The requests, in order."""

    def check(self, request: Any, context: Any) -> None:
        """Take the request down, and refuse a wrong key."""
        self.asked.append(request)
        if f"Bearer {self.key}" != dict(context.invocation_metadata()).get("authorization"):
            refuse(context, Unauthenticated())


def refuse(context: Any, error: WedSyncError) -> None:
    """End the call with the error."""
    context.abort_with_status(rpc_status.to_status(to_status(error)))


class Sync(sync_grpc.SyncServiceServicer):
    """Weddings and one log of two entries."""

    def __init__(self, system: System) -> None:
        self._system = system

    def ListWeddings(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return sync_pb2.ListWeddingsResponse(weddings=self._system.weddings)

    def GetWedding(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        known = {known.wedding_id: known for known in self._system.weddings}
        if request.wedding_id not in known:
            refuse(context, UnknownWedding())
        return known[request.wedding_id]

    def CreateWedding(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return request.wedding

    def ListItems(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return sync_pb2.ListItemsResponse(items=[item_to_message(WEDDING, item())])

    def ListChanges(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return sync_pb2.ListChangesResponse(changes=_the_log())

    def PauseWedding(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return wedding_pb2.Wedding(wedding_id=WEDDING, paused=True, pause_reason=request.reason)

    def ResumeWedding(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return wedding()

    def RewindWedding(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return self._system.rewound

    def WatchWedding(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        yield sync_pb2.WatchWeddingResponse(sequence=0)
        for entry in _the_log():
            yield sync_pb2.WatchWeddingResponse(change=entry, sequence=entry.sequence)


class Deliveries(delivery_pb2_grpc.DeliveryServiceServicer):
    """Webhooks, deliveries and journeys."""

    def __init__(self, system: System) -> None:
        self._system = system

    def ListWebhooks(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return delivery_pb2.ListWebhooksResponse(webhooks=self._system.webhooks)

    def ListDeliveries(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return delivery_pb2.ListDeliveriesResponse(deliveries=self._system.deliveries)

    def ReplayWebhooks(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return delivery_pb2.ReplayWebhooksResponse(webhooks=self._system.replayed)

    def RetryDeliveries(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return delivery_pb2.RetryDeliveriesResponse(deliveries=self._system.deliveries)

    def GetJourney(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return self._system.journeys[request.journey_id]

    def GetLatency(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return delivery_pb2.GetLatencyResponse(stages=self._system.latency)


class Integrations(integration_pb2_grpc.IntegrationServiceServicer):
    """One vendor."""

    def __init__(self, system: System) -> None:
        self._system = system

    def ListVendors(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return integration_pb2.ListVendorsResponse(vendors=[vendor()])


class Links(link_pb2_grpc.LinkServiceServicer):
    """One plan, and what is linked."""

    def __init__(self, system: System) -> None:
        self._system = system

    def PlanLink(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return self._system.plan

    def ListLinks(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return link_pb2.ListLinksResponse(links=self._system.links)

    def PauseLink(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return self._system.links[0]

    def ResumeLink(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return self._system.links[0]


class Conflicts(conflicts_grpc.ConflictServiceServicer):
    """What is in dispute."""

    def __init__(self, system: System) -> None:
        self._system = system

    def ListConflicts(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return conflicts_pb2.ListConflictsResponse(conflicts=self._system.conflicts)

    def GetConflict(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return self._system.conflicts[0]

    def ResolveConflict(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return self._system.conflicts[-1]


class Health(health_grpc.HealthServiceServicer):
    """How the accounts are doing."""

    def __init__(self, system: System) -> None:
        self._system = system

    def ListIntegrationHealth(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        self._system.check(request, context)
        return health_service_pb2.ListIntegrationHealthResponse(integrations=self._system.health)


@contextmanager
def serving(system: System, *, healthy: bool = True) -> Iterator[str]:
    """Serve all four services on one free port and yield its address."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    sync_grpc.add_SyncServiceServicer_to_server(Sync(system), server)  # type: ignore[abstract]  # no more is asked
    delivery_pb2_grpc.add_DeliveryServiceServicer_to_server(Deliveries(system), server)
    integration_pb2_grpc.add_IntegrationServiceServicer_to_server(Integrations(system), server)  # type: ignore[abstract]  # no more is asked
    link_pb2_grpc.add_LinkServiceServicer_to_server(Links(system), server)  # type: ignore[abstract]  # no more is asked
    conflicts_grpc.add_ConflictServiceServicer_to_server(Conflicts(system), server)  # type: ignore[abstract]  # no more is asked
    health_grpc.add_HealthServiceServicer_to_server(Health(system), server)  # type: ignore[abstract]  # no more is asked
    states = health.HealthServicer()
    serving_status = health_pb2.HealthCheckResponse
    states.set("", serving_status.SERVING if healthy else serving_status.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(5)


def environment(target: str, key: str = KEY) -> dict[str, str]:
    """Return the variables that name one address for all four services."""
    names = ("GATEWAY", "SYNC", "CONFLICTS", "HEALTH")
    return {**{f"WEDSYNC_{name}_TARGET": target for name in names}, "WEDSYNC_API_KEY": key}


def stamp(seconds: float) -> Timestamp:
    """Return a moment so many seconds after noon."""
    message = Timestamp()
    message.FromDatetime(NOON + timedelta(seconds=seconds))
    return message


def wedding() -> wedding_pb2.Wedding:
    """Return a wedding."""
    day = Date(year=2027, month=6, day=12)
    return wedding_pb2.Wedding(
        wedding_id=WEDDING, title="Ada & Grace", date=day, time_zone="Europe/Paris", sequence=7
    )


def item() -> ItemState:
    """Return an item with a field in dispute, a set of labels, and a field that was cleared."""
    dispute = Collision(sequence=3, proposed="Garden", proposed_by=TAVE, current_by=ANN)
    return ItemState(
        item_id=ITEM,
        kind=ItemKind.TIMELINE_EVENT,
        life=FieldState(value=None, revision=1, source=ANN),
        fields={
            "title": FieldState(value="First dance", revision=1, source=TAVE),
            "location": FieldState(value="Terrace", revision=2, source=ANN, collision=dispute),
            "tags": FieldState(value=("music", "party"), revision=1, source=ANN),
            "notes": FieldState(value=None, revision=4, source=ANN),
        },
    )


def _the_log() -> list[Any]:
    return [logged(1, TAVE, Outcome.APPLIED), logged(2, ANN, Outcome.CONFLICTED)]


def logged(sequence: int, source: Source, outcome: Outcome) -> Any:
    """Return one entry of a log."""
    change = Change(
        change_id=CHANGE,
        item_id=ITEM,
        item_kind=ItemKind.TIMELINE_EVENT,
        kind=ChangeKind.UPDATE,
        source=source,
    )
    field_result = FieldResult(path="title", outcome=outcome, revision=1, proposed="First dance")
    result = ChangeResult(
        change_id=CHANGE, outcome=outcome, sequence=sequence, fields=(field_result,), committed_at=NOON
    )
    return logged_change_to_message(wedding_id=WEDDING, change=change, result=result)


def vendor() -> integration_pb2.Vendor:
    """Return a vendor that can be written to, and one kind that can only be read."""
    return integration_pb2.Vendor(
        vendor="tave",
        display_name="Tave",
        bridge_class="rest_hook",
        capabilities=[
            integration_pb2.Capability(kind=item_pb2.ITEM_KIND_TIMELINE_EVENT, create=True, update=True),
            integration_pb2.Capability(kind=item_pb2.ITEM_KIND_CONTACT),
        ],
        credential_names=["api_key"],
        scope_names=["job_id"],
    )


def journey(*stages: tuple[str, float, float | None], complete: bool = True) -> delivery_pb2.Journey:
    """Return a journey whose stages began and ended so many seconds after noon."""
    return delivery_pb2.Journey(
        journey_id=CHANGE,
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        complete=complete,
        stages=[
            delivery_pb2.Stage(
                name=name,
                start_time=stamp(start),
                end_time=None if end is None else stamp(end),
                detail=f"{name} it is",
            )
            for name, start, end in stages
        ],
    )


def run_file_content(**changes: Any) -> Mapping[str, Any]:
    """Return what a running system writes down, with changes."""
    return {
        "version": 1,
        "pid": 1,
        "home": "/nowhere",
        "http": "http://127.0.0.1:9",
        "grpc": {"gateway": "127.0.0.1:1", "sync": "127.0.0.1:2"},
        "demo_key_file": "/nowhere/demo_key",
        "sandbox": {
            "tave": "http://127.0.0.1:3",
            "radicale": "http://127.0.0.1:4",
            "slack": "http://127.0.0.1:5",
            "stripe": "http://127.0.0.1:6/v1",
        },
        **changes,
    }
