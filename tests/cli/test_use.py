"""Using an endpoint from other programs: env, connect; and what doctor says of this computer."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.cli.command import Command
from tests.sshd import Sshd

WAIT_SECONDS = 60
"""How long something may take to come on a busy computer."""


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    limit = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < limit, "it did not come"
        time.sleep(0.05)


@pytest.mark.sshd
@pytest.mark.timeout(300)
def test_connect_holds_an_endpoint_open_through_a_cut_line(llama_tui: Command, sshd: Sshd, tmp_path: Path) -> None:
    """OpenAI clients use the exports of `env`; a cut line is said and mended, on the same port; Ctrl-C ends it."""
    (Path.home() / ".ssh" / "known_hosts").write_text(sshd.known_hosts_line() + "\n")
    llama_tui("up", "--host", sshd.target, "--name", "box")
    told = tmp_path / "told"
    with told.open("w") as stderr:
        held = subprocess.Popen(
            [sys.executable, "-m", "llama_tui", "connect", "box"], stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        assert held.stdout
        url = held.stdout.readline().strip()
        shell = 'eval "$1"; printf "%s\\n" "$OPENAI_BASE_URL" "$OPENAI_API_KEY" "$OPENAI_MODEL"'
        exports = subprocess.run(
            ["sh", "-c", shell, "sh", llama_tui("env", "box")], capture_output=True, text=True, check=True
        )
        base_url, key, model = exports.stdout.splitlines()
        assert base_url == url

        def answers() -> bool:
            request = {"model": model, "prompt": "The capital of France is", "max_tokens": 1, "temperature": 0}
            try:
                answer = httpx2.post(
                    f"{base_url}/completions", json=request, headers={"Authorization": f"Bearer {key}"}, timeout=30
                )
            except httpx2.TransportError:
                return False
            return bool(answer.json()["choices"][0]["text"] == " Paris")

        assert answers()
        sshd.cut()
        until(lambda: "the line is cut" in told.read_text())
        until(answers)
        held.send_signal(signal.SIGINT)
        assert held.wait(WAIT_SECONDS) == 130
        assert "Traceback" not in told.read_text()
    finally:
        held.kill()
        held.wait()
        llama_tui("down", "box")


def test_env_of_an_endpoint_that_is_not_there(llama_tui: Command) -> None:
    """One sentence, and exit code 2."""
    refused = llama_tui.run("env", "nobody", exit_code=2)
    assert "there is no endpoint 'nobody'" in refused.stderr
    assert refused.stdout == ""


def test_doctor_names_what_is_missing_and_how_to_get_it(llama_tui: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a first endpoint needs is missing here; each other line has its fix."""
    done = llama_tui.run("doctor")
    assert "✓ Python" in done.stdout
    assert "set LAMBDA_API_KEY" in done.stdout
    found = {one["what"]: one for one in map(json.loads, llama_tui("doctor", "--json").splitlines())}
    assert not found["Lambda API key"]["ok"] and not found["Lambda API key"]["needed"]
    monkeypatch.setenv("LAMBDA_API_KEY", "secret_canary")
    done = llama_tui.run("doctor")
    assert "✓ Lambda API key: from the environment" in done.stdout
    assert "canary" not in done.stdout


def test_doctor_fails_when_something_needed_is_missing(llama_tui: Command, tmp_path: Path) -> None:
    """A settings file that cannot be read: exit code 3, the file and the line."""
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "llama-tui"
    config.mkdir(parents=True)
    (config / "config.toml").write_text("cloud = 3\n")
    done = llama_tui.run("doctor", exit_code=3)
    assert "✕ settings" in done.stdout.lower()
    assert "cloud must be a text in quotes" in done.stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--model", "smollm2-135m"),
        ("--model", "llama-3-8b", "--engine", "vllm", "--profile", "guide"),
        ("--model", "llama-3-70b", "--engine", "vllm", "--profile", "guide"),
        ("--model", "llama-3.1-8b", "--engine", "vllm"),
    ],
    ids=" ".join,
)
def test_the_plan_as_a_script_is_a_script(llama_tui: Command, options: tuple[str, ...], tmp_path: Path) -> None:
    """What is printed can be kept and run: nothing in it is blotted out, and a shell reads it."""
    script = llama_tui("plan", "--cloud", "practice", *options, "--script")
    assert "•" not in script
    assert "api_key" in script
    file = tmp_path / "setup.sh"
    file.write_text(script)
    assert subprocess.run(["sh", "-n", str(file)], capture_output=True).returncode == 0
