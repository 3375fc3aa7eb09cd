"""Become the program of a supervised child: drop root, tie life to the parent, replace this process.

Run as a script, by path, with the standard library only, so that a start costs milliseconds and needs no
`preexec_fn` (which is unsafe in a process with threads). Its one argument is JSON, see `Start`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import TypedDict

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_CANNOT_START = 126


class Start(TypedDict):
    """What to become."""

    argv: list[str]
    parent: int
    """Pid of the supervisor: when it is gone already, so are we."""
    death_signal: int
    """What the kernel sends us when the supervisor's process dies (Linux)."""
    uid: int | None
    gid: int | None
    reach_everything: bool
    """Keep the one capability that lets the account pass directories closed to it, such as /root."""


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def become(start: Start) -> None:
    """Replace this process; returns only if there is nobody left to work for."""
    libc = ctypes.CDLL(None, use_errno=True)
    if start["uid"] is not None and start["gid"] is not None:
        _drop_root(libc, start["uid"], start["gid"], keep_reach=start["reach_everything"])
    # After the change of user: the kernel forgets the death signal when the user changes.
    if sys.platform == "linux":
        _call(libc, "prctl", _PR_SET_PDEATHSIG, start["death_signal"], 0, 0, 0)
    if os.getppid() != start["parent"]:
        return
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would pass that on
    os.execv(start["argv"][0], start["argv"])  # noqa: S606  # our own argv, no shell wanted


def _drop_root(libc: ctypes.CDLL, uid: int, gid: int, *, keep_reach: bool) -> None:
    if keep_reach:
        _call(libc, "prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if keep_reach:
        bit = 1 << _CAP_DAC_OVERRIDE
        data = (_CapData * 2)(_CapData(bit, bit, bit), _CapData(0, 0, 0))
        _call(libc, "capset", ctypes.byref(_CapHeader(_CAPABILITY_VERSION_3, 0)), data)
        _call(libc, "prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _call(libc: ctypes.CDLL, name: str, *arguments: object) -> None:
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


if __name__ == "__main__":
    try:
        become(json.loads(sys.argv[1]))
    except OSError as error:
        sys.stderr.write(f"cannot start: {error}\n")
    sys.exit(_CANNOT_START)
