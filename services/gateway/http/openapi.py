"""The REST surface described for machines (OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any

_PROBLEM = {
    "description": "What is wrong: a stable `code` and a `detail` that says how to mend it.",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["status", "code", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "status": {"type": "integer"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "violations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                        },
                    },
                },
            }
        }
    },
}


def _parameter(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }


def _operation(
    summary: str,
    answers: dict[str, str],
    *,
    parameters: list[dict[str, Any]] | None = None,
    open_: bool = False,
) -> dict[str, Any]:
    responses: dict[str, Any] = {status: {"description": text} for status, text in answers.items()}
    return {
        "summary": summary,
        "parameters": parameters or [],
        "responses": {**responses, "default": _PROBLEM},
        "security": [] if open_ else [{"apiKey": []}],
    }


_WEDDING = _parameter("wedding_id", "UUID of the wedding.")

OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "WedSync gateway", "version": "1"},
    "components": {"securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}}},
    "paths": {
        "/api/integrations/webhooks/{vendor}/{endpoint_key}": {
            "post": _operation(
                "Take a vendor's webhook; 2xx once it is committed.",
                {"202": "Accepted.", "200": "Known already; nothing was done."},
                parameters=[
                    _parameter("vendor", "The vendor."),
                    _parameter("endpoint_key", "The secret part of the address."),
                ],
                open_=True,
            )
        },
        "/api/integrations/vendor/connect": {
            "post": _operation("Connect an account at a vendor.", {"201": "Connected."})
        },
        "/api/integrations/sync/{wedding_id}": {
            "get": _operation("How each link is doing.", {"200": "The links."}, parameters=[_WEDDING]),
            "post": _operation("Look at every vendor now.", {"202": "Due now."}, parameters=[_WEDDING]),
        },
        "/api/weddings/{wedding_id}/events": {
            "get": _operation(
                "The wedding's log as server-sent events; resume with Last-Event-ID.",
                {"200": "text/event-stream"},
                parameters=[_WEDDING],
            )
        },
        "/healthz": {"get": _operation("The process lives.", {"200": "Yes."}, open_=True)},
        "/readyz": {"get": _operation("It can work.", {"200": "Yes.", "503": "Not now."}, open_=True)},
        "/metrics": {"get": _operation("Prometheus metrics.", {"200": "OpenMetrics text."}, open_=True)},
        "/openapi.json": {"get": _operation("This document.", {"200": "OpenAPI 3.1."}, open_=True)},
    },
}
