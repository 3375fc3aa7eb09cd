"""The gateway as the sync service sees it: where committed changes are handed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import grpc

from wedsync.api.gateway.v1 import commit_pb2, commit_pb2_grpc
from wedsync.client.calls import CallOptions, unary


class CommitsClient:
    """Internal: the gateway's CommitService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = commit_pb2_grpc.CommitServiceStub(channel)

    async def accept_commits(
        self, commits: Sequence[commit_pb2.Commit], **options: Unpack[CallOptions]
    ) -> None:
        """Hand commits over; returning means they are written down. Safe to repeat."""
        await unary(self._stub.AcceptCommits, commit_pb2.AcceptCommitsRequest(commits=commits), options)
