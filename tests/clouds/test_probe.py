"""A machine tells what it is made of."""

import os
from pathlib import Path

import pytest

from llama_tui.clouds.probe import probe
from llama_tui.core.instances import compute_capability
from llama_tui.hosts.local import LocalHost

KNOWN = """case "$1" in
*compute_cap*) printf "%s\\n" 12.0 8.9;;
*) printf "%s\\n" "RTX 5090, 32607" "RTX 4090, 24564";;
esac"""
OLD = """case "$1" in
*compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2;;
*) echo "Tesla P100-PCIE-16GB, 16280";; esac"""


@pytest.mark.parametrize(
    ("script", "gpus", "capability"), [(KNOWN, 2, 8.9), (OLD, 1, 6.0), ("exit 9", 0, 0.0)], ids=["new", "old", "none"]
)
async def test_the_generation_of_its_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, gpus: int, capability: float
) -> None:
    """The oldest card counts; an nvidia-smi that does not know the field leaves it to the card's name."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    async with LocalHost() as host:
        kind = await probe(host, "box", systems=("Linux", "Darwin"))
    assert kind.gpus == gpus
    assert compute_capability(kind) == capability
