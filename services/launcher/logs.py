"""Keep the children's log files from filling the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def bound_logs(directory: Path, limit: int) -> None:
    """Move what outgrew `limit` bytes aside to `<name>.log.1`, which it replaces.

    The children hold their files open for appending, so the content is copied and the file emptied in place;
    a line written between the two steps is lost, which is the price of not teaching every child to reopen.
    """
    for log in directory.glob("*.log"):
        with contextlib.suppress(OSError):  # a full disk must not end the supervisor
            if log.stat().st_size > limit:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)
