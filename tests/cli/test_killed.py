"""The client is killed with -9 again and again in the middle of a deploy, and nothing is lost or doubled."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llama_tui.services import Services
from tests.cli.command import Command

KILLS = 50
UP = ["up", "--cloud", "practice", "--model", "smollm2-135m", "--name", "demo"]


def machine_home() -> Path:
    """The home of the one practice machine, as a folder of this computer."""
    (home,) = (Path(os.environ["XDG_STATE_HOME"]) / "llama-tui" / "practice" / "machines").glob("*/home")
    return home


@pytest.mark.timeout(900)
def test_fifty_kills_leave_one_machine_one_endpoint_and_every_line_once(llama_tui: Command) -> None:
    """Killed at 50 random moments and started again each time: ready in the end, on the first launch's machine."""
    seed = int(os.environ.get("LLAMA_TUI_SEED") or random.randrange(10**6))
    print(f"seed {seed}: LLAMA_TUI_SEED={seed} repeats it")
    dice = random.Random(seed)
    command = [sys.executable, "-m", "llama_tui", *UP]
    machines: set[str] = set()
    for n in range(KILLS):
        client = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # The first half dies young, while it launches; the second half at any time of a start.
        time.sleep(dice.uniform(0.2, 1.2 if n < KILLS / 2 else 3.0))
        client.send_signal(signal.SIGKILL)
        client.wait()
        folder = Path(os.environ["XDG_STATE_HOME"]) / "llama-tui" / "practice" / "machines"
        machines |= {entry.name for entry in folder.glob("*")}
    ready = json.loads(llama_tui(*UP, "--json"))
    assert ready["state"] == "ready"
    assert len(machines | {entry.name for entry in machine_home().parents[1].iterdir()}) == 1

    listed = [json.loads(line) for line in llama_tui("ls", "--json").splitlines()]
    assert [(one["kind"], one["name"]) for one in listed] == [("endpoint", "demo")]
    assert (
        llama_tui("prompt", "demo", "The capital of France is", "--max-tokens", "1", "--temperature", "0")
        == " Paris\n"
    )

    for source, name in (("setup", "setup.log"), ("server", "api_server.log")):
        shown = llama_tui("logs", "demo", "--source", source)
        there = (machine_home() / ".llama-tui" / "demo" / name).read_text()
        assert shown == there, f"the {source} log differs from the machine's"
    setup = llama_tui("logs", "demo", "--source", "setup")
    assert setup.count("10-venv end 0") == 1
    services = Services()
    endpoint = services.endpoints.find("demo")
    kept = services.endpoints.log_file(endpoint, "setup").read_bytes()
    assert kept == (machine_home() / ".llama-tui" / "demo" / "setup.log").read_bytes()
    services.endpoints.close()
    llama_tui("down", "demo")


@pytest.mark.timeout(300)
def test_the_setup_goes_on_while_nobody_watches(llama_tui: Command) -> None:
    """Killed once the machine has begun, and never started again: the server comes up all the same."""
    client = subprocess.Popen(
        [sys.executable, "-m", "llama_tui", *UP],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    limit = time.monotonic() + 120
    while not list(
        Path(os.environ["XDG_STATE_HOME"]).glob("llama-tui/practice/machines/*/home/.llama-tui/demo/run.pid")
    ):
        assert time.monotonic() < limit
        time.sleep(0.02)
    client.kill()
    client.wait()
    folder = machine_home() / ".llama-tui" / "demo"
    while not (folder / "run.rc").exists():
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert (folder / "run.rc").read_text().strip() == "0"
    again = llama_tui.run(*UP, "--json")
    assert json.loads(again.stdout)["state"] == "ready"
    llama_tui("down", "demo")
