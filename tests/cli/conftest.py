"""One command for the tests of this folder; whatever it has set up is ended after the test."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cli.command import Command


@pytest.fixture
def llama_tui() -> Iterator[Command]:
    command = Command()
    yield command
    subprocess.run([sys.executable, "-m", "llama_tui", "down", "--all"], capture_output=True, timeout=120)
