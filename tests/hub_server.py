"""A stand-in of the Hugging Face Hub on loopback, for what is asked before a download: its answers and its errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

GOOD = "hf_good_token_of_lee"
GRANTED = "hf_granted_token_of_kim"
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192, "vocab_size": 128256,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
OPEN_REPO, GATED_REPO = "org/an-8b-Instruct", "meta-llama/Meta-Llama-3-8B"
COMMIT = "8cde5ca8380496c9a6cc7ef3a8b46a0372a1d920"


class _Answers(BaseHTTPRequestHandler):
    """As the Hub does it: X-Error-Code tells which error it is (libraries.md §3.3)."""

    def do_GET(self) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        path = self.path.split("?")[0]
        if token and token not in (GOOD, GRANTED):
            return self._say(401, {"error": "Invalid credentials in Authorization header"})
        if path == "/api/whoami-v2":
            return self._say(200, {"type": "user", "name": "lee" if token == GOOD else "kim"})
        repo = next((one for one in (OPEN_REPO, GATED_REPO) if one in path), None)
        if repo is None:
            return self._say(404, {"error": "Repository not found"}, "RepoNotFound")
        refused = repo == GATED_REPO and token != GRANTED
        if refused and (path.endswith("/auth-check") or "/resolve/" in path):
            return self._say(403, {"error": f"Access to model {repo} is restricted"}, "GatedRepo")
        if path.endswith("/auth-check"):
            return self._say(200, {})
        if "/revision/" in path and not path.endswith(("/main", COMMIT)):
            return self._say(404, {"error": "Invalid rev id"}, "RevisionNotFound")
        if path.startswith("/api/models/"):
            return self._say(200, _info(repo))
        if path.endswith("/config.json"):
            return self._say(200, CONFIG)
        return self._say(404, {"error": "Entry not found"}, "EntryNotFound")

    do_HEAD = do_GET

    def _say(self, status: int, body: dict[str, Any], code: str = "") -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", str(body["error"]))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


def _info(repo: str) -> dict[str, Any]:
    files = {"model-00001-of-00002.safetensors": 9_000_000_000, "model-00002-of-00002.safetensors": 7_060_522_496}
    files |= {"original/consolidated.00.pth": 16_060_617_592, "config.json": 654}
    return {
        "id": repo, "modelId": repo, "sha": COMMIT, "private": False, "tags": [], "downloads": 1, "likes": 1,
        "gated": "manual" if repo == GATED_REPO else False,
        "safetensors": {"parameters": {"BF16": 8_030_261_248}, "total": 8_030_261_248},
        "siblings": [{"rfilename": name, "size": size} for name, size in files.items()],
    }  # fmt: skip


@contextmanager
def serving() -> Iterator[str]:
    """The stand-in's address, while the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The Hub's address while a test lasts; HF_ENDPOINT names it."""
    with serving() as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        yield url
