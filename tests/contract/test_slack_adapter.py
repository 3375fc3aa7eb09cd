"""The Slack adapter against the running simulator: what a link tells a channel, and what it never does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.manifest import load_manifest
from services.gateway.vendors.port import (
    Account,
    CursorLost,
    Decision,
    OutOfScope,
    RecordGone,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorPort,
    VendorRecord,
    VendorRejected,
    VendorUnavailable,
)
from services.gateway.vendors.slack.adapter import create_adapter
from wedsync.clock import SystemClock
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind
from wedsync.testing.slack import CHANNEL, TOKEN, Fault, Sandbox, Workspace, running

MANIFEST = load_manifest(Path(__file__).parents[2] / "services/gateway/vendors/slack")
MESSAGE = ItemKind.MESSAGE
QUESTION = "Stripe says 500.00 USD, Tave says 450.00 USD.\n<Both> are about the deposit & nothing else."


@dataclass
class Bench:
    """A workspace and our adapter."""

    url: str
    http: VendorHttp
    slack: Sandbox
    cursor: Mapping[str, Any] | None = None

    def adapter(self, *, token: str = TOKEN, channel: str = CHANNEL, **settings: str) -> VendorPort:
        """An adapter for the channel."""
        account = Account(
            integration_id="i", base_url=self.url, credentials={"bot_token": token}, settings=settings
        )
        return create_adapter(self.http, MANIFEST, account, {"channel_id": channel, "time_zone": "UTC"})

    def fault(self, **fault: Any) -> None:
        """Let the next matching call fail."""
        self.slack.traffic.faults.append(Fault(**fault))

    def writes(self) -> int:
        """How many posts, changes and deletes were asked for."""
        return sum(n for method, n in self.slack.traffic.counts.items() if method.startswith("chat."))

    async def moved(self, **settings: str) -> list[str]:
        """The texts a scan shows since the last one, in their order."""
        texts: list[str] = []
        while True:
            scan = await self.adapter(**settings).scan(self.cursor)
            self.cursor = scan.cursor
            assert not scan.bad
            texts += [str(record.fields["text"]) for record in scan.records]
            if not scan.more:
                return texts


@pytest.fixture(name="slack")
async def _slack() -> AsyncIterator[Bench]:
    sandbox = Sandbox(workspace=Workspace(SystemClock()))
    async with running(sandbox) as url, VendorHttp(limits=Limits(allow_private=True)) as http:
        yield Bench(url, http, sandbox)


async def asked(slack: Bench, item: str = "", conflict: str = "") -> VendorRecord:
    """A question posted by us."""
    values = {"text": QUESTION, "conflict_id": conflict or new_id()}
    return await slack.adapter().create(MESSAGE, item or new_id(), values)


async def read(slack: Bench, record_id: str) -> VendorRecord:
    """The record as it is now."""
    record = await slack.adapter().read(record_id)
    assert record is not None
    return record


async def test_a_message_is_found_again_by_its_item(slack: Bench) -> None:
    """A message we post shows our values and is found by the item's id; another item's is not."""
    item, conflict = new_id(), new_id()
    created = await asked(slack, item, conflict)
    assert created.fields == {"text": QUESTION, "conflict_id": conflict}
    found = await slack.adapter().find(MESSAGE, item)
    assert found is not None
    assert (found.record_id, found.marker, found.fields, found.version) == (
        created.record_id,
        item,
        created.fields,
        created.version,
    )
    assert await read(slack, created.record_id) == found
    assert await slack.adapter().find(MESSAGE, new_id()) is None
    assert await slack.adapter().find(ItemKind.TASK, item) is None


async def test_a_question_has_two_buttons_until_it_is_decided(slack: Bench) -> None:
    """Clearing the conflict takes the buttons away and nothing else; the message is still found."""
    item, conflict = new_id(), new_id()
    created = await asked(slack, item, conflict)
    (shown,) = slack.slack.messages()
    buttons = shown["blocks"][-1]["elements"]
    assert [(b["text"]["text"], b["value"]) for b in buttons] == [
        ("Keep current", conflict),
        ("Take proposed", conflict),
    ]
    cleared = await slack.adapter().update(created, {"conflict_id": None})
    assert cleared.fields == {"text": QUESTION, "conflict_id": None}
    (shown,) = slack.slack.messages()
    assert "blocks" not in shown
    found = await slack.adapter().find(MESSAGE, item)
    assert found is not None
    assert (found.fields, found.record_id) == (cleared.fields, created.record_id)


async def test_the_outcome_replaces_the_question(slack: Bench) -> None:
    """A new text and no conflict are one change; a text alone keeps the buttons."""
    created = await asked(slack)
    before = slack.writes()
    renamed = await slack.adapter().update(created, {"text": "Still open"})
    assert renamed.fields == {"text": "Still open", "conflict_id": created.fields["conflict_id"]}
    done = await slack.adapter().update(renamed, {"text": "Ana took 500.00 USD", "conflict_id": None})
    assert done.fields == {"text": "Ana took 500.00 USD", "conflict_id": None}
    assert slack.writes() == before + 2
    seen = await read(slack, created.record_id)
    assert (seen.fields, seen.version) == (done.fields, done.version)
    assert seen.version != created.version


async def test_an_update_that_changes_nothing_is_not_sent(slack: Bench) -> None:
    """Values the message shows already, and fields that are Slack's to say, cause no write."""
    created = await asked(slack)
    before = slack.writes()
    again = {"text": f" {QUESTION}\n", "conflict_id": created.fields["conflict_id"], "author": "Ana"}
    assert await slack.adapter().update(created, again) == created
    assert slack.writes() == before


