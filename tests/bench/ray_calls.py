"""`python -m tests.bench.ray_calls SECONDS`: how many calls of an actor are answered in a second."""

from __future__ import annotations

import os
import sys
import time

import ray

_PAYLOAD = b"x" * 1536
_AT_ONCE = 8


def main() -> None:
    """Print the rate."""
    seconds = float(sys.argv[1])
    ray.init(address=os.environ["WEDSYNC_RAY_ADDRESS"], namespace="bench", log_to_driver=False)
    actor = ray.remote(_Echo).options(num_cpus=0).remote()
    ray.get(actor.say.remote(_PAYLOAD))
    began, count = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        ray.get([actor.say.remote(_PAYLOAD) for _ in range(_AT_ONCE)])
        count += _AT_ONCE
    rate = count / (time.monotonic() - began)
    ray.kill(actor)
    ray.shutdown()
    sys.stdout.write(f"{rate}\n")


class _Echo:
    """Answers what it is told."""

    def say(self, what: bytes) -> bytes:
        """Return it."""
        return what


if __name__ == "__main__":
    main()
