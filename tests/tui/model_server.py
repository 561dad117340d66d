"""A model server that says what a test tells it to, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from llama_tui.core.interfaces import Address


class BreakOff(Exception):
    """In a script: the connection breaks here."""


class ModelServer:
    """Answers each request with the next script: pieces of text, `hold` (waits for `go`), or BreakOff."""

    def __init__(self) -> None:
        self.scripts: list[list[Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.refusal: tuple[int, str] | None = None
        self.go = asyncio.Event()
        self.gone = asyncio.Event()
        """The client closed a connection before the end."""
        self.finish_reason = "stop"
        self.address = Address("")

    async def answer(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.paths.append(request.url.path)
        if self.refusal:
            status, message = self.refusal
            return JSONResponse({"error": {"message": message, "code": status}}, status)
        script = self.scripts.pop(0) if self.scripts else ["Hello", " there", "!"]
        return StreamingResponse(self._stream(script, "chat" in request.url.path), media_type="text/event-stream")

    async def _stream(self, script: list[Any], chat: bool) -> AsyncIterator[bytes]:
        try:
            for piece in script:
                if piece == "hold":
                    await self.go.wait()
                elif piece is BreakOff:
                    raise BreakOff
                else:
                    yield self._event({"choices": [{"delta": {"content": piece}} if chat else {"text": piece}]})
            yield self._event({"choices": [{"text": "", "finish_reason": self.finish_reason}]})
            yield self._event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": len(script)}})
            yield b"data: [DONE]\n\n"
        except (asyncio.CancelledError, GeneratorExit):
            self.gone.set()
            raise

    @staticmethod
    def _event(body: dict[str, Any]) -> bytes:
        return f"data: {json.dumps(body)}\n\n".encode()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    """A server on a free port while the context lasts."""
    model = ModelServer()
    app = Starlette(
        routes=[Route(path, model.answer, methods=["POST"]) for path in ("/v1/completions", "/v1/chat/completions")]
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        model.address = Address(f"http://127.0.0.1:{listening.getsockname()[1]}")
        server = _Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            while not server.started:
                await asyncio.sleep(0.01)
            yield model
        finally:
            model.go.set()
            server.should_exit = True
            with contextlib.suppress(Exception):
                await serving
