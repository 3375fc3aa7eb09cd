"""The workspace behind the simulator: the rules by which it keeps messages, without a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from slack_sdk.signature import Clock as SdkClock
from slack_sdk.signature import SignatureVerifier

from wedsync.clock import FakeClock
from wedsync.testing.slack import CHANNEL, Sandbox, Workspace, markup
from wedsync.testing.slack.people import People
from wedsync.testing.slack.refusal import Refused
from wedsync.testing.slack.sandbox import said
from wedsync.testing.slack.shape import blocks_of, flag, metadata_of, moment, text_of
from wedsync.testing.slack.signing import signed

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "Which?"}}
BUTTON = {
    "type": "button",
    "action_id": "a",
    "value": "v",
    "text": {"type": "plain_text", "text": "Go"},
}


@pytest.fixture(name="workspace")
def _workspace() -> Workspace:
    return Workspace(FakeClock())


def post(workspace: Workspace, text: str = "Hello", **further: Any) -> str:
    """Post as the bot, and return the ts."""
    return str(workspace.post({"channel": CHANNEL, "text": text, **further})["ts"])


def listed(workspace: Workspace, **window: Any) -> list[str]:
    """The ts of what a window of the history shows."""
    return [m["ts"] for m in workspace.history({"channel": CHANNEL, **window})["messages"]]


def test_each_ts_is_given_once_and_rises(workspace: Workspace) -> None:
    """Within one instant, and after a delete, a new message has a new and later ts."""
    first, second = post(workspace), post(workspace)
    workspace.delete({"channel": CHANNEL, "ts": second})
    third = post(workspace)
    assert first < second < third
    assert listed(workspace) == [third, first]


def test_a_text_takes_the_blocks_away_and_blocks_keep_the_text(workspace: Workspace) -> None:
    """An update with a text only removes the blocks; one with blocks only keeps the text and is no edit."""
    ts = post(workspace, blocks=[SECTION], metadata={"event_type": "e", "event_payload": {}})
    workspace.update({"channel": CHANNEL, "ts": ts, "blocks": [SECTION, SECTION]})
    message = workspace.channels[CHANNEL].messages[ts]
    assert (message["text"], len(message["blocks"]), "edited" in message) == ("Hello", 2, False)
    workspace.update({"channel": CHANNEL, "ts": ts, "text": "Bye"})
    message = workspace.channels[CHANNEL].messages[ts]
    assert ("blocks" in message, "edited" in message, "metadata" in message) == (False, True, True)
    with pytest.raises(Refused, match="no_text"):
        workspace.update({"channel": CHANNEL, "ts": ts})
    workspace.edit_window_seconds = -1
    with pytest.raises(Refused, match="edit_window_closed"):
        workspace.update({"channel": CHANNEL, "ts": ts, "text": "Late"})


def test_a_window_leaves_its_edges_out_unless_asked(workspace: Workspace) -> None:
    """`oldest` and `latest` exclude their own message, and include it on demand."""
    first, second, third = (post(workspace) for _ in range(3))
    assert listed(workspace, oldest=first, latest=third) == [second]
    assert listed(workspace, oldest=first, latest=third, inclusive=True) == [third, second, first]
    assert listed(workspace, oldest=second, inclusive="1") == [third, second]
    assert listed(workspace, latest=second, inclusive="true", limit="1") == [second]


def test_metadata_is_shown_on_demand_only(workspace: Workspace) -> None:
    """Neither a list nor an event shows metadata that nobody asked for."""
    mark = {"event_type": "e", "event_payload": {"id": "1"}}
    post(workspace, metadata=mark)
    (event,) = workspace.take_fired()
    assert "metadata" not in event
    (plain,) = workspace.history({"channel": CHANNEL})["messages"]
    assert "metadata" not in plain
    (whole,) = workspace.history({"channel": CHANNEL, "include_all_metadata": True})["messages"]
    assert whole["metadata"] == mark


def test_a_bot_that_was_not_invited_hears_nothing(workspace: Workspace) -> None:
    """In a channel the bot is not in, people speak among themselves."""
    workspace.add_channel("C0SECRET", "secret", member=False)
    People(workspace).say("Psst", channel="C0SECRET")
    assert workspace.take_fired() == []
    with pytest.raises(Refused, match="channel_not_found"):
        People(workspace).say("Hello?", channel="C0NOWHERE")
    with pytest.raises(Refused, match="message_not_found"):
        People(workspace).edit("1.000001", "Hello?")


def test_a_deleted_parent_cannot_be_changed(workspace: Workspace) -> None:
    """What stays of a deleted message is only its place."""
    ts = post(workspace)
    People(workspace).say("Yes", thread=ts)
    workspace.delete({"channel": CHANNEL, "ts": ts})
    with pytest.raises(Refused, match="message_not_found"):
        workspace.update({"channel": CHANNEL, "ts": ts, "text": "Again"})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("a &lt; b &amp; c", "a &lt; b &amp; c"),
        ("<!here> <@U0ANA> <https://example.com|it>", "<!here> <@U0ANA> <https://example.com|it>"),
        ("see https://example.com", "see <https://example.com>"),
    ],
)
def test_what_an_app_posts_is_kept_as_markup(text: str, kept: str) -> None:
    """Stray characters become entities, markup stays, and an address becomes a link."""
    assert markup.posted(text, parse="") == kept
    assert markup.posted("see https://example.com", parse="none") == "see https://example.com"
    assert markup.typed("<!here> https://example.com") == "&lt;!here&gt; <https://example.com>"


@pytest.mark.parametrize(
    "blocks",
    [
        "section",
        ["section"],
        [{"type": "poem"}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}],
        [SECTION] * 51,
        [{"type": "actions", "elements": []}],
        [{"type": "actions", "elements": ["button"]}],
        [{"type": "actions", "elements": [BUTTON, BUTTON]}],
        [{"type": "actions", "elements": [{**BUTTON, "value": "x" * 2_001}]}],
        [{"type": "actions", "elements": [{**BUTTON, "text": "Go"}]}],
    ],
    ids=lambda blocks: str(blocks)[:60],
)
def test_blocks_beyond_slacks_limits_are_refused(blocks: Any) -> None:
    """Sections and buttons have sizes, and a button's action is named once."""
    with pytest.raises(Refused, match="invalid_blocks"):
        blocks_of({"blocks": blocks})
    fit = [SECTION, {"type": "actions", "elements": [BUTTON]}, {"type": "divider"}]
    assert blocks_of({"blocks": fit}) == fit