async def test_a_message_that_makes_no_sense_is_not_posted(slack: Bench) -> None:
    """Without text, or with a conflict's id that is none, or as another kind, nothing is sent."""
    adapter = slack.adapter()
    for kind, values in (
        (MESSAGE, {"conflict_id": new_id()}),
        (MESSAGE, {"text": " \n"}),
        (MESSAGE, {"text": "Which?", "conflict_id": "the first"}),
        (ItemKind.TASK, {"title": "Book the band"}),
    ):
        with pytest.raises(VendorRejected):
            await adapter.create(kind, new_id(), values)
    assert slack.writes() == 0


async def test_what_people_say_is_theirs(slack: Bench) -> None:
    """A person's message has its author and is never written to; nor is another app's, whatever it claims."""
    ts = slack.slack.say("See https://example.com & <come>", "U0BEA")
    theirs = await read(slack, ts)
    assert theirs.fields == {"text": "See https://example.com & <come>", "author": "U0BEA"}
    item = new_id()
    mark = {"event_type": "wedsync_item", "event_payload": {"item_id": item}}
    other = await read(slack, slack.slack.people.integrate("Peonies are in", metadata=mark))
    assert (other.fields["author"], other.marker) == ("Florist", None)
    assert await slack.adapter().find(MESSAGE, item) is None
    for record in (theirs, other):
        assert not record.writable
        with pytest.raises(VendorRejected):
            await slack.adapter().update(record, {"text": "Mine"})
        with pytest.raises(VendorRejected):
            await slack.adapter().delete(record)
    assert slack.writes() == 0


async def test_deleting_a_message_is_final_and_repeatable(slack: Bench) -> None:
    """A deleted message is gone for reads, is not missed by a second delete, and cannot be updated."""
    created = await asked(slack)
    await slack.adapter().delete(created)
    await slack.adapter().delete(created)
    assert await slack.adapter().read(created.record_id) is None
    with pytest.raises(RecordGone):
        await slack.adapter().update(created, {"text": "Too late"})


