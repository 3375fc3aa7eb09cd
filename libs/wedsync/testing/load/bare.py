"""`python -m wedsync.testing.load.bare`: the gateway's kind of server, which reads a body and says 202."""

from __future__ import annotations

import signal
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def _take(request: Request) -> JSONResponse:
    return JSONResponse({"webhook_id": str(len(await request.body()))}, 202)


def main() -> None:
    """Serve on a free port, and say which."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    app = Starlette(routes=[Route("/webhook", _take, methods=["POST"])])
    uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none")).run(sockets=[listening])


if __name__ == "__main__":
    main()
