"""The Slack simulator over a socket, as the vendor's own SDK sees it: calls, events, clicks and faults."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from wedsync.clock import SystemClock
from wedsync.testing.slack import (
    CHANNEL,
    CONTROL,
    SIGNING_SECRET,
    TOKEN,
    Fault,
    Sandbox,
    Workspace,
    running,
)
from wedsync.testing.slack.refusal import Refused

BUTTONS: list[dict[str, Any]] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "Which one?"}},
    {
        "type": "actions",
        "block_id": "b",
        "elements": [
            {"type": "button", "action_id": f"x_{choice}", "value": "c1", "text": label}
            for choice, label in (
                ("current", {"type": "plain_text", "text": "Keep"}),
                ("proposed", {"type": "plain_text", "text": "Take"}),
            )
        ],
    },
]
MARK = {"event_type": "ours", "event_payload": {"id": "1"}}


@dataclass
class App:
    """An app that is told things, verifies each with the SDK, and first fails some."""

    url: str = ""
    failures: list[web.Response] = field(default_factory=list)
    received: asyncio.Queue[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=asyncio.Queue)
    verified: list[bool] = field(default_factory=list)
    verifier: SignatureVerifier = field(default_factory=lambda: SignatureVerifier(SIGNING_SECRET))

    async def take(self, request: web.Request) -> web.Response:
        """Take one request."""
        body = await request.read()
        self.verified.append(self.verifier.is_valid_request(body, dict(request.headers)))
        form = request.content_type == "application/x-www-form-urlencoded"
        told = json.loads(str((await request.post())["payload"]) if form else body)
        self.received.put_nowait((dict(request.headers), told))
        if told["type"] == "url_verification":
            return web.json_response({"challenge": told["challenge"]})
        return self.failures.pop(0) if self.failures else web.Response()

    async def next(self) -> tuple[dict[str, str], dict[str, Any]]:
        """The next thing told."""
        return await asyncio.wait_for(self.received.get(), 10)

    async def event(self) -> dict[str, Any]:
        """The next event."""
        return dict((await self.next())[1]["event"])


@pytest.fixture(name="sandbox")
def _sandbox() -> Sandbox:
    return Sandbox(workspace=Workspace(SystemClock()), retry_seconds=(0.0, 0.01, 0.01), answer_seconds=2)


@pytest.fixture(name="url")
async def _url(sandbox: Sandbox) -> AsyncIterator[str]:
    async with running(sandbox) as url:
        yield url


@pytest.fixture(name="client")
async def _client(url: str) -> AsyncIterator[AsyncWebClient]:
    # A session of our own is closed with the test; the SDK's would be left open.
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(token=TOKEN, base_url=f"{url}/", session=session)


@pytest.fixture(name="app")
async def _app(sandbox: Sandbox, url: str) -> AsyncIterator[App]:
    app, server = App(), web.Application()
    server.router.add_post("/slack", app.take)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    app.url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack"
    await sandbox.subscribe(app.url)
    await app.next()
    yield app
    await runner.cleanup()


async def refusal(call: Any) -> str:
    """The error that answers a call of the SDK."""
    with pytest.raises(SlackApiError) as refused:
        await call
    return str(refused.value.response["error"])


async def test_the_sdk_posts_reads_changes_and_deletes(client: AsyncWebClient) -> None:
    """A message goes through its whole life with the vendor's own client."""
    posted = await client.chat_postMessage(channel=CHANNEL, text="Hello", blocks=BUTTONS, metadata=MARK)
    ts = posted["ts"]
    shown = await client.conversations_history(channel=CHANNEL, include_all_metadata=True)
    assert [m["metadata"] for m in shown["messages"]] == [MARK]
    await client.chat_update(channel=CHANNEL, ts=ts, text="Settled")
    (after,) = (await client.conversations_history(channel=CHANNEL))["messages"]
    assert (after["text"], after["ts"], "blocks" in after, "metadata" in after) == (
        "Settled",
        ts,
        False,
        False,
    )
    assert after["edited"]["user"] == (await client.auth_test())["user_id"]
    await client.chat_delete(channel=CHANNEL, ts=ts)
    assert await refusal(client.chat_delete(channel=CHANNEL, ts=ts)) == "message_not_found"
    assert (await client.conversations_history(channel=CHANNEL))["messages"] == []


