"""Channels to WedSync's services: limits, keepalive, retries and the caller's proof, in one place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Self

import grpc

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Of a message in either direction; the servers' own limit is the same."""

AUTHORIZATION = "authorization"

# The one layer that retries. Every call may be repeated: reads change nothing, and writes carry an
# id of their own (change_id, request_id, observation_id). UNAVAILABLE alone, because after any other
# status another try meets the same answer. A stream goes on at its last sequence instead of from
# where it began, so WatchWedding repeats itself in `SyncClient`, not here.
_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            },
            {"name": [{"service": "wedsync.api.sync.v1.SyncService", "method": "WatchWedding"}]},
        ],
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }
)

_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", _SERVICE_CONFIG),
    # A name server must not be able to change what is retried.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A peer whose machine is gone closes no connection: ask it.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC's own bound of two minutes would outlast every restart of a peer.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def open_channel(
    target: str, *, api_key: str | None, credentials: grpc.ChannelCredentials | None = None
) -> grpc.aio.Channel:
    """Return a channel to `host:port`; close it with `await channel.close()` or `async with`.

    `api_key` is sent with every call that names no key of its own. `credentials` turn TLS on; without
    them the key travels in the clear, which only a trusted network may carry.
    """
    if credentials is None:
        channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
    else:
        channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
    return _Authorized(channel, api_key) if api_key else channel


def bearer(api_key: str) -> str:
    """Return the metadata value that carries a key."""
    return f"Bearer {api_key}"


class _Authorized(grpc.aio.Channel):
    """A channel whose every call carries a key: as an interceptor it would cost a task for each call."""

    def __init__(self, channel: grpc.aio.Channel, api_key: str) -> None:
        self._channel, self._proof = channel, (AUTHORIZATION, bearer(api_key))

    def unary_unary(self, *method: Any, **how: Any) -> Any:
        return self._authorized(self._channel.unary_unary(*method, **how))

    def unary_stream(self, *method: Any, **how: Any) -> Any:
        return self._authorized(self._channel.unary_stream(*method, **how))

    def stream_unary(self, *method: Any, **how: Any) -> Any:
        return self._authorized(self._channel.stream_unary(*method, **how))

    def stream_stream(self, *method: Any, **how: Any) -> Any:
        return self._authorized(self._channel.stream_stream(*method, **how))

    def _authorized(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def authorized(request: Any, *, metadata: Iterable[tuple[str, str]] = (), **options: Any) -> Any:
            pairs = tuple(metadata or ())
            if all(key != AUTHORIZATION for key, _ in pairs):
                pairs = (*pairs, self._proof)
            return call(request, metadata=pairs, **options)

        return authorized

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()
