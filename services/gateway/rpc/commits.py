"""Where the sync service hands over what it committed."""
# ruff: noqa: N802, ARG002  # names and parameters are gRPC's

from __future__ import annotations

from typing import Any

import grpc

from services.gateway import crash_points
from services.gateway.onward import Onward
from services.gateway.store.deliveries import Claimed, Commit, DeliveryStore
from wedsync.api.gateway.v1 import commit_pb2, commit_pb2_grpc
from wedsync.convert import item_from_message
from wedsync.convert.changes import moment, priority_from_message
from wedsync.errors import FieldViolation, InvalidRequest
from wedsync.runtime.crash_points import reach
from wedsync.runtime.principal import Scope, require

MAX_COMMITS = 500

Context = grpc.aio.ServicerContext[Any, Any]


class CommitRpc(commit_pb2_grpc.CommitServiceServicer):
    """The servicer of `CommitService`."""

    def __init__(self, *, store: DeliveryStore, onward: Onward[Claimed]) -> None:
        self._store, self._onward = store, onward

    async def AcceptCommits(
        self, request: commit_pb2.AcceptCommitsRequest, context: Context
    ) -> commit_pb2.AcceptCommitsResponse:
        """Take over commits: projection and due deliveries, then answer."""
        require(Scope.INTERNAL)
        if not 1 <= len(request.commits) <= MAX_COMMITS:
            raise InvalidRequest(violations=[FieldViolation("commits", f"must hold 1 to {MAX_COMMITS}")])
        commits = [_commit(message) for message in request.commits]
        due = await self._store.accept(commits, room=self._onward.room)
        reach(crash_points.COMMITS_STORED)
        self._onward.go_on(due)
        return commit_pb2.AcceptCommitsResponse()


def _commit(message: commit_pb2.Commit) -> Commit:
    return Commit(
        wedding_id=message.wedding_id,
        sequence=message.sequence,
        change_id=message.change_id,
        committed_at=moment(message.commit_time),
        item=item_from_message(message.item),
        priority=priority_from_message(message.priority),
        trace_parent=message.trace_parent,
    )