async def test_the_sdk_pages_through_a_channel(client: AsyncWebClient, sandbox: Sandbox) -> None:
    """Pages follow one another from the newest message to the oldest, each message once."""
    said = [sandbox.say(f"Message {number}") for number in range(5)]
    pages = [
        [page["has_more"], *(m["ts"] for m in page["messages"])]
        async for page in await client.conversations_history(channel=CHANNEL, limit=2)
    ]
    assert pages == [[True, said[4], said[3]], [True, said[2], said[1]], [False, said[0]]]
    one = await client.conversations_history(channel=CHANNEL, latest=said[2], inclusive=True, limit=1)
    assert [m["ts"] for m in one["messages"]] == [said[2]]
    some = await client.conversations_history(channel=CHANNEL, oldest=said[1], latest=said[4])
    assert [m["ts"] for m in some["messages"]] == [said[3], said[2]]


async def test_a_form_and_json_say_the_same(url: str) -> None:
    """A post as a form, with JSON in its fields, is the post that JSON makes."""
    arguments = {"channel": CHANNEL, "text": "Hi", "blocks": BUTTONS, "metadata": MARK}
    form = {name: v if isinstance(v, str) else json.dumps(v) for name, v in arguments.items()}
    answers = []
    async with aiohttp.ClientSession() as session:
        for body in ({"json": arguments}, {"data": {**form, "token": TOKEN}}):
            headers = {"Authorization": f"Bearer {TOKEN}"} if "json" in body else {}
            async with session.post(f"{url}/chat.postMessage", headers=headers, **body) as answer:
                answers.append((await answer.json())["message"])
        for data, content_type in (("{", "application/json"), ("[]", "application/json"), ("blocks=x", "")):
            kind = {"Content-Type": content_type or "application/x-www-form-urlencoded"}
            async with session.post(f"{url}/chat.postMessage", data=data, headers=kind) as answer:
                assert (await answer.json())["error"] in {"invalid_json", "invalid_form_data"}
    assert {answer.pop("ts") for answer in answers} != set()
    assert answers[0] == answers[1]


async def test_a_refusal_comes_with_status_200(client: AsyncWebClient, sandbox: Sandbox) -> None:
    """Who may not, and what makes no sense, is told so by Slack's own words."""
    sandbox.workspace.add_channel("C0SECRET", "secret", member=False)
    sandbox.workspace.channels["C0OLD"] = sandbox.workspace.add_channel("C0OLD", "old")
    sandbox.workspace.channels["C0OLD"].archived = True
    theirs = sandbox.say("Mine")
    sandbox.tokens = {TOKEN: "", "xoxb-revoked": "token_revoked"}
    post, history = client.chat_postMessage, client.conversations_history
    tried: dict[str, Callable[[], Any]] = {
        "channel_not_found": lambda: post(channel="C0NONE", text="x"),
        "not_in_channel": lambda: history(channel="C0SECRET"),
        "is_archived": lambda: post(channel="C0OLD", text="x"),
        "no_text": lambda: client.api_call("chat.postMessage", json={"channel": CHANNEL, "text": " "}),
        "msg_too_long": lambda: post(channel=CHANNEL, text="x" * 40_001),
        "invalid_blocks": lambda: post(channel=CHANNEL, text="x", blocks=[{"type": "section"}]),
        "cant_update_message": lambda: client.chat_update(channel=CHANNEL, ts=theirs, text="x"),
        "cant_delete_message": lambda: client.chat_delete(channel=CHANNEL, ts=theirs),
        "message_not_found": lambda: client.chat_update(channel=CHANNEL, ts="1.000001", text="x"),
        "invalid_cursor": lambda: history(channel=CHANNEL, cursor="x"),
        "invalid_limit": lambda: history(channel=CHANNEL, limit=1000),
        "invalid_ts_oldest": lambda: history(channel=CHANNEL, oldest="yesterday"),
        "unknown_method": lambda: client.api_call("chat.shout"),
        "invalid_auth": lambda: client.auth_test(token="xoxb-wrong"),
        "token_revoked": lambda: client.auth_test(token="xoxb-revoked"),
    }
    answered = {error: await refusal(call()) for error, call in tried.items()}
    assert answered == {error: error for error in tried}


