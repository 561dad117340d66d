"""Steps that every engine takes, run by a real shell."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llama_tui.engines import steps

KEY = "the-servers-own"


class _Server(BaseHTTPRequestHandler):
    """Healthy for everybody, its models for those with its key: as vLLM and llama.cpp answer."""

    def do_GET(self) -> None:
        open_to_all = self.path == "/health" or self.headers["Authorization"] == f"Bearer {KEY}"
        self.send_response(200 if open_to_all else 401)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def waits(folder: Path, port: int, key: str) -> subprocess.CompletedProcess[str]:
    """The wait for a server whose process is gone already."""
    (folder / "port").write_text(str(port))
    (folder / "api_key").write_text(key)
    (folder / "api_server.log").touch()
    return subprocess.run(["sh", "-c", steps.ready().script], cwd=folder, capture_output=True, text=True, timeout=30)


def test_ready_is_what_answers_to_the_key(tmp_path: Path, port: int) -> None:
    """The server that was started has the key that was made for it."""
    assert waits(tmp_path, port, KEY).returncode == 0


def test_another_server_on_the_port_is_not_ours(tmp_path: Path, port: int) -> None:
    """It took the port between the choice and the start: ours has died, and that is what is said."""
    done = waits(tmp_path, port, "another-key")
    assert (done.returncode, "the server died while it started" in done.stdout) == (1, True)


def test_a_port_that_another_endpoint_has_noted_is_left_to_it(tmp_path: Path) -> None:
    """Its server binds only minutes later; one's own note is no hindrance."""
    script = f"{steps.SAY}\n{steps._choose_port(0)}\ncat port"

    def chosen(name: str) -> str:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, timeout=30)
        return done.stdout.strip()

    first = chosen("one")
    assert first and chosen("one") == first
    assert chosen("two") not in ("", first)
