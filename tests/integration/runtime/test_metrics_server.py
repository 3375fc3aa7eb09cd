"""The /metrics port of a service."""

from __future__ import annotations

import asyncio
import urllib.request

import pytest

from wedsync.runtime.metrics import start_metrics_server
from wedsync.runtime.settings import SettingsError


async def test_the_metrics_are_served_until_stopped() -> None:
    """The page is there on its port; after the stop the port is free for the next start."""
    server = start_metrics_server(0)
    port = server.port
    body = await asyncio.to_thread(_get, port)
    assert b"wedsync_stage_seconds" in body
    server.stop()
    again = start_metrics_server(port)
    again.stop()


def test_a_taken_port_is_said_with_the_cure() -> None:
    """The error names the setting and the port."""
    server = start_metrics_server(0)
    try:
        with pytest.raises(SettingsError, match=f"WEDSYNC_METRICS_PORT={server.port}"):
            start_metrics_server(server.port)
    finally:
        server.stop()


def _get(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        content: bytes = answer.read()
    return content