async def test_a_thread_stands_beside_the_channel(client: AsyncWebClient, sandbox: Sandbox) -> None:
    """A reply is listed in its thread only, and its parent leaves a stone behind when it is deleted."""
    parent = sandbox.say("Who brings the rings?")
    reply = sandbox.say("Me", thread=parent)
    listed = await client.conversations_history(channel=CHANNEL)
    assert [m["ts"] for m in listed["messages"]] == [parent]
    thread = await client.conversations_replies(channel=CHANNEL, ts=parent)
    assert [m["ts"] for m in thread["messages"]] == [parent, reply]
    assert await refusal(client.conversations_replies(channel=CHANNEL, ts="1.000001")) == "thread_not_found"
    sandbox.remove(parent)
    (left,) = (await client.conversations_history(channel=CHANNEL))["messages"]
    assert (left["subtype"], left["ts"]) == ("tombstone", parent)


async def test_the_app_is_told_of_everything_signed(
    client: AsyncWebClient, sandbox: Sandbox, app: App
) -> None:
    """Messages of people and bot, edits and deletes arrive as events whose signature the SDK accepts."""
    ts = sandbox.say("Florist moved to 10:30", "U0BEA")
    said = await app.event()
    assert (said["type"], said["channel"], said["user"], said["ts"]) == ("message", CHANNEL, "U0BEA", ts)
    sandbox.edit(ts, "Florist moved to 11:00", user="U0BEA")
    changed = await app.event()
    assert (changed["subtype"], changed["message"]["text"]) == ("message_changed", "Florist moved to 11:00")
    assert changed["previous_message"]["text"] == "Florist moved to 10:30"
    sandbox.remove(ts)
    deleted = await app.event()
    assert (deleted["subtype"], deleted["deleted_ts"]) == ("message_deleted", ts)
    await client.chat_postMessage(channel=CHANNEL, text="Noted")
    ours = await app.event()
    assert ours["bot_id"] == (await client.auth_test())["bot_id"]
    assert app.verified == [True] * 5


async def test_an_event_is_tried_again_under_the_same_id(sandbox: Sandbox, app: App) -> None:
    """What the app refuses comes three times more, numbered, with the reason, and is then given up."""
    app.failures = [web.Response(status=500) for _ in range(4)]
    sandbox.say("Hello")
    tries = [await app.next() for _ in range(4)]
    assert len({told["event_id"] for _, told in tries}) == 1
    assert [headers.get("X-Slack-Retry-Num") for headers, _ in tries] == [None, "1", "2", "3"]
    assert {headers.get("X-Slack-Retry-Reason") for headers, _ in tries[1:]} == {"http_error"}
    await asyncio.wait_for(sandbox.deliveries.settled(), 5)
    assert sandbox.deliveries.failed == [tries[0][1]["event_id"]]
    app.failures = [web.Response(status=503, headers={"X-Slack-No-Retry": "1"})]
    sandbox.say("Once")
    await app.next()
    await asyncio.wait_for(sandbox.deliveries.settled(), 5)
    assert len(sandbox.deliveries.failed) == 2
    assert app.received.empty()


async def test_an_address_that_nobody_answers_is_not_taken(sandbox: Sandbox, app: App) -> None:
    """A request URL must give the challenge back; what was entered before stays."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        with pytest.raises(Refused, match="url_not_verified"):
            await sandbox.subscribe(nobody)
    assert sandbox.deliveries.url == app.url
    await sandbox.subscribe("")
    sandbox.say("Nobody hears this")
    await sandbox.deliveries.settled()
    assert app.received.empty()


async def test_a_click_is_a_signed_form(client: AsyncWebClient, sandbox: Sandbox, app: App) -> None:
    """A person's click reaches the app as a form with the button's value and the person."""
    await client.chat_postMessage(channel=CHANNEL, text="Which one?", blocks=BUTTONS)
    await app.next()
    assert await sandbox.click("c1", "proposed", "U0BEA") == 200
    headers, told = await app.next()
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert (told["type"], told["user"]["id"], told["channel"]["id"]) == ("block_actions", "U0BEA", CHANNEL)
    assert [(a["action_id"], a["value"]) for a in told["actions"]] == [("x_proposed", "c1")]
    assert all(app.verified)
    with pytest.raises(Refused, match="no_such_button"):
        await sandbox.click("c2", "current")


async def test_a_connection_cut_after_a_post_leaves_the_message(url: str, sandbox: Sandbox) -> None:
    """Cut before, nothing was posted; cut after, it was, and the caller cannot tell the two apart."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for cut, kept in (("before", 0), ("after", 1)):
            sandbox.traffic.faults.append(Fault(method="chat.postMessage", cut=cut))
            with pytest.raises(aiohttp.ClientError):
                await session.post(f"{url}/chat.postMessage", json={"channel": CHANNEL, "text": "Hello"})
            assert len(sandbox.messages()) == kept


