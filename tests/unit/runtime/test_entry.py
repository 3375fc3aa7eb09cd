"""What every service does when it is up."""

from __future__ import annotations

import gc

from wedsync.runtime.entry import keep_what_is_there


def test_what_is_loaded_is_not_looked_at_again() -> None:
    """What was there before is no longer the garbage collector's; what comes after is."""
    try:
        keep_what_is_there()
        kept, tracked = gc.get_freeze_count(), len(gc.get_objects())
        assert kept > 10 * tracked
    finally:
        gc.unfreeze()
