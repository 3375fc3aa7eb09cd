"""The conflicts service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Unpack

import grpc

from wedsync.api.conflicts.v1 import service_pb2, service_pb2_grpc
from wedsync.client.calls import CallOptions, pages, unary


class ConflictsClient:
    """Disagreements between sources, and who decides them."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = service_pb2_grpc.ConflictServiceStub(channel)

    async def adjudicate(
        self,
        collisions: Sequence[service_pb2.Collision],
        endings: Sequence[service_pb2.Ending] = (),
        **options: Unpack[CallOptions],
    ) -> None:
        """Internal: hand collisions, and the ends of earlier ones, over. Safe to repeat."""
        request = service_pb2.AdjudicateRequest(collisions=collisions, endings=endings)
        await unary(self._stub.Adjudicate, request, options)

    async def resolve_conflict(
        self, request: service_pb2.ResolveConflictRequest, **options: Unpack[CallOptions]
    ) -> service_pb2.Conflict:
        """Decide a conflict. Safe to repeat with the same request id.

        Raises `NotFound`, and `FailedPrecondition` if it was decided before.
        """
        return await unary(self._stub.ResolveConflict, request, options)

    async def get_conflict(self, conflict_id: str, **options: Unpack[CallOptions]) -> service_pb2.Conflict:
        """Return one conflict. Raises `NotFound`."""
        request = service_pb2.GetConflictRequest(conflict_id=conflict_id)
        return await unary(self._stub.GetConflict, request, options)

    def list_conflicts(
        self,
        *,
        wedding_id: str = "",
        state: service_pb2.ConflictState.ValueType = service_pb2.CONFLICT_STATE_UNSPECIFIED,
        page_size: int = 0,
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[service_pb2.Conflict]:
        """Yield the caller's conflicts, newest first, optionally of one wedding or in one state."""

        async def fetch(token: str) -> tuple[Sequence[service_pb2.Conflict], str]:
            request = service_pb2.ListConflictsRequest(
                wedding_id=wedding_id, state=state, page_size=page_size, page_token=token
            )
            answer = await unary(self._stub.ListConflicts, request, options)
            return answer.conflicts, answer.next_page_token

        return pages("", fetch)
