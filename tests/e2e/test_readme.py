"""What the README tells a new user to do, done as written."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto as File
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.support.stack import Stack

_ROOT = Path(__file__).resolve().parents[2]
_README = (_ROOT / "README.md").read_text()
_SECONDS = 120


def _environment(stack: Stack) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEDSYNC_")}
    return {
        **kept,
        "WEDSYNC_HOME": str(stack.home),
        "WEDSYNC_API_KEY": stack.demo_key,
        "WEDSYNC_SYNC_TARGET": stack.run["grpc"]["sync"],
    }


def test_the_demo_shows_every_edit_arriving(stack: Stack) -> None:
    """`wedsync demo --json` links a wedding to four vendors and reports every edit with its stage times."""
    command = [sys.executable, "-c", "from wedsync.cli import main; main()", "demo", "--json"]
    done = subprocess.run(
        command, env=_environment(stack), capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert len(steps) >= 8
    assert all(step["journeys"] and all(j["stages"] for j in step["journeys"]) for step in steps)


def test_the_python_example_runs_as_printed(stack: Stack) -> None:
    """The README's example of calling WedSync from another service works when pasted into a file."""
    [example] = re.findall(r"```python\n(.*?)```", _README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example],
        env=_environment(stack),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "applied" in done.stdout


async def test_the_grpcurl_line_works_through_reflection(stack: Stack) -> None:
    """The call the README makes with grpcurl can be made knowing nothing but what reflection tells."""
    [(request, name)] = re.findall(
        r"-d '(\{.*?\})'.*?wedsync\.api\.sync\.v1\.SyncService/(\w+)", _README, re.DOTALL
    )
    async with grpc.aio.insecure_channel(stack.run["grpc"]["sync"]) as channel:
        pool = await _described(channel, "wedsync.api.sync.v1.SyncService")
        described = pool.FindMethodByName(f"wedsync.api.sync.v1.SyncService.{name}")
        answer_type = message_factory.GetMessageClass(described.output_type)
        question = message_factory.GetMessageClass(described.input_type)(**json.loads(request))
        call: Any = channel.unary_unary(
            f"/wedsync.api.sync.v1.SyncService/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer_type.FromString,
        )
        answer = await call(question, timeout=10, metadata=(("authorization", f"Bearer {stack.demo_key}"),))
    assert answer.DESCRIPTOR.full_name == described.output_type.full_name


async def _described(channel: grpc.aio.Channel, service: str) -> descriptor_pool.DescriptorPool:
    """Fetch the service's files and everything they import, as grpcurl does."""
    pool, known = descriptor_pool.DescriptorPool(), set[str]()
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    first = reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)
    waiting: list[reflection_pb2.ServerReflectionRequest] = [first]
    found: dict[str, File] = {}
    while waiting:
        async for answer in stub.ServerReflectionInfo(iter([waiting.pop()])):
            for raw in answer.file_descriptor_response.file_descriptor_proto:
                file = File.FromString(raw)
                found[file.name] = file
                missing = set(file.dependency) - known - set(found)
                known |= missing
                waiting += [reflection_pb2.ServerReflectionRequest(file_by_filename=path) for path in missing]
    for file in _in_order(found):
        pool.Add(file)
    return pool


def _in_order(
    files: dict[str, File],
) -> list[File]:
    ordered: dict[str, File] = {}

    def visit(file: File) -> None:
        for dependency in file.dependency:
            visit(files[dependency])
        ordered.setdefault(file.name, file)

    for file in files.values():
        visit(file)
    return list(ordered.values())


def test_a_second_start_says_so_and_names_the_way_out(stack: Stack) -> None:
    """Starting again in the same directory is refused, with the way out, and disturbs nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "services"],
        env={**_environment(stack), "WEDSYNC_PORTS": "auto"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode != 0
    assert "WEDSYNC_HOME" in done.stdout + done.stderr
    assert asyncio.run(_serving(stack))


async def _serving(stack: Stack) -> bool:
    async with stack.channel("gateway") as channel:
        await asyncio.wait_for(channel.channel_ready(), 10)
    return True
