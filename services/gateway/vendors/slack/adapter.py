"""Slack: the messages of one channel."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import (
    Account,
    Decision,
    RecordGone,
    Scan,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorPort,
    VendorRecord,
    VendorRejected,
    VendorUnavailable,
)
from services.gateway.vendors.slack import events
from services.gateway.vendors.slack.api import Http, Refused, SlackApi
from services.gateway.vendors.slack.messages import Bot, body, is_gone, is_ts, mark, marker_of, record
from services.gateway.vendors.slack.scanner import Scanner
from wedsync.model.ids import is_id
from wedsync.model.items import FieldValue, ItemKind

Values = Mapping[str, FieldValue]

_CHANNEL = re.compile(r"[CDG][A-Z0-9]{2,40}")
_DAY = 86_400.0


def create_adapter(http: Http, manifest: Manifest, account: Account, scope: Mapping[str, str]) -> VendorPort:
    """Return the adapter for one channel: `scope` holds its `channel_id`."""
    if not _CHANNEL.fullmatch(scope.get("channel_id", "")):
        raise VendorRejected(
            "the scope's channel_id is no id of a channel: copy it from the channel's details"
        )
    token = account.credentials.get("bot_token")
    if not token:
        raise VendorAuthFailed("there is no bot token: reconnect the account")
    return SlackAdapter(http, manifest, account, scope["channel_id"], token)


class SlackAdapter:
    """Speaks Slack's Web API within one channel. All it remembers is who we are, which does not change."""

    def __init__(
        self,
        http: Http,
        manifest: Manifest,
        account: Account,
        channel: str,
        token: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        def setting(name: str) -> str:
            return manifest.setting(account, name)

        self._manifest, self._channel, self._now = manifest, channel, now
        self._api = SlackApi(
            http=http,
            base_url=account.base_url.rstrip("/"),
            token=token,
            timeout=manifest.timeout_seconds,
        )
        self._page_size = int(setting("page_size"))
        self._overlap = float(setting("overlap_seconds"))
        self._search_pages = int(setting("search_pages"))
        self._search_seconds = float(setting("search_days")) * _DAY
        self._bot: Bot | None = None

    async def check(self) -> None:
        """Return if the token works and the bot is in the channel."""
        await self._me()
        answer = await self._api.ask("conversations.info", channel=self._channel)
        channel = answer.get("channel")
        if not isinstance(channel, dict):
            raise VendorGarbage("the channel's details are missing")
        if channel.get("is_archived") is True:
            raise Refused("is_archived")
        if channel.get("is_member") is False:
            raise Refused("not_in_channel")

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return what was said in the channel since the cursor; the first scan starts from now."""
        scanner = Scanner(
            api=self._api,
            channel=self._channel,
            bot=await self._me(),
            page_size=self._page_size,
            overlap=self._overlap,
        )
        return await scanner.scan(cursor)

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one message; None if it is deleted. Raises `OutOfScope` for what nobody said in words."""
        if not is_ts(record_id):
            raise VendorRejected("this is no id of a Slack message")
        page = await self._api.history(self._channel, latest=record_id, inclusive="true", limit="1")
        message = next((found for found in page.messages if found.get("ts") == record_id), None)
        return None if message is None or is_gone(message) else record(message, await self._me())

    async def find(self, kind: ItemKind, item_id: str) -> VendorRecord | None:
        """Look up what we posted for the item, within the last days.

        Raises `VendorRejected` if the channel was too busy to be searched so far back: to post it again
        might tell people twice.
        """
        if kind is not ItemKind.MESSAGE:
            return None
        bot, query = await self._me(), {"oldest": f"{max(0.0, self._now() - self._search_seconds):.6f}"}
        for _ in range(self._search_pages):
            page = await self._api.history(self._channel, limit=str(self._page_size), **query)
            wrote = (message for message in page.messages if bot.wrote(message) and not is_gone(message))
            mine = next((m for m in wrote if marker_of(m) == item_id), None)
            if mine is not None:
                return record(mine, bot)
            if page.cursor is None:
                return None
            query["cursor"] = page.cursor
        raise VendorRejected(
            "the channel is too busy to see whether the message was posted: look, and post it"
        )

    async def create(self, kind: ItemKind, item_id: str, values: Values) -> VendorRecord:
        """Post a message that carries our marker, with buttons if it asks about a conflict."""
        if kind is not ItemKind.MESSAGE:
            raise VendorRejected(f"a {kind} cannot be kept in Slack")
        bot, shown = await self._me(), self._shown({}, values) | {"metadata": mark(item_id)}
        quiet = {"unfurl_links": False, "unfurl_media": False}
        posted = await self._api.tell("chat.postMessage", {"channel": self._channel, **shown, **quiet})
        if not is_ts(posted.get("ts")):
            raise VendorUnavailable("Slack does not say what it posted", unknown_outcome=True)
        return _written({**shown, **_message(posted), "ts": posted["ts"]}, bot)

    async def update(self, record: VendorRecord, values: Values) -> VendorRecord:
        """Write the message anew with the values; nothing is sent if it shows them already."""
        if not record.writable:
            raise Refused("cant_update_message")
        wanted = self._held(values)
        if all(record.fields.get(path) == value for path, value in wanted.items()):
            return record
        bot = await self._me()
        kept = {"metadata": record.native["metadata"]} if record.native.get("metadata") else {}
        shown = self._shown(record.fields, values) | kept
        arguments = {"channel": self._channel, "ts": record.record_id, **shown}
        try:
            answer = await self._api.tell("chat.update", arguments)
        except Refused as error:
            raise (RecordGone() if error.error == "message_not_found" else error) from error
        return _written({**record.native, **shown, **_message(answer), "ts": record.record_id}, bot)

    async def delete(self, record: VendorRecord) -> None:
        """Delete a message of ours."""
        if not record.writable:
            raise Refused("cant_delete_message")
        try:
            await self._api.tell("chat.delete", {"channel": self._channel, "ts": record.record_id})
        except Refused as error:
            if error.error != "message_not_found":
                raise

    def hints(self, event: Mapping[str, Any]) -> Sequence[str]:
        """Return the messages of the channel an event is about."""
        return events.hinted(event, self._channel)

    def decisions(self, event: Mapping[str, Any], /) -> Sequence[Decision]:
        """Return what a person decided by a click in the channel."""
        return events.decided(event, self._channel)

    async def aclose(self) -> None:
        """Hold nothing: the connections belong to the process."""

    async def _me(self) -> Bot:
        if self._bot is None:
            answer = await self._api.ask("auth.test")
            user_id, bot_id = answer.get("user_id"), answer.get("bot_id")
            if not isinstance(user_id, str):
                raise VendorGarbage("Slack does not say whose token this is")
            self._bot = Bot(user_id=user_id, bot_id=bot_id if isinstance(bot_id, str) else None)
        return self._bot

    def _held(self, values: Values) -> dict[str, FieldValue]:
        rules = {path: self._manifest.rule(ItemKind.MESSAGE, path) for path in values}
        return {path: rule.holds(values[path]) for path, rule in rules.items() if rule and rule.writable}

    def _shown(self, fields: Values, values: Values) -> dict[str, Any]:
        wanted = {**fields, **self._held(values)}
        text, conflict_id = wanted.get("text"), wanted.get("conflict_id")
        if not isinstance(text, str):
            raise Refused("no_text")
        if conflict_id is not None and not is_id(str(conflict_id)):
            raise VendorRejected(
                "the message asks about a conflict whose id is none: correct its conflict_id"
            )
        return body(text, None if conflict_id is None else str(conflict_id))


def _message(answer: Mapping[str, Any]) -> dict[str, Any]:
    message = answer.get("message")
    return message if isinstance(message, dict) else {}


def _written(message: Mapping[str, Any], bot: Bot) -> VendorRecord:
    """Return what we have just written; Slack's answer need not name us."""
    try:
        return record({**message, "user": bot.user_id}, bot)
    except VendorError as error:
        # It was carried out: the caller must look before it repeats a post.
        raise VendorUnavailable(f"written, and then: {error}", unknown_outcome=True) from error
