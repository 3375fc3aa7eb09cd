"""The gateway's HTTP front over a real socket: what is accepted, what is refused, and how."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from services.gateway.http.bodies import MAX_BODY
from services.gateway.settings import GatewaySettings
from services.gateway.wiring import build
from tests.support.database import MigratedDatabase
from tests.support.fake_sync import FakeSync
from tests.support.gateway_process import Gateway, Linked, Secrets, Studio, built_gateway, settings_of, until
from wedsync.model.ids import new_id
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.settings import SettingsError
from wedsync.runtime.telemetry import Telemetry
from wedsync.testing.tave import SANDBOX_KEY

_PAYMENT = {"id": "01hv0000000000000000000000", "amount": 1}


@dataclass(frozen=True)
class Caller:
    """Somebody who calls the gateway over HTTP."""

    gateway: Gateway
    browser: aiohttp.ClientSession

    async def call(self, method: str, path: str, *, key: str = "", **more: Any) -> tuple[int, Any]:
        """Make a call; return status and body."""
        headers = {"Authorization": f"Bearer {self.gateway.secrets.keys[key]}"} if key else {}
        url = path if path.startswith("http") else f"{self.gateway.http}{path}"
        async with self.browser.request(
            method, url, headers=headers | more.pop("headers", {}), **more
        ) as answer:
            body = await answer.json(content_type=None)
            if answer.status == 429:
                assert int(answer.headers["Retry-After"]) >= 1
            if answer.status >= 400:
                assert answer.content_type == "application/problem+json"
                assert body["status"] == answer.status
            return answer.status, body

    async def refused(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Make a call that is refused; return status and stable code."""
        status, body = await self.call(method, path, **more)
        return status, body["code"]


@pytest.fixture
async def caller(gateway: Gateway) -> AsyncIterator[Caller]:
    """Somebody without a key of their own."""
    async with aiohttp.ClientSession() as browser:
        yield Caller(gateway, browser)


@pytest.fixture
async def linked(gateway: Gateway, studio: Studio, wedding_id: str) -> Linked:
    """A linked studio."""
    return await studio.link(gateway, wedding_id)


_JSON, _XML = ({"Content-Type": kind} for kind in ("application/json", "text/xml"))
_BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no JSON": ({"data": b"{", "headers": _JSON}, 400, "NOT_JSON"),
    "empty": ({"data": b"", "headers": _JSON}, 400, "NOT_JSON"),
    "not UTF-8": ({"data": b'{"id": "\xff"}', "headers": _JSON}, 400, "NOT_JSON"),
    "a list": ({"json": [1]}, 400, "WRONG_TYPE"),
    "wrong content type": (
        {"data": b"{}", "headers": _XML},
        415,
        "WRONG_CONTENT_TYPE",
    ),
    "no id": ({"json": {}}, 400, "WRONG_SHAPE"),
    "id of a wrong type": ({"json": {"id": 7}}, 400, "WRONG_SHAPE"),
    "unknown event": ({"json": {**_PAYMENT, "event": "job.vanished"}}, 422, "UNKNOWN_EVENT"),
    "event of a wrong type": ({"json": {**_PAYMENT, "event": 3}}, 400, "WRONG_TYPE"),
    "too large": ({"data": io.BytesIO(b" " * (MAX_BODY + 1)), "headers": _JSON}, 413, "BODY_TOO_LARGE"),
}


async def test_bad_webhooks_are_refused_and_not_kept(caller: Caller, linked: Linked) -> None:
    """Each kind of bad body has its status and code, is counted by it, and leaves no row."""
    for name, (sent, status, code) in _BAD.items():
        assert await caller.refused("POST", linked.webhook_url, **sent) == (status, code), name
    assert await caller.gateway.webhooks() == []
    async with caller.browser.get(f"{caller.gateway.http}/metrics") as answer:
        counted = await answer.text()
    for code in {code for _, _, code in _BAD.values()}:
        assert f'wedsync_webhooks_total{{outcome="{code}",vendor="tave"}}' in counted


