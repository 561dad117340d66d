"""One model repository on loopback, as Hugging Face serves it: its list of files, and the files themselves."""

import asyncio
import hashlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

COMMIT = "0" * 39 + "1"
PIECE = 1 << 20


class HubStandIn:
    """Serves the files of a folder as `repo_id`; `bytes_per_second` is what its line carries."""

    def __init__(self, repo_id: str, folder: Path, *, bytes_per_second: float) -> None:
        self.repo_id = repo_id
        self.first_byte = self.last_byte = 0.0
        """time.monotonic() of the weights' first and last byte."""
        self._folder = folder
        self._pause = PIECE / bytes_per_second
        self._etags = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
        self._app = Starlette(
            routes=[
                Route("/api/models/{org}/{name}", self._info),
                Route("/api/models/{org}/{name}/revision/{revision}", self._info),
                Route("/api/models/{org}/{name}/tree/{revision}", self._tree),
                Route("/{org}/{name}/resolve/{revision}/{file}", self._file, methods=["GET", "HEAD"]),
            ]
        )

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its URL while the context lasts."""
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(self._app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)

    async def _info(self, request: Request) -> Response:
        files = [{"rfilename": name} for name in sorted(self._etags)]
        return JSONResponse({"_id": "1", "id": self.repo_id, "modelId": self.repo_id, "sha": COMMIT,
                             "private": False, "gated": False, "tags": [], "siblings": files})  # fmt: skip

    async def _tree(self, request: Request) -> Response:
        return JSONResponse(
            [{"type": "file", "path": name, "size": (self._folder / name).stat().st_size, "oid": etag}
             for name, etag in sorted(self._etags.items())]
        )  # fmt: skip

    async def _file(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in self._etags:
            return JSONResponse({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        file = self._folder / name
        size = file.stat().st_size
        headers = {"ETag": f'"{self._etags[name]}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        begin, end = 0, size
        if asked := request.headers.get("range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last) + 1, size) if last else size
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - begin)
        if request.method == "HEAD":
            return Response(headers=headers)
        return StreamingResponse(self._pieces(file, begin, end), 206 if asked else 200, headers)

    async def _pieces(self, file: Path, begin: int, end: int) -> AsyncIterator[bytes]:
        weights = file.suffix == ".safetensors" and end - begin == file.stat().st_size
        due = time.monotonic()
        if weights:  # a part of it is a look at its header
            self.first_byte = due
        with file.open("rb") as source:
            source.seek(begin)
            while piece := source.read(min(PIECE, end - source.tell())):
                yield piece
                due += self._pause * len(piece) / PIECE
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        if weights:
            self.last_byte = time.monotonic()
