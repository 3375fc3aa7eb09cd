"""The Ray shell round `owner.py`: bytes in, bytes out, and a thread that keeps the lease.

Ray places actors; it never decides who may write (the fence in the database does). It is not asked to
restart or to repeat anything either: the service replaces actors and repeats changes by their ids.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorDiedError

from services.sync import crash_points
from services.sync.actor_store import PostgresOwnerStore
from services.sync.batch import dump_answer, load_batch
from services.sync.lease import Heartbeat, Lease
from services.sync.mailbox import ActorLost
from services.sync.owner import Owner

_log = logging.getLogger(__name__)

NAMESPACE = "wedsync"

_CONNECT_SECONDS = 30.0
_FIND_SECONDS = 2.0


@ray.remote(max_restarts=0, max_task_retries=0, num_cpus=0)
class WeddingActor:
    """One process that owns up to `capacity` weddings."""

    def __init__(self, url: bytes, owner_id: str, capacity: int) -> None:
        self._store, self._leases = PostgresOwnerStore(url.decode()), PostgresOwnerStore(url.decode())
        lease = Lease(lambda seconds: self._leases.renew(owner_id, seconds), time.monotonic)
        self._owner = Owner(owner_id=owner_id, store=self._store, lease=lease, capacity=capacity)
        self._heartbeat = Heartbeat(lease, on_revoked=_leave)
        lease.renew()
        self._heartbeat.start()
        gc.freeze()  # what is loaded by now stays: looking through it again and again holds up edits

    def apply(self, batch: bytes) -> bytes:
        """Apply a batch; what went wrong is said in the answer."""
        answer = dump_answer(self._owner.apply(load_batch(batch)))
        crash_points.reach(crash_points.BEFORE_ANSWER)
        return answer

    def ping(self) -> int:
        """Return the process id once the actor works."""
        return os.getpid()

    def retire(self) -> None:
        """Give everything up before an orderly end."""
        self._heartbeat.stop()
        self._owner.retire()
        self._store.close()
        self._leases.close()


def _leave() -> None:
    # From a thread, while the owner may hang in a call: only the end of the process ends that too.
    _log.warning("this owner was told to leave")
    os._exit(1)


class RayActor:
    """One actor as the directory calls it."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def apply(self, batch: bytes, seconds: float) -> bytes:
        """Return the answer to a batch. Raises `ActorLost`."""
        return bytes(await _answer(lambda: self._handle.apply.remote(batch), seconds))

    async def ping(self, seconds: float) -> int:
        """Return the actor's process id. Raises `ActorLost`."""
        return int(await _answer(self._handle.ping.remote, seconds))

    async def retire(self, seconds: float) -> None:
        """Have it give everything up. Raises `ActorLost`."""
        await _answer(self._handle.retire.remote, seconds)

    async def kill(self, seconds: float) -> bool:
        """End the process; True once it is known to be dead."""
        try:
            await asyncio.to_thread(ray.kill, self._handle)
            await self.ping(seconds)
        except ActorLost as lost:
            return isinstance(lost.__cause__, ActorDiedError)
        except Exception as error:  # noqa: BLE001  # Ray itself may be gone, in any of its ways
            _log.info("an actor could not be ended: %s", type(error).__name__)
        return False


class RayActors:
    """Ray as the directory sees it: connect, start an actor."""

    def __init__(self, *, address: str, database_url: str, capacity: int) -> None:
        self._address, self._capacity = address, capacity
        self._url = database_url.encode()

    async def connect(self) -> None:
        """Connect, anew where the connection was lost. Raises `ActorLost`."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.to_thread(self._connect)
        except Exception as error:
            raise ActorLost(f"Ray does not answer ({type(error).__name__})") from error

    async def start(self, owner_id: str) -> RayActor:
        """Start an actor; its process may still be coming up. Raises `ActorLost`."""
        try:
            # Submitting can block while Ray is in trouble, so it never happens on the event loop.
            handle = await asyncio.to_thread(self._start, owner_id)
        except Exception as error:
            raise ActorLost(f"Ray starts nothing ({type(error).__name__})") from error
        return RayActor(handle)

    async def find(self, owner_id: str) -> RayActor:
        """Return an actor that any service on this Ray started. Raises `ActorLost`."""
        try:
            async with asyncio.timeout(_FIND_SECONDS):
                handle = await asyncio.to_thread(ray.get_actor, _name(owner_id), NAMESPACE)
        except Exception as error:
            raise ActorLost(f"there is no such owner ({type(error).__name__})") from error
        return RayActor(handle)

    async def close(self) -> None:
        """Disconnect; the actors end with the connection."""
        await asyncio.to_thread(ray.shutdown)

    def _start(self, owner_id: str) -> Any:
        if not ray.is_initialized():
            raise ActorLost("not connected")  # Ray would start a cluster of its own here
        named = WeddingActor.options(name=_name(owner_id))  # type: ignore[attr-defined]  # by ray
        return named.remote(self._url, owner_id, self._capacity)

    def _connect(self) -> None:
        if ray.is_initialized():
            ray.shutdown()
        ray.init(
            address=self._address,
            namespace=NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
        )


def _name(owner_id: str) -> str:
    return f"wedding-owner-{owner_id}"


async def _answer(submit: Callable[[], Any], seconds: float) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.wrap_future(submit().future())
    except TimeoutError as error:
        raise ActorLost(f"no answer within {seconds:g} s") from error
    except Exception as error:
        # Mostly a RayError; without a connection Ray raises whatever its layers happen to.
        raise ActorLost(type(error).__name__) from error