async def test_a_body_without_end_is_cut_off(caller: Caller, linked: Linked) -> None:
    """A chunked body that says no length is refused at the limit, without being read to its end."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 * MAX_BODY:
            sent += MAX_BODY // 4
            yield b" " * (MAX_BODY // 4)

    try:
        answer = await caller.refused("POST", linked.webhook_url, data=endless(), headers=_JSON)
        assert answer == (413, "BODY_TOO_LARGE")
    except aiohttp.ClientError:
        pass  # the server hung up while we were still sending
    assert sent < 64 * MAX_BODY


async def test_the_largest_body_is_accepted(caller: Caller, linked: Linked) -> None:
    """A body of exactly the limit passes, and the stored bytes are the sent ones."""
    body = json.dumps(_PAYMENT).encode().ljust(MAX_BODY)
    status, _ = await caller.call("POST", linked.webhook_url, data=body, headers=_JSON)
    assert status == 202


@pytest.mark.parametrize(
    "path", ["/tave/unknown-key", "/apple_calendar/{key}", "/nobody/{key}"], ids=["key", "vendor", "nobody"]
)
async def test_an_unknown_address_is_not_found(caller: Caller, linked: Linked, path: str) -> None:
    """A wrong key, or a right key under another vendor, is an unknown endpoint."""
    key = linked.webhook_url.rpartition("/")[2]
    address = f"/api/integrations/webhooks{path.format(key=key)}"
    assert await caller.refused("POST", address, json=_PAYMENT) == (404, "UNKNOWN_ENDPOINT")


async def test_a_webhook_before_any_link_is_kept(caller: Caller, studio: Studio) -> None:
    """An account that is connected but not linked accepts hints; they concern no link."""
    wanted = _connect(studio)
    _, connected = await caller.call("POST", "/api/integrations/vendor/connect", key="studio", json=wanted)
    status, accepted = await caller.call("POST", connected["webhook_path"], json=_PAYMENT)
    assert status == 202
    [webhook] = await until(lambda: caller.gateway.webhooks("processed"), "the webhook is read")
    assert (webhook.webhook_id, webhook.reason) == (accepted["webhook_id"], "no active link is concerned")


async def test_many_webhooks_at_once_are_all_kept(caller: Caller, linked: Linked) -> None:
    """Two hundred at once are committed in few transactions, each with an id of its own."""
    calls = [caller.call("POST", linked.webhook_url, json=_PAYMENT) for _ in range(200)]
    answers = await asyncio.gather(*calls)
    ids = {body["webhook_id"] for status, body in answers if status == 202}
    assert len(ids) == 200
    [kept] = caller.gateway.sql("SELECT count(*) AS rows FROM gateway.webhook_log")
    assert kept["rows"] == 200


async def test_too_many_at_once_are_told_when_to_come_back(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync
) -> None:
    """Beyond its limit the front answers 429 with a retry time, and works again afterwards."""
    hold = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b" "
        await hold.wait()

    async with (
        built_gateway(database, secrets, sync, max_webhooks=1) as gateway,
        aiohttp.ClientSession() as browser,
    ):
        caller, address = Caller(gateway, browser), "/api/integrations/webhooks/tave/unknown"
        calls = [
            asyncio.create_task(caller.refused("POST", address, data=slowly(), headers=_JSON))
            for _ in range(2)
        ]
        [late], [first] = await asyncio.wait(calls, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert await late == (429, "OVERLOADED")
        hold.set()
        assert await first == (404, "UNKNOWN_ENDPOINT")
        assert await caller.refused("POST", address, json={}) == (404, "UNKNOWN_ENDPOINT")


def _connect(studio: Studio, **but: Any) -> dict[str, Any]:
    wanted = {
        "request_id": new_id(),
        "vendor": "tave",
        "credentials": {"api_key": SANDBOX_KEY},
        "base_url": studio.url,
    }
    return wanted | but


async def test_an_account_is_connected_once(caller: Caller, studio: Studio) -> None:
    """The same request again makes no second account and gives the same answer, the webhook's address too."""
    wanted, path = _connect(studio), "/api/integrations/vendor/connect"
    status, first = await caller.call("POST", path, key="studio", json=wanted)
    again = await caller.call("POST", path, key="studio", json=wanted)
    assert status == 201
    assert first["webhook_path"].startswith("/api/integrations/webhooks/tave/")
    assert again == (201, first)
    assert SANDBOX_KEY not in json.dumps(first)


