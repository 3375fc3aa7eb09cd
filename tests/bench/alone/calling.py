"""`python -m tests.bench.alone.calling ADDRESS ACTORS SIZE SECONDS`: Ray calls, one in flight for each actor.

Each carries SIZE changes of some 600 bytes to an actor that gives as much back.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import ray

from tests.bench.alone.told import say, wait

_CHANGE_BYTES = 600


class Echo:
    """Gives back what it is given."""

    def call(self, changes: bytes) -> bytes:
        """Return it."""
        return changes


def calls(actors: list[Any], size: int, seconds: float) -> tuple[int, float]:
    """Return how many calls were answered, and in how many seconds."""
    sent = b"x" * (_CHANGE_BYTES * size)
    running = {actor.call.remote(sent): actor for actor in actors}
    done, began = 0, time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        ready, _ = ray.wait(list(running), num_returns=1)
        for answered in ready:
            actor = running.pop(answered)
            ray.get(answered)
            done += 1
            running[actor.call.remote(sent)] = actor
    return done, now - began


def main(address: str, count: int, size: int, seconds: float) -> None:
    """Start the actors, call them for a moment to warm them, then say what was done."""
    ray.init(address=address, namespace="ceilings", logging_level="ERROR", log_to_driver=False)
    remote = ray.remote(num_cpus=0)(Echo)
    actors = [remote.remote() for _ in range(count)]
    calls(actors, size, min(1.0, seconds))
    say("ready")
    wait()
    done, took = calls(actors, size, seconds)
    say({"done": done * size, "seconds": took})
    wait()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
