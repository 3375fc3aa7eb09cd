"""Slack's events and clicks: which message they hint at, what they decide, and what makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.vendors.port import Decision, VendorGarbage
from services.gateway.vendors.slack.events import decided, hinted
from wedsync.clock import FakeClock
from wedsync.model.ids import new_id
from wedsync.testing.slack import CHANNEL, Workspace
from wedsync.testing.slack.people import People

TS = "1801567199.000200"
JOINED = {"type": "message", "channel": CHANNEL, "subtype": "channel_join", "text": "came", "ts": TS}
CONFLICT = new_id()
ACTION = {"action_id": "wedsync_keep_current", "type": "button", "value": CONFLICT}


def told(**event: Any) -> dict[str, Any]:
    """An event about a message of the channel."""
    said = {"type": "message", "channel": CHANNEL, "user": "U0ANA", "text": "Hello", "ts": TS}
    return {"type": "event_callback", "event_id": "Ev1", "event": {**said, **event}}


def click(*actions: Any, **further: Any) -> dict[str, Any]:
    """A click in the channel."""
    made = {"type": "block_actions", "user": {"id": "U0BEA", "name": "bea"}, "channel": {"id": CHANNEL}}
    return {**made, "actions": list(actions or [ACTION]), **further}


@pytest.mark.parametrize(
    ("event", "hints"),
    [
        (told(), [TS]),
        (told(bot_id="B0WEDBOT"), [TS]),
        (told(subtype="bot_message"), [TS]),
        (told(subtype="message_changed", ts="1801567300.000100", message={"ts": TS, "text": "a"}), [TS]),
        (told(subtype="message_changed", message={"ts": TS, "subtype": "tombstone"}), [TS]),
        (told(subtype="message_deleted", deleted_ts=TS, ts="1801567300.000100"), [TS]),
        (told(thread_ts="1801567100.000100"), []),
        (told(thread_ts="1801567100.000100", subtype="thread_broadcast"), [TS]),
        (told(subtype="channel_join"), []),
        (told(subtype="message_changed", message=JOINED), []),
        (told(channel="C0OTHER"), []),
        (told(type="reaction_added"), []),
        (click(), []),
        ({"type": "app_rate_limited", "minute_rate_limited": 1}, []),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_an_event_hints_at_the_message_it_is_about(event: dict[str, Any], hints: list[str]) -> None:
    """Posts, edits and deletes in the channel point at their message; everything else at nothing."""
    assert hinted(event, CHANNEL) == hints


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": 5},
        {"type": "event_callback"},
        {"type": "event_callback", "event": "message"},
        {"type": "event_callback", "event": {}},
        told(channel=None),
        told(ts=1801567199.0002),
        told(ts=""),
        told(subtype="message_changed"),
        told(subtype="message_changed", message={"text": "a"}),
        told(subtype="message_deleted"),
    ],
    ids=str,
)
def test_an_event_that_makes_no_sense_is_garbage(event: dict[str, Any]) -> None:
    """An event must say what it is about."""
    with pytest.raises(VendorGarbage):
        hinted(event, CHANNEL)


def test_a_click_decides() -> None:
    """Each of our buttons is a decision of the person who pressed it; other apps' buttons are none."""
    other = {"action_id": "approve", "type": "button", "value": "x"}
    taken = {**ACTION, "action_id": "wedsync_take_proposed"}
    assert decided(click(), CHANNEL) == [Decision(conflict_id=CONFLICT, choice="current", actor="U0BEA")]
    assert decided(click(other, taken), CHANNEL) == [
        Decision(conflict_id=CONFLICT, choice="proposed", actor="U0BEA")
    ]
    assert decided(click(other), CHANNEL) == []


def test_a_click_elsewhere_decides_nothing_here() -> None:
    """A click in another channel, or outside of channels, belongs to another link or to nobody."""
    assert decided(click(channel={"id": "C0OTHER"}), CHANNEL) == []
    assert decided(click(channel=None), CHANNEL) == []
    assert decided(told(), CHANNEL) == []


@pytest.mark.parametrize(
    "event",
    [
        {},
        click(actions=None),
        click(actions={}),
        click("press"),
        click({**ACTION, "value": "the first"}),
        click({**ACTION, "value": CONFLICT.upper()}),
        click({**ACTION, "value": None}),
        click(user=None),
        click(user={"name": "bea"}),
    ],
    ids=lambda event: str(event)[-60:].replace(CONFLICT, "c").replace(CONFLICT.upper(), "C"),
)
def test_a_click_that_makes_no_sense_is_garbage(event: dict[str, Any]) -> None:
    """A click on a button of ours must name a conflict and a person."""
    with pytest.raises(VendorGarbage):
        decided(event, CHANNEL)


def test_a_click_in_the_simulator_is_understood() -> None:
    """What the simulator posts for a click is a decision."""
    workspace = Workspace(FakeClock())
    button = {**ACTION, "text": {"type": "plain_text", "text": "Keep current"}}
    blocks = [{"type": "actions", "block_id": "b", "elements": [button]}]
    workspace.post({"channel": CHANNEL, "text": "Which one?", "blocks": blocks})
    pressed = People(workspace).press(CONFLICT, "current", "U0BEA")
    assert decided(pressed, CHANNEL) == [Decision(conflict_id=CONFLICT, choice="current", actor="U0BEA")]
    assert hinted(pressed, CHANNEL) == []