async def test_bad_connections_are_refused(caller: Caller, studio: Studio) -> None:
    """Who may not, what is unknown, missing or of a wrong type: each has its status and code."""
    path = "/api/integrations/vendor/connect"
    for key, body, status, code in (
        ("", _connect(studio), 401, "UNAUTHENTICATED"),
        ("reader", _connect(studio), 403, "PERMISSION_DENIED"),
        ("studio", _connect(studio, vendor="nobody"), 400, "INVALID_REQUEST"),
        ("studio", _connect(studio, request_id="7"), 400, "INVALID_REQUEST"),
        ("studio", _connect(studio, credentials={}), 400, "INVALID_REQUEST"),
        ("studio", _connect(studio, credentials={"api_key": 7}), 400, "WRONG_TYPE"),
        ("studio", _connect(studio, credentials="key"), 400, "WRONG_TYPE"),
        ("studio", _connect(studio, vendor=7), 400, "WRONG_TYPE"),
        ("studio", [], 400, "WRONG_TYPE"),
    ):
        assert await caller.refused("POST", path, key=key, json=body) == (status, code), body


async def test_the_status_of_a_wedding(caller: Caller, linked: Linked, studio: Studio) -> None:
    """Status shows the caller's own links; a nudge makes them due; strangers find nothing."""
    path = f"/api/integrations/sync/{linked.wedding_id}"
    status, body = await caller.call("GET", path, key="reader")
    [link] = body["links"]
    assert (status, link["link_id"], link["state"], link["vendor"]) == (200, linked.link_id, "active", "tave")
    assert await caller.call("POST", path, key="studio") == (202, {"links": [linked.link_id]})
    assert await caller.refused("POST", path, key="reader") == (403, "PERMISSION_DENIED")
    assert await caller.refused("GET", path, key="florist") == (404, "NOT_FOUND")
    assert await caller.refused("GET", path) == (401, "UNAUTHENTICATED")
    assert await caller.refused("GET", "/api/integrations/sync/7", key="studio") == (400, "INVALID_REQUEST")
    async with caller.gateway.client() as client:
        await client.pause_link(linked.link_id)
    assert await caller.call("POST", path, key="studio") == (202, {"links": []})


async def test_other_addresses(caller: Caller) -> None:
    """What is nowhere, and a wrong method, are problems too; health and the description are open."""
    assert await caller.refused("GET", "/nowhere") == (404, "NOT_FOUND")
    assert await caller.refused("DELETE", "/healthz") == (405, "WRONG_METHOD")
    assert await caller.call("GET", "/healthz") == (200, {"alive": True})
    status, said = await caller.call("GET", "/readyz")
    assert (status, said["ready"], said["degraded"].keys()) == (200, True, {"public address"})
    status, described = await caller.call("GET", "/openapi.json")
    assert (status, described["openapi"].startswith("3.1")) == (200, True)


async def test_a_taken_port_is_a_setting_to_mend(
    gateway: Gateway, database: MigratedDatabase, secrets: Secrets, sync: FakeSync
) -> None:
    """A second gateway on the same HTTP port says which setting to change, and leaves nothing behind."""
    port = int(gateway.http.rpartition(":")[2])
    settings = GatewaySettings.model_validate(
        settings_of(database, secrets, sync, http_port=port, grpc_port=free_port())
    )
    with pytest.raises(SettingsError, match=f"WEDSYNC_HTTP_PORT={port}"):
        async with build(settings, telemetry=Telemetry()):
            pass
