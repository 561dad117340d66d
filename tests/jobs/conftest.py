"""The practice cloud behind the services that the faces use."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llama_tui.services import Services
from tests.jobs.practice_account import switch


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    made = Services(state=tmp_path / "state", config=tmp_path / "config.toml")
    yield made
    switch(made)
    cloud = made.cloud("practice")
    for instance in await cloud.instances():
        await cloud.terminate(instance.id)
    await made.aclose()
