"""The demo as a whole."""

from __future__ import annotations

from wedsync.cli.connection import find_connection
from wedsync.cli.demo.measure import play
from wedsync.cli.demo.play import Play
from wedsync.cli.demo.sandbox import Sandbox, find_sandbox
from wedsync.cli.demo.screen import Data, Screen, Terminal
from wedsync.cli.demo.stage import set_up
from wedsync.cli.http import Send, send
from wedsync.cli.session import connected, explain
from wedsync.client import GatewayClient, SyncClient
from wedsync.clock import Clock, SystemClock
from wedsync.errors import WedSyncError


async def perform(*, as_json: bool, keep: bool) -> bool:
    """Play the demo on the running system; say whether everything arrived."""
    connection = find_connection()
    sandbox = find_sandbox(connection)
    async with connected(connection) as clients:
        sync, gateway = await clients.sync(), await clients.gateway()
        screen: Screen = Data() if as_json else Terminal()
        return await tell(screen, sync, gateway, sandbox, send=send, clock=SystemClock(), keep=keep)


async def tell(
    screen: Screen,
    sync: SyncClient,
    gateway: GatewayClient,
    sandbox: Sandbox,
    *,
    send: Send,
    clock: Clock,
    keep: bool,
) -> bool:
    """Set everything up, play every act and tell it; say whether all went well."""
    try:
        screen.waiting("making a wedding, a job, a calendar, a customer and a channel, and linking them")
        async with set_up(sync, gateway, sandbox, send=send, clock=clock, keep=keep) as stage:
            screen.linked(stage)
            for number, act in enumerate(Play(stage).acts(), 1):
                screen.waiting(act.title)
                screen.done(number, await play(act, stage))
        screen.finished()
    except WedSyncError as error:
        screen.failed(explain(error))
        return False
    finally:
        screen.close()
    return True