def test_arguments_are_checked() -> None:
    """Text is text, metadata has its two parts, and a moment is a decimal."""
    with pytest.raises(Refused, match="invalid_arguments"):
        text_of({"text": 5})
    for metadata in ("x", {}, {"event_type": "e"}, {"event_type": 5, "event_payload": {}}):
        with pytest.raises(Refused, match="invalid_metadata_format"):
            metadata_of({"metadata": metadata})
    with pytest.raises(Refused, match="late"):
        moment([], "late")
    assert moment("", "late") is None
    assert [flag(value) for value in (True, "1", "true", False, "0", "")] == [True] * 3 + [False] * 3


def test_the_signature_is_the_one_the_sdk_expects() -> None:
    """The vendor's own verifier accepts a body that is signed here, and no other."""

    class At(SdkClock):
        def now(self) -> float:
            return 1_801_567_200.0

    verifier = SignatureVerifier("secret", At())
    headers = signed("secret", "{ü}".encode(), at=1_801_567_200)
    assert verifier.is_valid_request("{ü}".encode(), headers)
    assert not verifier.is_valid_request(b"{}", headers)
    assert not verifier.is_valid_request("{ü}".encode(), signed("other", "{ü}".encode(), at=1_801_567_200))


def test_a_workspace_survives_its_program(tmp_path: Path) -> None:
    """What was said, and which ts were given, is there again after a restart."""
    data, clock = tmp_path / "deep" / "slack.json", FakeClock()
    before = Sandbox(workspace=Workspace(clock), data=data)
    kept, removed = before.say("Hello"), before.say("Oops")
    before.remove(removed)
    after = Sandbox(workspace=Workspace(clock), data=data)
    assert [m["ts"] for m in after.messages()] == [kept]
    assert after.say("Again") > removed


@pytest.mark.parametrize(
    ("body", "meant"),
    [(b"abc", {"abc"}), (b'{"challenge":"abc"}', {"abc"}), (b"[]", {"[]"}), (b"\xff", {"\ufffd"})],
    ids=["text", "json", "other json", "no text"],
)
def test_a_challenge_may_be_answered_as_text_or_json(body: bytes, meant: set[str]) -> None:
    """The whole answer is the challenge, or its field of that name."""
    assert meant <= said(body)
