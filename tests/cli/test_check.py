"""check and login, as commands."""

import json

import pytest

from llama_tui.practice.process import ensure
from tests.cli.command import Command
from tests.hub_server import GATED_REPO, GOOD


def test_check_names_what_fails_and_its_fix(llama_tui: Command, hub_server: str) -> None:
    """Exit code 3 with a failed line; the fix stands under it; JSON lines for programs."""
    done = llama_tui.run("check", "--cloud", "practice", "--model", "llama-3-8b", exit_code=3)
    assert "✓ account: the key is valid; 0 machines running" in done.stdout
    assert "✕ Hugging Face token: there is none" in done.stdout
    assert "llama-tui login hf" in done.stdout
    lines = [json.loads(line) for line in llama_tui("check", "--cloud", "practice", "--json").splitlines()]
    assert {one["state"] for one in lines} == {"ok"}


def test_login_where_there_is_no_keyring(llama_tui: Command, hub_server: str) -> None:
    """Said, with the two other ways; a file is written only when it is asked for, and is used from then on."""
    refused = llama_tui.run("login", "hf", "--stdin", stdin=GOOD + "\n", exit_code=1)
    assert "valid; it is lee's" in refused.stderr
    assert "--keep file" in refused.stderr and "export HF_TOKEN" in refused.stderr
    kept = llama_tui.run("login", "hf", "--stdin", "--keep", "file", stdin=GOOD + "\n")
    assert "which only you can read" in kept.stderr
    done = llama_tui.run("check", "--cloud", "practice", "--model", GATED_REPO, exit_code=3)
    assert "✓ Hugging Face token: valid; it is lee's" in done.stdout
    assert "✕ weights: the licence" in done.stdout
    assert "forgotten: file" in llama_tui.run("logout", "hf").stderr


async def test_login_to_a_cloud_account(
    llama_tui: Command, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The key is tried before it is kept; a wrong one is not kept."""
    practice = await ensure(tmp_path_factory.mktemp("account"))
    monkeypatch.setenv("LAMBDA_API_URL", practice.url)
    wrong = llama_tui.run("login", "lambda", "--stdin", "--keep", "file", stdin="secret_wrong\n", exit_code=3)
    assert "key" in wrong.stderr
    assert "there was no Lambda API key" in llama_tui.run("logout", "lambda").stderr
    kept = llama_tui.run("login", "lambda", "--stdin", "--keep", "file", stdin=practice.key + "\n")
    assert "valid; 0 machines running; 14 types with capacity" in kept.stderr
    assert practice.key not in kept.stdout + kept.stderr
    empty = llama_tui.run("login", "lambda", "--stdin", stdin="\n", exit_code=2)
    assert "is empty" in empty.stderr
