"""The Ray shell round `owner.py`: Ray places it and ends it; what is asked of it comes by a line of its own.

Ray places actors; it never decides who may write (the fence in the database does). It is not asked to
restart or to repeat anything either: the service replaces actors and repeats changes by their ids.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from ray.exceptions import ActorDiedError

from services.sync import crash_points
from services.sync.actor_store import PostgresOwnerStore
from services.sync.batch import dump_answer, load_batch
from services.sync.lease import Heartbeat, Lease
from services.sync.line import Address, Line, LineBroken, Switchboard, owner_key
from services.sync.mailbox import ActorLost
from services.sync.owner import Owner
from wedsync.errors import WedSyncError
from wedsync.runtime.crash_points import reach

_log = logging.getLogger(__name__)

NAMESPACE = "wedsync"

_CONNECT_SECONDS = 30.0

_APPLY, _PING, _RETIRE = b"a", b"p", b"r"


@ray.remote(max_restarts=0, max_task_retries=0, num_cpus=0)
class WeddingActor:
    """One process that owns up to `capacity` weddings."""

    def __init__(self, url: bytes, owner_id: str, capacity: int, key: bytes) -> None:
        self._line = Switchboard(ray.util.get_node_ip_address(), key, self._answer)
        self._store = PostgresOwnerStore(url.decode())
        self._leases = PostgresOwnerStore(url.decode(), address=str(self._line.address))
        lease = Lease(lambda seconds: self._leases.renew(owner_id, seconds), time.monotonic)
        self._owner = Owner(owner_id=owner_id, store=self._store, lease=lease, capacity=capacity)
        self._heartbeat = Heartbeat(lease, on_revoked=_leave)
        lease.renew()
        self._heartbeat.start()
        gc.freeze()  # what is loaded by now stays: looking through it again and again holds up edits

    def address(self) -> str:
        """Return where the actor listens, once it works."""
        return str(self._line.address)

    def serve(self) -> None:
        """Answer what comes by the lines. Ray's own loop rests meanwhile, and wakes nobody."""
        self._line.serve()

    def _answer(self, request: bytes) -> bytes:
        what, batch = request[:1], request[1:]
        if what == _APPLY:
            answer = dump_answer(self._owner.apply(load_batch(batch)))
            reach(crash_points.BEFORE_ANSWER)
            return answer
        if what == _RETIRE:
            self._retire()
        return str(os.getpid()).encode()

    def _retire(self) -> None:
        """Give everything up before an orderly end."""
        self._heartbeat.stop()
        self._owner.retire()
        self._store.close()
        self._leases.close()
        self._line.close()  # last: with it Ray sees the actor leave


def _leave() -> None:
    # From a thread, while the owner may hang in a call: only the end of the process ends that too.
    _log.warning("this owner was told to leave")
    os._exit(1)


class ActorOnLine:
    """An actor as the directory calls it, whichever server started it."""

    def __init__(self, where: Callable[[], Awaitable[Address]], key: bytes) -> None:
        self._where, self._key = where, key
        self._line: Line | None = None
        self._turn = asyncio.Lock()
        self._lost: ActorLost | None = None

    async def apply(self, batch: bytes, seconds: float) -> bytes:
        """Return the answer to a batch. Raises `ActorLost`."""
        return await self._ask(_APPLY + batch, seconds)

    async def ping(self, seconds: float) -> int:
        """Return the actor's process id. Raises `ActorLost`."""
        return int(await self._ask(_PING, seconds))

    async def retire(self, seconds: float) -> None:
        """Have it give everything up. Raises `ActorLost`."""
        await self._ask(_RETIRE, seconds)

    async def kill(self, seconds: float) -> bool:
        """Return False: only the server that started it can end it."""
        del seconds
        return False

    def cut(self, lost: ActorLost) -> None:
        """Give the actor up; whoever waits for an answer learns why."""
        self._lost = self._lost or lost
        self._drop()

    async def _ask(self, request: bytes, seconds: float) -> bytes:
        try:
            async with asyncio.timeout(seconds), self._turn:
                return await self._exchange(request)
        except TimeoutError as error:
            raise ActorLost(f"no answer within {seconds:g} s") from error
        except LineBroken as error:
            raise self._lost or ActorLost(str(error)) from error

    async def _exchange(self, request: bytes) -> bytes:
        if self._lost is not None:
            raise self._lost
        try:
            self._line = self._line or await Line.open(await self._where(), self._key)
            return await self._line.ask(request)
        except BaseException:
            # Nobody would know which question the next answer belongs to: who asks again takes a new line.
            self._drop()
            raise

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()