async def test_faults_answer_instead(client: AsyncWebClient, sandbox: Sandbox) -> None:
    """A fault shows its status, its error or its garbage, as often as it was told to, and is then over."""
    sandbox.traffic.add({"method": "auth.test", "status": 429, "retry_after": 7, "delay_ms": 1})
    with pytest.raises(SlackApiError) as limited:
        await client.auth_test()
    assert (limited.value.response.status_code, limited.value.response.headers["Retry-After"]) == (429, "7")
    sandbox.traffic.add({"error": "internal_error", "apply": True})
    assert await refusal(client.chat_postMessage(channel=CHANNEL, text="Hello")) == "internal_error"
    assert [m["text"] for m in sandbox.messages()] == ["Hello"]
    assert (await client.auth_test())["ok"]
    unfit: list[Any] = [{"cut": "sideways"}, {"times": -1}, {"status": 99}, {"speed": 3}, []]
    for nonsense in unfit:
        with pytest.raises(Refused):
            sandbox.traffic.add(nonsense)


async def test_the_sandbox_is_steered_over_http(url: str, app: App) -> None:
    """Everything people do can be asked for by a request, and nonsense is refused."""
    control = url.removesuffix("/api") + CONTROL

    async def ask(verb: str, path: str, /, **body: Any) -> tuple[int, dict[str, Any]]:
        async with session.request(verb, f"{control}{path}", json=body) as answer:
            return answer.status, await answer.json()

    async with aiohttp.ClientSession() as session:
        _, said = await ask("POST", "/say", text="Hello", user="U0BEA")
        assert (await ask("POST", "/edit", ts=said["ts"], text="Hello all"))[0] == 200
        _, shown = await ask("GET", "/messages")
        assert [(m["user"], m["text"]) for m in shown["messages"]] == [("U0BEA", "Hello all")]
        assert (await ask("POST", "/remove", ts=said["ts"]))[0] == 200
        assert (await ask("POST", "/remove", ts=said["ts"]))[0] == 409
        assert (await ask("POST", "/click", value="c", choice="current"))[0] == 409
        assert (await ask("POST", "/say", shout="Hello"))[0] == 400
        assert (await ask("POST", "/subscribe", url=app.url))[0] == 200
        assert (await ask("POST", "/faults", method="auth.test", error="invalid_auth"))[0] == 200
        assert (await (await session.post(f"{url}/auth.test")).json())["error"] == "invalid_auth"
        assert (await ask("GET", "/calls"))[1]["calls"] == {"auth.test": 1}
        await ask("DELETE", "/calls")
        assert (await ask("GET", "/calls"))[1]["calls"] == {}


async def test_the_program_remembers(tmp_path: Path) -> None:
    """`python -m wedsync.testing.slack` serves until SIGTERM, and started again it remembers."""
    data = tmp_path / "slack.json"
    assert await _with_program(data, lambda client: client.chat_postMessage(channel=CHANNEL, text="Hello"))
    shown = await _with_program(data, lambda client: client.conversations_history(channel=CHANNEL))
    assert [message["text"] for message in shown["messages"]] == ["Hello"]


async def _with_program(data: Path, call: Any) -> Any:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-m", "wedsync.testing.slack", "--port", str(port), "--data", str(data)]
    process = await asyncio.create_subprocess_exec(*program)
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            client = AsyncWebClient(token=TOKEN, base_url=f"http://127.0.0.1:{port}/api/", session=session)
            return await _patient(call, client)
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def _patient(call: Any, client: AsyncWebClient) -> Any:
    """Call until the program listens; the caller limits the time."""
    while True:
        try:
            return await call(client)
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)