async def test_a_place_that_replies_hold_open_counts_as_gone(slack: Bench) -> None:
    """A deleted message whose replies stay is gone for a read, and no news for a scan."""
    await slack.moved()
    parent = slack.slack.say("Who brings the rings?")
    slack.slack.say("Me", thread=parent)
    slack.slack.remove(parent)
    assert await slack.adapter().read(parent) is None
    assert await slack.moved() == []


async def test_what_nobody_said_in_words_is_out_of_scope(slack: Bench) -> None:
    """A join and a picture without words are no messages, and no deletes either."""
    joined = slack.slack.people.join("U0BEA")
    picture = slack.slack.say("", subtype="file_share")
    for ts in (joined, picture):
        with pytest.raises(OutOfScope):
            await slack.adapter().read(ts)
    with pytest.raises(VendorRejected):
        await slack.adapter().read("C0WEDDING/1")


async def test_a_scan_starts_from_now_and_goes_on(slack: Bench) -> None:
    """What was said before the link is no news; what is said later comes in its order, and ours with it."""
    slack.slack.say("Long ago")
    assert await slack.moved() == []
    assert await slack.moved() == []
    slack.slack.say("First")
    slack.slack.people.join("U0BEA")
    question = slack.slack.say("Second")
    slack.slack.say("A reply", thread=question)
    slack.slack.say("Third, to all", thread=question, subtype="thread_broadcast")
    await asked(slack)
    news = ["First", "Second", "Third, to all", QUESTION]
    assert await slack.moved(overlap_seconds="0") == news
    assert await slack.moved(overlap_seconds="0") == []
    slack.slack.edit(question, "Second, corrected")
    assert await slack.moved() == ["First", "Second, corrected", "Third, to all", QUESTION]


async def test_a_first_message_is_news(slack: Bench) -> None:
    """A channel in which nothing was said yet has no past."""
    assert await slack.moved() == []
    slack.slack.say("Hello")
    assert await slack.moved() == ["Hello"]


async def test_a_scan_reads_page_after_page(slack: Bench) -> None:
    """A busy channel is read in several pages; each message is seen once, those said meanwhile next time."""
    await slack.moved()
    for number in range(5):
        slack.slack.say(f"Message {number}")
    first = await slack.adapter(page_size="2").scan(slack.cursor)
    slack.slack.say("Meanwhile")
    slack.cursor = first.cursor
    rest = await slack.moved(page_size="2")
    assert [r.fields["text"] for r in first.records] + rest == [f"Message {n}" for n in (3, 4, 1, 2, 0)]
    assert await slack.moved(page_size="2", overlap_seconds="0") == ["Meanwhile"]


async def test_a_page_that_slack_forgot_is_read_from_the_beginning(slack: Bench) -> None:
    """A stale page costs a second look and loses nothing; a cursor of nobody's is lost."""
    await slack.moved()
    for number in range(3):
        slack.slack.say(f"Message {number}")
    first = await slack.adapter(page_size="2").scan(slack.cursor)
    slack.cursor = {**first.cursor, "page": "stale"}
    assert await slack.moved() == []
    assert await slack.moved() == ["Message 0", "Message 1", "Message 2"]
    slack.slack.workspace.channels[CHANNEL].member = False
    with pytest.raises(VendorRejected, match="invite"):
        await slack.adapter().scan(slack.cursor)
    for nonsense in ({}, {"start": 1, "seen": "x"}, {**first.cursor, "page": None}):
        with pytest.raises(CursorLost):
            await slack.adapter().scan(nonsense)


async def test_one_message_that_makes_no_sense_is_parked_alone(slack: Bench) -> None:
    """A message nobody can understand does not keep the others back."""
    await slack.moved()
    slack.slack.say("Before")
    broken = slack.slack.say("Broken")
    slack.slack.workspace.channels[CHANNEL].messages[broken]["text"] = ["Broken"]
    slack.slack.say("After")
    scan = await slack.adapter().scan(slack.cursor)
    assert [record.fields["text"] for record in scan.records] == ["Before", "After"]
    assert [bad.record_id for bad in scan.bad] == [broken]
    with pytest.raises(VendorGarbage):
        await slack.adapter().read(broken)


