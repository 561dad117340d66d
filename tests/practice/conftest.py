"""A practice process of the test's own, and a client of it; it is ended after the test with all its machines."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest

from llama_tui.practice import process
from tests.practice.lambda_http import Api, until
from tests.processes import lives, processes_marked


def pid_of(folder: Path) -> int:
    return int(json.loads((folder / "practice.json").read_text())["pid"])


def marked(machine: str = "") -> list[int]:
    """Processes that carry the mark of a machine, or of any."""
    return processes_marked("LLAMA_TUI_PRACTICE_MACHINE", machine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "practice"


@pytest.fixture
def key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
async def api(folder: Path, key: asyncssh.SSHKey) -> AsyncIterator[Api]:
    made = Api(await process.ensure(folder), key.export_public_key().decode())
    await made.add_key()
    yield made
    await made.client.aclose()
    again = Api(await process.ensure(folder))
    for one in await again.ask("GET", "/instances"):
        with suppress(AssertionError):
            await again.terminate(one["id"])
            await again.gone(one["id"])
    await again.client.aclose()
    with suppress(OSError):
        pid = pid_of(folder)
        os.kill(pid, signal.SIGTERM)
        await until(lambda: not lives(pid))
