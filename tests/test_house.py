"""The house: who may import whom, checked by import-linter and by what is really loaded."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())",
    ]
    return subprocess.run(
        [*command, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(folder), "PATH": ""},
    )


def copy_of_the_house(folder: Path) -> Path:
    shutil.copytree(ROOT / "llama_tui", folder / "llama_tui", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_contracts_hold() -> None:
    """Imports run downwards only, Textual stays in tui/, core and engines are pure."""
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("core/money.py", "import llama_tui.hosts.output", "imports run downwards only"),
        ("jobs/prompt.py", "import llama_tui.clouds", "imports run downwards only"),
        ("cli/output.py", "import llama_tui.tui", "imports run downwards only"),
        ("jobs/deploy.py", "import textual", "Only tui/ imports Textual"),
        ("core/plan.py", "import asyncio", "core/ and engines/ are pure"),
        ("engines/vllm.py", "import httpx2", "core/ and engines/ are pure"),
    ],
)
def test_each_contract_fails_when_it_is_broken(tmp_path: Path, module: str, line: str, contract: str) -> None:
    """One forbidden import in a copy of the house, and the linter names the contract."""
    house = copy_of_the_house(tmp_path)
    with (house / "llama_tui" / module).open("a") as file:
        file.write(f"\n{line}  # noqa\n")
    done = lint_imports(house)
    assert done.returncode != 0
    assert f"{contract} BROKEN" in " ".join(done.stdout.split())


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["ls"], ["receipts"]])
def test_light_commands_load_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    """`--help` and `ls` import neither Textual nor asyncssh nor huggingface_hub."""
    code = f"""
import sys
from llama_tui.cli.main import main
try:
    main({arguments!r})
except SystemExit:
    pass
heavy = {{"textual", "rich", "asyncssh", "huggingface_hub", "starlette", "uvicorn"}} & set(sys.modules)
sys.exit(", ".join(sorted(heavy)) or 0)
"""
    state = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=state)
    assert done.returncode == 0, done.stderr


def test_no_module_has_outgrown_its_name() -> None:
    """A file of more than 400 lines is telling that its name is no longer true."""
    long = {
        str(file.relative_to(ROOT)): lines
        for file in ROOT.glob("llama_tui/**/*.py")
        if (lines := len(file.read_text().splitlines())) > 400
    }
    assert not long