@pytest.mark.parametrize(("cut", "posted"), [("before", 0), ("after", 1)])
async def test_a_cut_connection_does_not_tell_the_channel_twice(slack: Bench, cut: str, posted: int) -> None:
    """The outcome of a post without an answer is unknown; a look tells, and then it is posted once."""
    item = new_id()
    await slack.adapter().check()
    slack.fault(method="chat.postMessage", cut=cut)
    with pytest.raises(VendorUnavailable) as failed:
        await asked(slack, item)
    assert failed.value.unknown_outcome
    found = await slack.adapter().find(MESSAGE, item)
    assert len(slack.slack.messages()) == posted
    assert (found is not None) == bool(posted)
    if found is None:
        await asked(slack, item)
    assert len(slack.slack.messages()) == 1


async def test_a_search_has_an_end(slack: Bench) -> None:
    """A post is looked for some days back; in a channel too busy for that, a human must look."""
    item = new_id()
    await asked(slack, item)
    for number in range(4):
        slack.slack.say(f"Message {number}")
    assert await slack.adapter(page_size="2").find(MESSAGE, item)
    assert await slack.adapter(search_days="0").find(MESSAGE, item) is None
    with pytest.raises(VendorRejected, match="too busy"):
        await slack.adapter(page_size="2", search_pages="2").find(MESSAGE, item)


@pytest.mark.parametrize(
    ("changes", "error", "cure"),
    [
        ({"token": "xoxb-wrong"}, VendorAuthFailed, "install the app again"),
        ({"token": ""}, VendorAuthFailed, "reconnect"),
        ({"channel": "C0NOWHERE"}, VendorRejected, "invite the bot"),
        ({"channel": "C0PRIVATE"}, VendorRejected, "invite the bot"),
        ({"channel": "C0ARCHIVED"}, VendorRejected, "unarchive"),
        ({"channel": "#wedding"}, VendorRejected, "copy it"),
    ],
    ids=["wrong token", "no token", "no channel", "not invited", "archived", "no id"],
)
async def test_what_does_not_work_is_said_with_its_cure(
    slack: Bench, changes: dict[str, str], error: type[VendorError], cure: str
) -> None:
    """A link is refused with what to do about it; one that works is not."""
    slack.slack.workspace.add_channel("C0PRIVATE", "private", member=False)
    slack.slack.workspace.add_channel("C0ARCHIVED", "archived").archived = True
    await slack.adapter().check()
    with pytest.raises(error, match=cure):
        await slack.adapter(**changes).check()


