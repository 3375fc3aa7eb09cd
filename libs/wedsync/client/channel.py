"""Channels to WedSync's services: limits, keepalive, retries and the caller's proof, in one place."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
from grpc.aio import ClientCallDetails, Metadata, UnaryStreamCall, UnaryUnaryCall

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

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
    interceptors = _authorizers(api_key) if api_key else []
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS, interceptors=interceptors)
    return grpc.aio.secure_channel(target, credentials, options=_OPTIONS, interceptors=interceptors)


def bearer(api_key: str) -> str:
    """Return the metadata value that carries a key."""
    return f"Bearer {api_key}"


def _authorizers(api_key: str) -> list[grpc.aio.ClientInterceptor]:
    return [_AuthorizeUnary(api_key), _AuthorizeStream(api_key)]


def _authorized(details: ClientCallDetails, api_key: str) -> ClientCallDetails:
    metadata = Metadata(*(details.metadata or ()))
    if all(key != AUTHORIZATION for key, _ in metadata):
        metadata.add(AUTHORIZATION, bearer(api_key))
    return ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


# Two classes, because grpc.aio uses an interceptor for the first kind of call it knows and no other.
class _AuthorizeUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    async def intercept_unary_unary(
        self,
        continuation: Callable[[ClientCallDetails, _Request], Awaitable[UnaryUnaryCall[_Request, _Response]]],
        client_call_details: ClientCallDetails,
        request: _Request,
    ) -> UnaryUnaryCall[_Request, _Response]:
        return await continuation(_authorized(client_call_details, self._api_key), request)


class _AuthorizeStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    async def intercept_unary_stream(
        self,
        continuation: Callable[[ClientCallDetails, _Request], Awaitable[UnaryStreamCall[_Request, Any]]],
        client_call_details: ClientCallDetails,
        request: _Request,
    ) -> AsyncIterator[Any] | UnaryStreamCall[_Request, Any]:
        return await continuation(_authorized(client_call_details, self._api_key), request)
