"""The whole way of a person with a Lambda account, on a practice account: from no key at all to the receipt."""

from __future__ import annotations

import html
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import pictures

SAYS = {
    "home": "needs your API key",
    "credentials": "valid; 0 machines running",
    "launch": "gated:",
    "preflight": "there is none, and meta-llama/Meta-Llama-3-8B is gated",
    "preflight-fixed": "valid; it is kim's",
    "confirm": "Rent a machine for smollm2-135m at $0.20/h?",
    "capacity": "no capacity in us-west-1",
    "setup": "Fetch the weights",
    "prompt": "Paris",
    "logs": "server",
    "terminate": "Terminate smollm2-135m?",
    "receipt": "smollm2-135m is gone",
}
"""Picture → what stands on it."""


@pytest.mark.weights
@pytest.mark.timeout(400)
def test_from_no_key_to_the_receipt(tmp_path: Path) -> None:
    """A key entered and kept; a token that is missing, then not; a region that is sold out; setup, answer, end."""
    command = [sys.executable, "-m", "tests.pictures", str(tmp_path / "pictures")]
    root = pictures.ASSETS.parent
    done = subprocess.run(command, cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, words in SAYS.items():
        shown = html.unescape((tmp_path / "pictures" / f"{name}.svg").read_text()).replace("\xa0", " ")
        assert words in shown, name
