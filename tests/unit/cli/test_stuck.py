"""What got stuck and what a link would do, against in-process services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.cli.conftest import Wedsync
from tests.unit.cli.fakes import CHANGE, ITEM, WEBHOOK, WEDDING, System
from wedsync.api.common.v1 import value_pb2
from wedsync.api.gateway.v1 import delivery_pb2, link_pb2

Data = Callable[..., Any]


def diff(present: str, proposed: str) -> delivery_pb2.FieldDiff:
    """Return a field that differs."""
    return delivery_pb2.FieldDiff(
        path="title",
        present=value_pb2.FieldValue(text=present) if present else value_pb2.FieldValue(),
        proposed=value_pb2.FieldValue(text=proposed),
    )


def test_webhooks_are_narrowed_down(wedsync: Wedsync, system: System) -> None:
    """Reason, cause and times reach the service as they were typed."""
    times = ("--since", "2027-01-01T00:00+00:00", "--until", "2027-01-02T00:00+00:00")
    wedsync("webhooks", "--reason", "no title", "--cause", "garbage", *times)
    asked = system.asked[-1]
    assert (asked.reason, asked.cause) == ("no title", "garbage")
    assert asked.end_time.seconds - asked.start_time.seconds == 86_400


def test_a_dry_run_shows_what_would_change(wedsync: Wedsync, data: Data, system: System) -> None:
    """Each webhook is shown with its records, their fields before and after, or why nothing would change."""
    assert "nothing to replay" in wedsync("replay", "--vendor", "tave").stdout
    assert not system.asked[-1].dry_run
    system.replayed = [
        delivery_pb2.ReplayedWebhook(
            webhook_id=WEBHOOK,
            records=[
                delivery_pb2.RecordDiff(record_id="event/1", change="update", fields=[diff("", "Vows")]),
                delivery_pb2.RecordDiff(record_id="event/2", note="it shows what is known already"),
            ],
        )
    ]
    shown = wedsync("replay", WEBHOOK, "--dry-run").stdout
    assert "event/1 update (title: - -> Vows)" in shown
    assert "event/2 unchanged (it shows what is known already)" in shown
    assert (list(system.asked[-1].webhook_ids), system.asked[-1].dry_run) == ([WEBHOOK], True)
    assert data("replay", "--state", "parked")[0]["webhook_id"] == WEBHOOK


def test_parked_deliveries_are_tried_again(wedsync: Wedsync, data: Data, system: System) -> None:
    """`deliveries retry` shows what is due again and what it was parked for."""
    assert "No parked delivery fits" in wedsync("deliveries", "retry", "--cause", "auth").stdout
    assert system.asked[-1].cause == "auth"
    system.deliveries = [delivery_pb2.Delivery(delivery_id=CHANGE, state="due", reason="Connect again")]
    assert "Connect again" in wedsync("deliveries", "retry", CHANGE, "--link", WEBHOOK).stdout
    assert (list(system.asked[-1].delivery_ids), system.asked[-1].link_id) == ([CHANGE], WEBHOOK)
    assert data("deliveries", "retry", "--vendor", "tave")[0]["state"] == "due"


def test_a_plan_shows_both_sides(wedsync: Wedsync, data: Data, system: System) -> None:
    """Matches with what differs, doubts for people to decide, and what either side would get."""
    words = ("vendor", "plan", WEDDING, CHANGE, "--scope", "job_id=7")
    assert "nothing on either side" in wedsync(*words).stdout
    assert dict(system.asked[-1].scope) == {"job_id": "7"}
    match = link_pb2.Match(record_id="event/1", item_id=ITEM)
    field = link_pb2.PlannedField(diff=diff("Toast", "Vows"), flow=link_pb2.FLOW_CONFLICT)
    system.plan = link_pb2.LinkPlan(
        matches=[link_pb2.PlannedMatch(match=match, key="title, starts_at", fields=[field])],
        review=[
            link_pb2.PlannedReview(
                record_id="event/2", label="Cake", item_ids=[ITEM], reason="alike in title"
            )
        ],
        create_in_wedding=[link_pb2.PlannedCreate(record_id="event/3", label="Dinner")],
        create_at_vendor=[link_pb2.PlannedCreate(item_id=ITEM, label="Dance", reason="cannot be created")],
        truncated=True,
    )
    shown = wedsync(*words).stdout
    assert "the same by title, starts_at" in shown
    assert "title conflict: Toast / Vows" in shown
    assert "Cake: alike in title" in shown
    assert "new in the wedding" in shown
    assert "Dance: cannot be created" in shown
    assert "more than was read" in shown
    assert data(*words)["matches"][0]["match"]["record_id"] == "event/1"
