"""Slack's messages and canonical fields: what goes out comes back, and what people write is understood."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.deliver.confirm import written
from services.gateway.deliver.plan import Rest, Write, confirmed, plan_delivery
from services.gateway.observe import observe
from services.gateway.records import Intent, Shadow
from services.gateway.vendors.manifest import load_manifest
from services.gateway.vendors.port import OutOfScope, VendorGarbage, VendorRecord
from services.gateway.vendors.slack import blocks, text
from services.gateway.vendors.slack.messages import Bot, body, is_ts, mark, record
from wedsync.model.changes import FieldState, ItemState, Source
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.slack import markup
from wedsync.testing.slack.shape import blocks_of

MANIFEST = load_manifest(Path(__file__).parents[4] / "services/gateway/vendors/slack")
RULES = MANIFEST.kinds[ItemKind.MESSAGE]
BOT = Bot(user_id="U0WEDBOT", bot_id="B0WEDBOT")
TS = "1801567199.000200"
CONFLICT = "0b0f3c5e-5a6f-5d7a-9d0c-1f2e3d4c5b6a"
PLANNERS = Source(organization_id="studio", actor="conflicts")

wordings = st.text(min_size=1, max_size=9_000).filter(lambda t: RULES.fields["text"].holds(t) is not None)


def said(**further: Any) -> dict[str, Any]:
    """A person's message."""
    return {"type": "message", "user": "U0ANA", "text": "Hello", "ts": TS, **further}


def ours(**values: Any) -> dict[str, Any]:
    """A message of ours, as Slack has it."""
    shown = body(str(values.get("text", "Which one?")), values.get("conflict_id"))
    stored = {**shown, "text": markup.posted(shown["text"], parse=shown["parse"])}
    return {"type": "message", "user": BOT.user_id, "bot_id": BOT.bot_id, "ts": TS, **stored}


@given(wording=wordings)
def test_our_words_come_back_as_they_went_out(wording: str) -> None:
    """Any text, whatever means something to Slack in it, is read as it was written."""
    held = RULES.fields["text"].holds(wording)
    shown = record(ours(text=held), BOT)
    assert shown.fields == {"text": held, "conflict_id": None}


@given(wording=st.text(alphabet="&<>a b\n", min_size=1, max_size=9_000))
def test_a_question_always_fits_slacks_blocks(wording: str) -> None:
    """However long and full of entities the text, its blocks keep Slack's limits and lose no word."""
    held = RULES.fields["text"].holds(wording)
    drawn = blocks.drawn(str(held or "a"), CONFLICT)
    assert blocks_of({"blocks": drawn}) == drawn
    sections = [block["text"]["text"] for block in drawn if block["type"] == "section"]
    assert "".join(map(text.read, sections)).split() == str(held or "a").split()


@pytest.mark.parametrize("wording", ["& " * 3_999 + "&", "<" * 8_000, "a\n" * 3_999 + "b", "x" * 8_000])
def test_the_longest_question_fits_slacks_blocks(wording: str) -> None:
    """The longest text the manifest allows fits, line by line or not."""
    held = str(RULES.fields["text"].holds(wording))
    drawn = blocks.drawn(held, CONFLICT)
    assert blocks_of({"blocks": drawn}) == drawn
    assert "".join(b["text"]["text"] for b in drawn[:-1]) == text.written(held)
    assert len(text.written(held)) <= 40_000


def test_no_section_is_blank() -> None:
    """Where blank lines alone would fill a section, there is none: Slack refuses it."""
    drawn = blocks.drawn(f"{'a' * 3_000}\n\n{'b' * 3_000}", CONFLICT)
    assert blocks_of({"blocks": drawn}) == drawn
    assert [block["text"]["text"][0] for block in drawn[:-1]] == ["a", "b"]


