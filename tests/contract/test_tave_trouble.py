"""The Tave adapter when the vendor, the line or we ourselves do not behave."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.vendors.port import (
    CursorLost,
    VendorAuthFailed,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
)
from tests.support.tave_bench import CEREMONY, EVENT, PAYMENT, Bench
from wedsync.model.ids import new_id
from wedsync.testing.tave import StudioSettings


async def test_one_senseless_object_parks_alone(bench: Bench) -> None:
    """An event in an unknown zone is reported as bad with its reason; its neighbour is still shown."""
    bad = await bench.adapter().create(EVENT, new_id(), CEREMONY)
    good = await bench.adapter().create(EVENT, new_id(), {"title": "Dinner"})
    await bench.control("PATCH", f"/objects/{bad.record_id}", {"timezoneName": "Moon/Crater"})
    scan = await bench.adapter().scan(None)
    assert [b.record_id for b in scan.bad] == [bad.record_id]
    assert "Moon/Crater" in scan.bad[0].reason
    assert good.record_id in {record.record_id for record in scan.records}
    with pytest.raises(VendorGarbage):
        await bench.adapter().read(bad.record_id)


async def test_a_busy_vendor_says_when_to_come_back(bench: Bench) -> None:
    """A 429 is transient, carries the vendor's waiting time, and the write is known not to have happened."""
    await bench.fault(method="POST", path="/event", status=429, retry_after=7)
    with pytest.raises(VendorUnavailable) as busy:
        await bench.adapter().create(EVENT, new_id(), CEREMONY)
    assert (busy.value.retry_after, busy.value.unknown_outcome) == (7, False)
    assert bench.studio.objects["event"] == {}


@pytest.mark.parametrize("fault", [{"drop": True}, {"body": "<html>oops"}, {"body": "[]"}, {"status": 502}])
async def test_a_create_whose_answer_is_lost_is_found_instead_of_repeated(
    bench: Bench, fault: dict[str, Any]
) -> None:
    """A create that was carried out but answered by a broken line or garbage is unknown, then found."""
    adapter, item = bench.adapter(), new_id()
    await bench.fault(method="POST", path="/event", apply=True, **fault)
    with pytest.raises(VendorUnavailable) as lost:
        await adapter.create(EVENT, item, CEREMONY)
    assert lost.value.unknown_outcome
    found = await adapter.find(EVENT, item)
    assert found is not None
    assert found.fields["title"] == "Ceremony"
    assert len(bench.studio.objects["event"]) == 1


@pytest.mark.parametrize(
    "body",
    ["not json", "[1]", '{"items": 3}', '{"items": [1], "meta": {"totalPages": 1, "totalItems": 1}}', "{}"],
)
async def test_a_garbage_list_is_garbage(bench: Bench, body: str) -> None:
    """A list that is no list stops the scan as garbage, so no absence is believed."""
    await bench.fault(method="GET", path="/event", body=body)
    with pytest.raises(VendorGarbage):
        await bench.adapter().scan(None)


async def test_a_refusal_says_what_the_vendor_said(bench: Bench) -> None:
    """A validation error is terminal and names the field, wherever the answer puts it."""
    adapter = bench.adapter()
    with pytest.raises(VendorRejected, match="descriptionHtml"):
        await adapter.create(EVENT, new_id(), {"title": "x", "notes": "y" * 1_000_000})
    answers = ['{"info": {"errors": {"name": ["bad"]}}}', '{"title": "bad name"}', "bad name"]
    for answer, said in zip(answers, ("bad", "bad name", "status 400"), strict=True):
        await bench.fault(method="POST", path="/event", status=400, body=answer)
        with pytest.raises(VendorRejected, match=said):
            await adapter.create(EVENT, new_id(), CEREMONY)


async def test_a_create_without_its_job_is_refused(bench: Bench) -> None:
    """A 404 to a create means that the job is gone: terminal, with the cure."""
    await bench.fault(method="POST", path="/event", status=404)
    with pytest.raises(VendorRejected, match="link another"):
        await bench.adapter().create(EVENT, new_id(), CEREMONY)


async def test_a_redirect_is_never_followed(bench: Bench) -> None:
    """A moved API is refused with the cure; the key goes nowhere else."""
    await bench.fault(method="GET", path="/studio/me", status=302, location=f"{bench.url}/job")
    with pytest.raises(VendorRejected, match="base URL"):
        await bench.adapter().check()
    assert (await bench.control("GET", "/requests"))["reads"] == 1


async def test_a_wrong_key_asks_for_reconnecting(bench: Bench) -> None:
    """A key the vendor does not know, or none at all, is an authentication failure."""
    with pytest.raises(VendorAuthFailed):
        await bench.adapter(key="wrong").check()
    with pytest.raises(VendorAuthFailed):
        bench.adapter(key="")


async def test_a_studio_without_a_currency_counts_in_dollars(bench: Bench) -> None:
    """Where the studio never chose a currency, the vendor's default holds."""
    bench.studio.settings = StudioSettings(currency=None)
    created = await bench.adapter().create(PAYMENT, new_id(), {"amount": "100 USD"})
    assert created.fields["amount"] == "100 USD"


async def test_senseless_names_are_refused_before_they_reach_a_url(bench: Bench) -> None:
    """A job id or record id that is none of Tave's is refused unsent; a foreign cursor starts over."""
    adapter = bench.adapter()
    for record_id in ("order/1", "event/../job", f"note/{bench.job_id}"):
        with pytest.raises(VendorRejected):
            await adapter.read(record_id)
    with pytest.raises(VendorRejected):
        bench.adapter(job_id="../studio/me")
    for cursor in ({"events": 3}, {"people": 3}):
        with pytest.raises(CursorLost):
            await adapter.scan(cursor)
    await adapter.aclose()


async def test_more_events_than_reason_allows_are_said_out_loud(bench: Bench) -> None:
    """A job whose events never end is refused rather than seen in part."""
    for n in range(501):
        bench.studio.create("event", {"jobId": bench.job_id, "name": f"Event {n}"})
    with pytest.raises(VendorRejected, match="more than 500"):
        await bench.adapter(page_size="10").scan(None)
