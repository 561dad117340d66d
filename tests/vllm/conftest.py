"""What the lane with a real vLLM needs."""

from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.vllm import parts


@pytest.fixture(scope="session")
def real_vllm() -> Path:
    return parts.real_vllm()


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return parts.checkpoint()


@pytest.fixture
def llama_tui() -> Command:
    return Command()
