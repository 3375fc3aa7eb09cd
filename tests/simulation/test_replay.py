"""A seed that failed is worth something only if it fails again in the same way."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.simulation.__main__ import lived

SEED = 17


def test_a_seed_is_the_same_every_time() -> None:
    """Twice the same seed: the same things happen at the same imagined moments, after other seeds too."""
    first, other, again = lived(SEED), lived(SEED + 1), lived(SEED)
    assert first == again
    assert other.digest != first.digest


def test_a_seed_is_the_same_in_every_process() -> None:
    """The command that a failure names shows what happened, however Python orders its sets."""
    digests = {_digest(hash_seed) for hash_seed in ("1", "2")}
    assert digests == {lived(SEED).digest}


def _digest(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", str(SEED)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()[-1]
