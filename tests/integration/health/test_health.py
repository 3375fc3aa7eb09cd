"""What services saw of a vendor adds up to freshness and success rate, for its organization only."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.integration.health.conftest import Running
from wedsync.api.health.v1 import service_pb2
from wedsync.convert.changes import timestamp
from wedsync.errors import InvalidRequest, NotFound, PermissionDenied
from wedsync.model.ids import new_id


async def record(running: Running, *observations: service_pb2.Observation) -> None:
    """Report as the gateway does."""
    await running.client("gateway").record_observations(observations)


async def health(running: Running, integration: str) -> service_pb2.IntegrationHealth:
    """Ask as the studio."""
    return await running.client("studio").get_integration_health(integration)


async def test_observations_become_freshness_and_success_rate(running: Running) -> None:
    """Three successes and a failure read as a rate of 0.75, and freshness grows with the clock."""
    seen = running.observation(successes=3, failures=1, last_error="VendorUnavailable")
    await record(running, seen)
    running.clock.advance(90)
    found = await health(running, seen.integration_id)
    assert (found.success_rate, found.attempts, found.freshness_seconds) == (0.75, 4, 90.0)
    assert (found.vendor, found.last_error) == ("tave", "VendorUnavailable")
    assert found.last_success_time == found.last_failure_time == seen.observe_time


async def test_an_integration_nobody_observed_is_not_found(running: Running) -> None:
    """Health of an integration is NOT_FOUND until the first observation of it."""
    with pytest.raises(NotFound):
        await health(running, new_id())


async def test_the_same_observation_counts_once(running: Running) -> None:
    """An observation id reported again, in one batch, later or with another time, counts once."""
    seen = running.observation(successes=2)
    await record(running, seen, seen)
    await record(running, seen)
    running.clock.advance(5)
    again = service_pb2.Observation()
    again.CopyFrom(seen)
    again.observe_time.CopyFrom(timestamp(running.clock.now()))
    await record(running, again)
    assert (await health(running, seen.integration_id)).attempts == 2


async def test_only_the_last_hour_counts(running: Running) -> None:
    """Tries older than an hour no longer count; the last success stays known, the rate is unset."""
    seen = running.observation()
    await record(running, seen)
    running.clock.advance(3601)
    found = await health(running, seen.integration_id)
    assert (found.attempts, found.HasField("success_rate")) == (0, False)
    assert found.freshness_seconds == 3601
    assert found.last_success_time == seen.observe_time


async def test_reports_may_arrive_in_any_order(running: Running) -> None:
    """A report that arrives late never takes the place of a newer one."""
    integration, now = new_id(), running.clock.now()
    new = running.observation(integration_id=integration, failures=1, last_error="new")
    old = running.observation(
        integration_id=integration,
        failures=1,
        last_error="old",
        observe_time=timestamp(now - timedelta(minutes=5)),
    )
    await record(running, new)
    await record(running, old)
    found = await health(running, integration)
    assert (found.last_error, found.last_success_time) == ("new", new.observe_time)
    assert found.attempts == 4


async def test_a_success_after_a_failure_keeps_how_the_failure_read(running: Running) -> None:
    """The last failure stays readable when later tries work."""
    failed = running.observation(successes=0, failures=1, last_error="VendorAuthFailed\n\x00" + "x" * 600)
    await record(running, failed)
    running.clock.advance(1)
    await record(running, running.observation(integration_id=failed.integration_id))
    found = await health(running, failed.integration_id)
    assert found.last_error.startswith("VendorAuthFailed  x")
    assert len(found.last_error) == 500
    assert found.last_failure_time == failed.observe_time


async def test_a_vendor_that_never_worked_is_as_stale_as_it_is_known(running: Running) -> None:
    """With failures only there is no last success, and freshness counts from the first observation."""
    failed = running.observation(successes=0, failures=2, last_error="VendorAuthFailed")
    await record(running, failed)
    running.clock.advance(60)
    found = await health(running, failed.integration_id)
    assert not found.HasField("last_success_time")
    assert (found.freshness_seconds, found.success_rate) == (60, 0)


async def test_a_reporter_whose_clock_is_ahead_does_not_make_a_vendor_fresh(running: Running) -> None:
    """An observation from the future counts as of now."""
    ahead = running.observation(observe_time=timestamp(running.clock.now() + timedelta(days=2)))
    await record(running, ahead)
    running.clock.advance(10)
    assert (await health(running, ahead.integration_id)).freshness_seconds == 10


async def test_old_observations_are_forgotten_and_not_taken_again(running: Running) -> None:
    """What is older than a day is neither kept nor counted when it is repeated."""
    integration = new_id()
    old = running.observation(integration_id=integration)
    await record(running, old)
    running.clock.advance(25 * 3600)
    await record(running, running.observation(integration_id=integration))
    await record(running, old)
    assert (await health(running, integration)).attempts == 1


async def test_only_the_owning_organization_sees_an_integration(running: Running) -> None:
    """Another organization neither gets nor lists an integration's health."""
    seen = running.observation()
    await record(running, seen)
    with pytest.raises(NotFound):
        await running.client("florist").get_integration_health(seen.integration_id)
    foreign = [h.integration_id async for h in running.client("florist").list_integration_health()]
    assert seen.integration_id not in foreign


async def test_lists_come_in_pages(running: Running) -> None:
    """Pages joined hold each of the caller's integrations once, in the order of their ids."""
    seen = [running.observation(organization_id="florist", vendor="apple_calendar") for _ in range(7)]
    await record(running, *seen)
    listed = [h async for h in running.client("florist").list_integration_health(page_size=3)]
    assert [h.integration_id for h in listed] == sorted(o.integration_id for o in seen)
    assert {h.vendor for h in listed} == {"apple_calendar"}


async def test_reports_at_the_same_time_add_up(running: Running) -> None:
    """Batches about the same integrations, sent at once in opposite order, all count and none deadlocks."""
    integrations = [new_id() for _ in range(20)]
    batches = [
        [running.observation(integration_id=each) for each in integrations[:: 1 if turn % 2 else -1]]
        for turn in range(8)
    ]
    await asyncio.gather(*(record(running, *batch) for batch in batches))
    assert [(await health(running, each)).attempts for each in integrations] == [8] * 20


async def test_only_services_report(running: Running) -> None:
    """A caller's own key cannot record, and a key without read cannot look."""
    for key in ("studio", "writer"):
        with pytest.raises(PermissionDenied):
            await running.client(key).record_observations([running.observation()])
    with pytest.raises(PermissionDenied):
        await running.client("writer").get_integration_health(new_id())


async def test_one_bad_observation_keeps_the_batch_out(running: Running) -> None:
    """A batch with a malformed observation is refused naming its field, and none of it is counted."""
    good = running.observation()
    with pytest.raises(InvalidRequest) as refused:
        await record(running, good, running.observation(vendor=""))
    assert [v.field for v in refused.value.violations] == ["observations[1].vendor"]
    with pytest.raises(NotFound):
        await health(running, good.integration_id)
