"""When a link stops by itself, so that nothing is lost before a person has looked; what concerns it waits."""

from __future__ import annotations

from services.gateway.deliver.retry import RECONNECT
from services.gateway.ports import Ports
from services.gateway.records import Link
from services.gateway.store.links import LinkStore
from services.gateway.vendors.port import NotCalled, VendorAuthFailed, VendorError

_WAIT_SECONDS = 60.0
_AGAIN_SECONDS = 0.5


class LinkStopped(NotCalled):
    """The link is paused: what concerns it waits until it goes on."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the link is paused: {reason}", retry_after=_WAIT_SECONDS)


async def account_refused(ports: Ports, links: LinkStore, link: Link, error: VendorError) -> VendorError:
    """Stop the link if the vendor refuses our credentials altogether; return what that makes of the error.

    One record that we may not touch is refused by the same words, so the vendor is asked about the account.
    """
    if not isinstance(error, VendorAuthFailed):
        return error
    try:
        await (await ports.open(link)).check()
    except VendorAuthFailed:
        reason = f"{error}. {RECONNECT}."
        if await links.refuse_account(link, reason):
            return LinkStopped(reason)
        return NotCalled("the account has just been connected again", retry_after=_AGAIN_SECONDS)
    except VendorError:
        return error
    return error


async def deletes_doubted(links: LinkStore, link: Link, gone: int, known: int) -> NotCalled:
    """Stop the link and ask: so many records at once may be the vendor's mistake. Return what is said then.

    Several find that out at the same time: what one has asked, a person may have answered before the next.
    """
    resume = f"`wedsync link resume {link.link_id}"
    reason = (
        f"{gone} of {known} records are suddenly gone at the vendor. Were they deleted on purpose? Then say "
        f"{resume} --believe-deletes`; if not, see to it that the vendor shows them again, and say {resume}`."
    )
    if await links.doubt_deletes(link, reason):
        return LinkStopped(reason)
    return NotCalled("a person has just said that the deletes are meant", retry_after=_AGAIN_SECONDS)
