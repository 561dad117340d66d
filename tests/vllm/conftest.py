"""What the lane with a real vLLM needs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.sshd import Sshd
from tests.vllm import parts


@pytest.fixture(scope="session")
def real_vllm() -> Path:
    return parts.real_vllm()


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return parts.checkpoint()


@pytest.fixture
def llama_tui(sshd: Sshd) -> Iterator[Command]:
    """The command; what a test leaves on the machine when it fails is ended, before the machine is."""
    yield Command()
    subprocess.run([sys.executable, "-m", "llama_tui", "down", "--all"], capture_output=True, timeout=120)
