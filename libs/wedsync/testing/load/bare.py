"""`python -m wedsync.testing.load.bare SECRET`: the gateway's kind of server, with a check of signatures."""

from __future__ import annotations

import hmac
import signal
import socket
import sys

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from wedsync.testing.load.plan import key_bytes, signature


def application(secret: str) -> Starlette:
    """Return what says 202 to a webhook that is signed with the secret, and keeps nothing."""
    key = key_bytes(secret)

    async def take(request: Request) -> JSONResponse:
        body, sent = await request.body(), request.headers
        delivery, at = sent.get("webhook-id", ""), sent.get("webhook-timestamp", "")
        if not hmac.compare_digest(signature(key, delivery, at, body), sent.get("webhook-signature", "")):
            return JSONResponse({"code": "SIGNATURE_WRONG"}, 401)
        orjson.loads(body)
        return JSONResponse({"webhook_id": delivery}, 202)

    return Starlette(routes=[Route("/webhook", take, methods=["POST"])])


def main() -> None:
    """Serve on a free port, and say which."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    app = application(sys.argv[1])
    uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none")).run(sockets=[listening])


if __name__ == "__main__":
    main()
