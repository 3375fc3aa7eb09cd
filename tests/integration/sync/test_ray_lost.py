"""Ray goes away, and comes back."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.sync.conftest import Service, new_wedding
from tests.unit.sync.builders import create
from wedsync.errors import Overloaded, Unavailable
from wedsync.model.changes import Outcome
from wedsync.runtime.embedded.ray import EmbeddedRay

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def own_ray() -> Iterator[EmbeddedRay]:
    """A Ray nobody else uses."""
    with tempfile.TemporaryDirectory(prefix="wedsync-ray-") as directory:
        home = Path(directory)
        server = EmbeddedRay(home, home / "secrets", home / "ray.log")
        yield server
        server.stop()


@pytest.fixture(scope="module")
def embedded_ray(own_ray: EmbeddedRay) -> tuple[str, dict[str, str]]:
    """That one, for the service."""
    return own_ray.start(), own_ray.environment


async def test_a_lost_ray_is_not_ready_and_is_found_again(service: Service, own_ray: EmbeddedRay) -> None:
    """Without Ray the service says NOT_SERVING and refuses edits as retryable; then all is well."""
    made = create()
    async with service.client() as sync:
        wedding = await new_wedding(sync)
        await sync.apply_changes(wedding.wedding_id, [made])
        await asyncio.to_thread(own_ray.stop)
        with pytest.raises((Unavailable, Overloaded)):
            await sync.apply_changes(wedding.wedding_id, [create()], timeout=30)
        assert (await sync.get_wedding(wedding.wedding_id)).sequence == 1
        await _until_health(service, serving=False)
        await asyncio.to_thread(own_ray.start)
        await _until_health(service, serving=True)
        (result,) = await sync.apply_changes(wedding.wedding_id, [create()], timeout=30)
        assert (result.outcome, result.sequence) == (Outcome.APPLIED, 2)


async def _until_health(service: Service, *, serving: bool) -> None:
    async with grpc.aio.insecure_channel(service.target) as channel, asyncio.timeout(45):
        stub = health_pb2_grpc.HealthStub(channel)
        async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
            if (answer.status == SERVING) is serving:
                return
