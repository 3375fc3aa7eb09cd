"""The typed clients of WedSync: deadlines, retries, and errors restored to what the service raised.

From another service, whole::

    from wedsync.client import SyncClient, new_item, open_channel, wedding_message
    from wedsync.model.items import ItemKind

    async with open_channel("127.0.0.1:50052", api_key=key) as channel:
        sync = SyncClient(channel)
        wedding = await sync.create_wedding(wedding_message("Ada & Grace", "2027-06-12", "Europe/Paris"))
        dance = new_item(ItemKind.TIMELINE_EVENT, title="First dance")
        print(await sync.apply_changes(wedding.wedding_id, [dance]))
"""

from wedsync.client.calls import CallOptions
from wedsync.client.channel import open_channel
from wedsync.client.commits import CommitsClient
from wedsync.client.conflicts import ConflictsClient
from wedsync.client.gateway import GatewayClient
from wedsync.client.health import HealthClient
from wedsync.client.sync import CALLER, SyncClient, new_item, wedding_message

__all__ = [
    "CALLER",
    "CallOptions",
    "CommitsClient",
    "ConflictsClient",
    "GatewayClient",
    "HealthClient",
    "SyncClient",
    "new_item",
    "open_channel",
    "wedding_message",
]
