"""What every service does once it is built."""

from __future__ import annotations

import gc

from wedsync.runtime.entry import keep_what_is_loaded


def test_what_is_loaded_is_not_looked_through_again() -> None:
    """Objects that are there by then are out of the collector's sight; later ones are not."""
    old: list[list[int]] = [[]]
    try:
        keep_what_is_loaded()
        new: list[list[int]] = [[]]
        watched = {id(each) for each in gc.get_objects()}
        assert id(old) not in watched
        assert id(new) in watched
    finally:
        gc.unfreeze()
