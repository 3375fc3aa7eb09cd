"""A gateway and a conflicts service that write down what they are told, and agree to all of it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from wedsync.api.conflicts.v1 import service_pb2 as conflicts_pb2
from wedsync.api.conflicts.v1 import service_pb2_grpc as conflicts_grpc
from wedsync.api.gateway.v1 import commit_pb2, commit_pb2_grpc


class Receivers:
    """Both services on one port, in threads of their own: they outlive every test's event loop."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._lock = threading.Lock()
        self._commits: dict[str, dict[int, str]] = defaultdict(dict)
        self._collisions: dict[str, set[tuple[int, str, str]]] = defaultdict(set)
        self.contradictions: list[str] = []
        """Sequences that were told again as another change."""
        self._server = grpc.server(ThreadPoolExecutor(max_workers=2))
        commit_pb2_grpc.add_CommitServiceServicer_to_server(_Gateway(self), self._server)
        conflicts_grpc.add_ConflictServiceServicer_to_server(_Conflicts(self), self._server)  # type: ignore[abstract]  # only what is called
        self._server.add_insecure_port(target)

    def start(self) -> None:
        """Begin to listen."""
        self._server.start()

    def stop(self) -> None:
        """Go away."""
        self._server.stop(None).wait()

    def commits(self, wedding_id: str) -> Mapping[int, str]:
        """Return the change told for each sequence of a wedding."""
        with self._lock:
            return dict(self._commits[wedding_id])

    def collisions(self, wedding_id: str) -> set[tuple[int, str, str]]:
        """Return the sequence, item and field of each collision told of a wedding."""
        with self._lock:
            return set(self._collisions[wedding_id])

    def note_commit(self, commit: commit_pb2.Commit) -> None:
        """Write a commit down."""
        with self._lock:
            known = self._commits[commit.wedding_id].setdefault(commit.sequence, commit.change_id)
            if known != commit.change_id:
                self.contradictions.append(f"{commit.wedding_id} {commit.sequence}")

    def note_collision(self, collision: conflicts_pb2.Collision) -> None:
        """Write a collision down."""
        with self._lock:
            place = (collision.sequence, collision.item_id, collision.path)
            self._collisions[collision.wedding_id].add(place)


class _Gateway(commit_pb2_grpc.CommitServiceServicer):
    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers

    def AcceptCommits(  # noqa: N802
        self, request: commit_pb2.AcceptCommitsRequest, context: Any
    ) -> commit_pb2.AcceptCommitsResponse:
        for commit in request.commits:
            self._receivers.note_commit(commit)
        return commit_pb2.AcceptCommitsResponse()


class _Conflicts(conflicts_grpc.ConflictServiceServicer):
    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers

    def Adjudicate(  # noqa: N802
        self, request: conflicts_pb2.AdjudicateRequest, context: Any
    ) -> conflicts_pb2.AdjudicateResponse:
        for collision in request.collisions:
            self._receivers.note_collision(collision)
        return conflicts_pb2.AdjudicateResponse()
