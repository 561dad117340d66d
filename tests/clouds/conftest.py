"""A LambdaCloud over a scripted account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from llama_tui.clouds.lambda_cloud import LambdaCloud
from llama_tui.clouds.pace import Pace
from llama_tui.clouds.ssh_key import SshKey
from llama_tui.redact import Secret
from tests.clouds.lambda_account import QUICK, Account


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def make_cloud(tmp_path: Path, account: Account) -> Callable[..., LambdaCloud]:
    def make(**changed: Any) -> LambdaCloud:
        values: dict[str, Any] = {
            "key": Secret("secret_test_0123456789abcdef"),
            "pace": Pace(tmp_path / "state", calls=0),
            "ssh_key": SshKey(tmp_path / "key"),
            "host_keys": None,
            "retry": QUICK,
        }
        if "base_url" not in changed:
            values["transport"] = httpx2.MockTransport(account)
        return LambdaCloud(**values | changed)

    return make


@pytest.fixture
async def cloud(make_cloud: Callable[..., LambdaCloud]) -> LambdaCloud:
    return make_cloud()