@pytest.mark.parametrize(
    ("native", "plain"),
    [
        ("see <https://example.com/a?b=1&amp;c=2>", "see https://example.com/a?b=1&c=2"),
        ("<http://example.com|example.com>", "example.com"),
        ("<mailto:ana@example.com|ana@example.com>", "ana@example.com"),
        ("<tel:+15550100|+15550100>", "+15550100"),
        ("<https://example.com|the menu>", "the menu (https://example.com)"),
        ("<@U0ANA> and <@U0BEA|bea>", "@U0ANA and @bea"),
        ("<#C0WED|wedding>, <#C0OLD>", "#wedding, #C0OLD"),
        ("<!here> <!subteam^S1|@crew> <!date^1^{date}|12 June>", "@here @crew 12 June"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2; &amp;lt;", "1 < 2 && 3 > 2; &lt;"),
        ("<>", "<>"),
    ],
)
def test_slacks_markup_is_read_as_people_see_it(native: str, plain: str) -> None:
    """Links, mentions and commands are shown by their words, entities by their characters."""
    assert text.read(native) == plain


def test_a_person_is_the_author_of_what_they_say() -> None:
    """A person's message is theirs; a bot's has the best name there is; ours needs none."""
    assert record(said(), BOT).fields == {"text": "Hello", "author": "U0ANA"}
    assert not record(said(), BOT).writable
    named = (
        {"user": None, "username": "Florist", "bot_id": "B1"},
        {"user": None, "bot_profile": {"name": "Florist"}, "bot_id": "B1"},
        {"user": None, "bot_profile": "?", "bot_id": "Florist"},
    )
    assert {record(said(**by), BOT).fields["author"] for by in named} == {"Florist"}
    assert record(said(user=None), BOT).fields["author"] is None
    assert record(ours(), BOT).writable
    assert "author" not in record(ours(), BOT).fields
    by_user_only = {**ours(), "bot_id": None}
    assert record(by_user_only, Bot(user_id=BOT.user_id)).writable
    assert not record(said(), Bot(user_id=BOT.user_id)).writable


def test_what_a_person_writes_fits_an_item() -> None:
    """Text longer or stranger than an item holds is cut and cleaned; only its start is shown elsewhere."""
    assert record(said(text="a\x00b\r\nc"), BOT).fields["text"] == "ab\nc"
    assert len(str(record(said(text="x" * 30_000), BOT).fields["text"])) == 20_000


@pytest.mark.parametrize(
    "changes",
    [
        {"subtype": "channel_join"},
        {"subtype": "channel_topic"},
        {"text": ""},
        {"text": " \n"},
        {"text": None},
        {"thread_ts": "1801567100.000100"},
    ],
    ids=str,
)
def test_what_is_not_said_to_the_channel_is_out_of_scope(changes: dict[str, Any]) -> None:
    """Joins, topics, silence and replies within a thread are no messages."""
    with pytest.raises(OutOfScope):
        record(said(**changes), BOT)


@pytest.mark.parametrize(
    "changes",
    [
        {"subtype": "me_message"},
        {"subtype": "file_share"},
        {"thread_ts": TS},
        {"subtype": "thread_broadcast", "thread_ts": "1801567100.000100"},
    ],
    ids=str,
)
def test_whatever_is_said_to_the_channel_counts(changes: dict[str, Any]) -> None:
    """A picture's words, the first of a thread and a reply sent to all are messages."""
    assert record(said(**changes), BOT).fields["text"] == "Hello"


@pytest.mark.parametrize("changes", [{"ts": 5.0}, {"ts": "5"}, {"ts": None}, {"text": 5}], ids=str)
def test_a_message_that_makes_no_sense_is_garbage(changes: dict[str, Any]) -> None:
    """A ts is a decimal as text, and a text is text."""
    with pytest.raises(VendorGarbage):
        record(said(**changes), BOT)


def test_a_version_moves_with_an_edit() -> None:
    """The version is when it was edited last, or posted."""
    assert record(said(), BOT).version == TS
    assert record(said(edited={"user": "U0ANA", "ts": "1801567300.000100"}), BOT).version == (
        "1801567300.000100"
    )
    for nonsense in ("yes", {}, {"ts": 5}):
        assert record(said(edited=nonsense), BOT).version == TS
    assert is_ts(TS)
    assert not is_ts(1801567199.0002)


def test_only_our_own_mark_counts() -> None:
    """Our item's id is read from the metadata of our own messages, and from no other kind of metadata."""
    item = new_id()
    assert record({**ours(), "metadata": mark(item)}, BOT).marker == item
    assert record(said(metadata=mark(item)), BOT).marker is None
    unfit: list[Any] = [
        None,
        "ours",
        {"event_type": "other", "event_payload": {"item_id": item}},
        {"event_type": "wedsync_item", "event_payload": None},
        {"event_type": "wedsync_item", "event_payload": {"item_id": 5}},
    ]
    for metadata in unfit:
        assert record({**ours(), "metadata": metadata}, BOT).marker is None


def test_the_conflict_is_read_from_the_buttons() -> None:
    """What a message asks about is what its buttons carry; other buttons and odd blocks ask nothing."""
    assert record(ours(conflict_id=CONFLICT), BOT).fields["conflict_id"] == CONFLICT
    (section, actions) = blocks.drawn("Which one?", CONFLICT)
    foreign = [{**button, "action_id": "other"} for button in actions["elements"]]
    broken = [{**button, "value": "none"} for button in actions["elements"]]
    for shown in (
        "?",
        ["?"],
        [section],
        [{**actions, "elements": foreign}],
        [{**actions, "elements": broken}],
    ):
        assert blocks.conflict_of({"blocks": shown}) is None


def test_the_manifest_is_honest() -> None:
    """Buttons are shown and never read as an edit; the author is read and never written."""
    directions = {path: rule.direction.value for path, rule in RULES.fields.items()}
    assert directions == {"text": "both", "author": "in", "conflict_id": "out"}
    assert (RULES.create, RULES.update, RULES.delete) == (True, True, True)


class Delivery:
    """One item and its message, as the engine sees them."""

    def __init__(self, **values: FieldValue) -> None:
        self.revision = 1
        self.item = ItemState(
            item_id=new_id(),
            kind=ItemKind.MESSAGE,
            life=self._state(None),
            fields={path: self._state(value) for path, value in values.items()},
        )
        self.shadow = Shadow(link_id="l", item_id=self.item.item_id, kind=ItemKind.MESSAGE)

    def _state(self, value: FieldValue) -> FieldState:
        return FieldState(value=value, revision=self.revision, source=PLANNERS)

    def set(self, **values: FieldValue) -> None:
        """Change the item."""
        self.revision += 1
        changed = {path: self._state(value) for path, value in values.items()}
        self.item = replace(self.item, fields={**self.item.fields, **changed})

    def plan(self) -> Mapping[str, FieldValue] | None:
        """What is due to be written."""
        plan = plan_delivery(self.item, self.shadow, RULES)
        return plan.plain if isinstance(plan, Write) else None

    def carry_out(self) -> VendorRecord:
        """Write it, and take what Slack answers."""
        write = plan_delivery(self.item, self.shadow, RULES)
        assert not isinstance(write, Rest)
        values = {path: state.value for path, state in self.item.fields.items()}
        shown = record({**ours(**values), "metadata": mark(self.item.item_id)}, BOT)
        after = written(self.shadow, write, shown, RULES.fields)
        self.shadow = confirmed(self.item, after, RULES)
        return shown


def test_a_question_is_told_once_and_its_end_once() -> None:
    """Clearing only the conflict is an update; told, nothing is due, and reading it says nothing new."""
    delivery = Delivery(text="Which one?", conflict_id=CONFLICT, author="WedSync")
    assert delivery.plan() == {"text": "Which one?", "conflict_id": CONFLICT}
    shown = delivery.carry_out()
    assert delivery.plan() is None
    assert not observe(delivery.shadow, [], shown, RULES.fields).learned
    delivery.set(conflict_id=None)
    assert delivery.plan() == {"conflict_id": None}
    shown = delivery.carry_out()
    assert delivery.plan() is None
    seen = observe(delivery.shadow, [], shown, RULES.fields)
    assert not seen.learned
    assert seen.shadow.fields == delivery.shadow.fields


def test_a_question_met_before_its_answer_is_an_echo() -> None:
    """Our own event that overtakes the answer to the post teaches nothing but that it arrived."""
    delivery = Delivery(text="Which one?", conflict_id=CONFLICT)
    write = plan_delivery(delivery.item, delivery.shadow, RULES)
    assert isinstance(write, Write)
    intent = Intent(intent_id=new_id(), kind=write.kind, values=write.values)
    shown = record({**ours(text="Which one?", conflict_id=CONFLICT), "metadata": mark("i")}, BOT)
    seen = observe(delivery.shadow, [intent], shown, RULES.fields)
    assert not seen.learned
    delivery.shadow = seen.shadow
    assert delivery.plan() is None


def test_a_persons_message_is_a_new_item_and_stays_quiet() -> None:
    """A message first seen asks for an item with its author; seen again, it asks for nothing."""
    nobody = Shadow(link_id="l", item_id="i", kind=ItemKind.MESSAGE)
    first = observe(nobody, [], record(said(), BOT), RULES.fields)
    assert first.values == {"text": "Hello", "author": "U0ANA"}
    again = observe(first.shadow, [], record(said(), BOT), RULES.fields)
    assert not again.learned
    edited = observe(first.shadow, [], record(said(text="Hello all"), BOT), RULES.fields)
    assert edited.values == {"text": "Hello all"}


def test_what_is_posted_is_json() -> None:
    """A post keeps Slack from making links and calls of our words."""
    shown = body("<!channel> https://example.com", None)
    assert json.loads(json.dumps(shown)) == {
        "text": "&lt;!channel&gt; https://example.com",
        "blocks": [],
        "parse": "none",
        "link_names": False,
    }
