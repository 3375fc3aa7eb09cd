"""What an adapter trips over is the record's fault until shown otherwise: it may hold up nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import structlog

from services.gateway.vendors.port import VendorError, VendorGarbage
from wedsync.errors import WedSyncError

_log = structlog.get_logger(__name__)


class Unexpected(VendorGarbage):
    """An adapter tripped: over the record, or over its own feet."""


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Turn an error that nobody expected into `Unexpected`, which is tried a few times and then parked.

    Our own trouble, a database that is away say, is no reason to give anything up.
    """
    try:
        yield
    except (VendorError, WedSyncError):
        raise
    except Exception as error:
        _log.exception("a record could not be handled")
        # The type only: the text may be personal.
        raise Unexpected(f"it cannot be handled ({type(error).__name__})") from error