@pytest.mark.parametrize(
    ("fault", "error", "unknown"),
    [
        ({"status": 429, "retry_after": 7}, VendorUnavailable, False),
        ({"error": "ratelimited", "retry_after": 7}, VendorUnavailable, False),
        ({"error": "internal_error"}, VendorUnavailable, True),
        ({"error": "service_unavailable"}, VendorUnavailable, True),
        ({"status": 500}, VendorUnavailable, True),
        ({"body": "<html>"}, VendorUnavailable, True),
        ({"body": "{}"}, VendorUnavailable, True),
        ({"body": '{"ok": true}'}, VendorUnavailable, True),
        ({"body": '{"ok": true, "ts": "1.000001", "message": {"text": 5}}'}, VendorUnavailable, True),
        ({"error": "token_revoked"}, VendorAuthFailed, None),
        ({"error": "missing_scope"}, VendorAuthFailed, None),
        ({"error": "msg_too_long"}, VendorRejected, None),
        ({"error": "something_new"}, VendorRejected, None),
        ({"status": 404, "body": "<html>"}, VendorRejected, None),
        ({"status": 302, "body": ""}, VendorRejected, None),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_a_failed_post_says_whether_it_may_have_been_carried_out(
    slack: Bench, fault: dict[str, Any], error: type[VendorError], unknown: bool | None
) -> None:
    """Each of Slack's ways to fail is the error that says what to do next."""
    slack.fault(method="chat.postMessage", **fault)
    with pytest.raises(error) as failed:
        await asked(slack)
    if isinstance(failed.value, VendorUnavailable):
        assert failed.value.unknown_outcome is unknown
        assert failed.value.retry_after == fault.get("retry_after")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"error": "internal_error"}, VendorUnavailable),
        ({"status": 500}, VendorUnavailable),
        ({"body": "[]"}, VendorGarbage),
        ({"body": '{"ok": true, "messages": [1]}'}, VendorGarbage),
        ({"body": '{"ok": true}'}, VendorGarbage),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_a_failed_read_changed_nothing(
    slack: Bench, fault: dict[str, Any], error: type[VendorError]
) -> None:
    """A read that failed may simply be repeated."""
    created = await asked(slack)
    slack.fault(method="conversations.history", **fault)
    with pytest.raises(error) as failed:
        await slack.adapter().read(created.record_id)
    assert not getattr(failed.value, "unknown_outcome", False)


async def test_answers_that_do_not_say_who_or_where_are_garbage(slack: Bench) -> None:
    """Without a user and without a channel in the answers nothing can be linked."""
    for method in ("auth.test", "conversations.info"):
        slack.fault(method=method, body='{"ok": true, "bot_id": 1}')
        with pytest.raises(VendorGarbage):
            await slack.adapter().check()


async def test_a_refused_change_or_delete_is_final(slack: Bench) -> None:
    """A message too old to be changed, or not to be deleted, needs a human."""
    created = await asked(slack)
    slack.slack.workspace.edit_window_seconds = 0
    with pytest.raises(VendorRejected, match="so old"):
        await slack.adapter().update(created, {"text": "Late"})
    slack.fault(method="chat.delete", error="cant_delete_message")
    with pytest.raises(VendorRejected, match="delete it in Slack"):
        await slack.adapter().delete(created)


async def test_a_message_of_ours_without_a_mark_stays_without_one(slack: Bench) -> None:
    """What the bot posted for somebody else can be changed, and is no item of ours."""
    posted = slack.slack.workspace.post({"channel": CHANNEL, "text": "By hand"})
    record = await read(slack, posted["ts"])
    assert (record.marker, record.writable) == (None, True)
    changed = await slack.adapter().update(record, {"text": "By WedSync"})
    assert (changed.fields["text"], changed.marker) == ("By WedSync", None)
    await slack.adapter().aclose()


async def test_what_slack_tells_points_at_what_can_be_read(slack: Bench) -> None:
    """Every event of a message's life leads to that message, and a click to the decision of a person."""
    conflict, workspace = new_id(), slack.slack.workspace
    created = await slack.adapter().create(MESSAGE, new_id(), {"text": QUESTION, "conflict_id": conflict})
    pressed = slack.slack.people.press(conflict, "proposed", "U0BEA")
    posted = slack.slack.people.say("Hello", "U0BEA")
    slack.slack.people.edit(posted, "Hello all", "U0BEA")
    slack.slack.people.remove(posted)
    fired: list[dict[str, Any]] = [
        {"type": "event_callback", "event": event} for event in workspace.take_fired()
    ]
    assert [list(slack.adapter().hints(event)) for event in fired] == [[posted]] * 3
    assert slack.adapter().decisions(pressed) == [
        Decision(conflict_id=conflict, choice="proposed", actor="U0BEA")
    ]
    assert slack.adapter().hints(pressed) == []
    told = {"type": "event_callback", "event": {**fired[0]["event"], "ts": created.record_id}}
    (hinted,) = slack.adapter().hints(told)
    assert (await read(slack, hinted)).fields == created.fields