class RayActor(ActorOnLine):
    """An actor this server started."""

    def __init__(self, handle: Any, key: bytes) -> None:
        super().__init__(self._find, key)
        self._handle = handle
        self._address = handle.address.remote().future()
        # It never comes to an end by itself: what it raises is that the actor died, and how.
        self._end = asyncio.ensure_future(asyncio.wrap_future(handle.serve.remote().future()))
        self._end.add_done_callback(self._ended)

    async def kill(self, seconds: float) -> bool:
        """End the process; True once it is known to be dead."""
        self.cut(ActorLost("it was ended"))
        try:
            await asyncio.to_thread(ray.kill, self._handle)
        except Exception as error:  # noqa: BLE001  # Ray itself may be gone, in any of its ways
            _log.info("an actor could not be ended: %s", type(error).__name__)
        await asyncio.wait((self._end,), timeout=seconds)
        return self._end.done() and isinstance(self._end.exception(), ActorDiedError)

    async def _find(self) -> Address:
        try:
            return Address.parse(await asyncio.wrap_future(self._address))
        except Exception as error:
            raise ActorLost(type(error).__name__) from error

    def _ended(self, end: asyncio.Future[None]) -> None:
        if not end.cancelled():
            error = end.exception()
            self.cut(ActorLost(type(error).__name__ if error else "it has left"))


class RayActors:
    """Ray as the directory sees it: connect, start an actor."""

    def __init__(
        self,
        *,
        address: str,
        database_url: str,
        capacity: int,
        secret: str,
        where: Callable[[str], Awaitable[str | None]],
    ) -> None:
        self._address, self._capacity = address, capacity
        self._url, self._secret, self._where = database_url.encode(), secret, where

    async def connect(self) -> None:
        """Connect, anew where the connection was lost. Raises `ActorLost`."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.to_thread(self._connect)
        except Exception as error:
            raise ActorLost(f"Ray does not answer ({type(error).__name__})") from error

    async def start(self, owner_id: str) -> RayActor:
        """Start an actor; its process may still be coming up. Raises `ActorLost`."""
        key = owner_key(self._secret, owner_id)
        try:
            # Submitting can block while Ray is in trouble, so it never happens on the event loop.
            handle = await asyncio.to_thread(self._start, owner_id, key)
        except Exception as error:
            raise ActorLost(f"Ray starts nothing ({type(error).__name__})") from error
        return RayActor(handle, key)

    async def find(self, owner_id: str) -> ActorOnLine:
        """Return an actor that any server started. Raises `ActorLost`."""
        try:
            address = await self._where(owner_id)
        except WedSyncError as error:
            raise ActorLost(error.reason) from error
        if not address:
            raise ActorLost("there is no such owner")
        found = Address.parse(address)

        async def where() -> Address:
            return found

        return ActorOnLine(where, owner_key(self._secret, owner_id))

    async def close(self) -> None:
        """Disconnect; the actors end with the connection."""
        await asyncio.to_thread(ray.shutdown)

    def _start(self, owner_id: str, key: bytes) -> Any:
        if not ray.is_initialized():
            raise ActorLost("not connected")  # Ray would start a cluster of its own here
        return WeddingActor.remote(self._url, owner_id, self._capacity, key)  # type: ignore[attr-defined]

    def _connect(self) -> None:
        if ray.is_initialized():
            ray.shutdown()
        ray.init(
            address=self._address,
            namespace=NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
        )
