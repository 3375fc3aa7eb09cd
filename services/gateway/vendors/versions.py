"""What a manifest says of the versions of its vendor's records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What the versions of the vendor's records are good for, besides telling two of them apart."""

    rise: bool = False
    """Each is a whole number, and greater than all before it of the same record id, its deletes included."""
    guard_writes: bool = False
    """A write that names another version than the record has is refused: it need not be read before."""


OPAQUE = Versions()
"""Good for nothing else."""
