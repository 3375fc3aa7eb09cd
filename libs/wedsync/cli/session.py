"""Open clients for one command, and turn what goes wrong into one line that says how to mend it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from wedsync.cli.connection import API_KEY, Connection, find_connection
from wedsync.cli.output import complain
from wedsync.errors import PermissionDenied, Unauthenticated, Unavailable, WedSyncError

if TYPE_CHECKING:
    import grpc

    from wedsync.client import ConflictsClient, GatewayClient, HealthClient, SyncClient

_Result = TypeVar("_Result")

_INTERRUPTED = 130


class Clients:
    """The services' clients; a channel is opened when its service is first asked for."""

    def __init__(self, connection: Connection, stack: AsyncExitStack) -> None:
        self.connection, self._stack = connection, stack

    async def sync(self) -> SyncClient:
        """Return the client of the sync service."""
        from wedsync.client import SyncClient  # noqa: PLC0415 - gRPC only where a call is made

        return SyncClient(await self._channel("sync"))

    async def gateway(self) -> GatewayClient:
        """Return the client of the gateway."""
        from wedsync.client import GatewayClient  # noqa: PLC0415 - see above

        return GatewayClient(await self._channel("gateway"))

    async def conflicts(self) -> ConflictsClient:
        """Return the client of the conflicts service."""
        from wedsync.client import ConflictsClient  # noqa: PLC0415 - see above

        return ConflictsClient(await self._channel("conflicts"))

    async def health(self) -> HealthClient:
        """Return the client of the health service."""
        from wedsync.client import HealthClient  # noqa: PLC0415 - see above

        return HealthClient(await self._channel("health"))

    async def _channel(self, service: str) -> grpc.aio.Channel:
        from wedsync.client import open_channel  # noqa: PLC0415 - see above

        target, key = self.connection.target(service), self.connection.key()
        return await self._stack.enter_async_context(open_channel(target, api_key=key))


@asynccontextmanager
async def connected(connection: Connection | None = None) -> AsyncIterator[Clients]:
    """Yield the clients of the system that the environment names or that runs here."""
    async with AsyncExitStack() as stack:
        yield Clients(connection or find_connection(), stack)


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Do a command's work; an error ends the command with one line and status 1."""
    try:
        return asyncio.run(work)
    except WedSyncError as error:
        complain(explain(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def explain(error: WedSyncError) -> str:
    """Return what went wrong and the cure, in one line."""
    said = "; ".join([str(error).rstrip("."), *(f"{v.field} {v.description}" for v in error.violations)])
    return f"{said}. {_cure(error)}".strip()


def _cure(error: WedSyncError) -> str:
    match error:
        case Unavailable():
            return "`wedsync doctor` says what is wrong."
        case Unauthenticated() | PermissionDenied():
            return f"Set {API_KEY} to a key that may do this."
        case _ if error.retryable:
            return "Try again."
    return ""
