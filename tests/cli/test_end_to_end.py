"""The main job, for real: plan, up, prompt, logs, down, receipt, on every cloud that costs nothing.

Real processes, a real llama.cpp server with real weights, a real sshd.
"""

import json
import re
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.processes import processes_in
from tests.sshd import Sshd

QUESTION = "The capital of France is"
PARIS = ["--max-tokens", "1", "--temperature", "0"]

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(params=["practice", "local", pytest.param("ssh", marks=pytest.mark.sshd),
                        pytest.param("jump", marks=pytest.mark.sshd)])  # fmt: skip
def where(request: pytest.FixtureRequest) -> list[str]:
    """The options that name the machine."""
    if request.param not in ("ssh", "jump"):
        return ["--cloud", request.param]
    sshd: Sshd = request.getfixturevalue("sshd")
    known = [sshd.known_hosts_line()]
    if request.param == "jump":
        known.append(request.getfixturevalue("jump").known_hosts_line())
    (Path.home() / ".ssh" / "known_hosts").write_text("\n".join(known) + "\n")
    return ["--cloud", "ssh", "--host", "box" if request.param == "jump" else sshd.target]


def test_from_nothing_to_an_answer_to_a_receipt(llama_tui: Command, where: list[str]) -> None:
    """Up reaches ready, prompt says Paris, --raw is the server's JSON, logs begin at line 1, down proves it gone."""
    planned = json.loads(llama_tui("plan", *where, "--model", "smollm2-135m", "--name", "demo", "--json"))
    assert planned["fit"]["max_model_len"] == 8192

    up = llama_tui.run("up", *where, "--model", "smollm2-135m", "--name", "demo", "--json")
    endpoint = json.loads(up.stdout)
    assert (endpoint["name"], endpoint["state"]) == ("demo", "ready")
    assert "✓ Wait until it answers" in up.stderr

    assert llama_tui("prompt", "demo", QUESTION, *PARIS) == " Paris\n"
    piped = llama_tui.run("prompt", "demo", *PARIS, stdin=QUESTION)
    assert piped.stdout == " Paris\n"
    assert re.fullmatch(r"1 token, first after \d+ ms, ended by length\n", piped.stderr)
    raw = json.loads(llama_tui("prompt", "demo", QUESTION, *PARIS, "--raw"))
    assert raw["object"] == "text_completion"
    assert raw["choices"][0]["text"] == " Paris"
    assert {"index", "text", "logprobs", "finish_reason"} <= raw["choices"][0].keys()
    assert {"id", "object", "created", "model", "choices", "usage"} <= raw.keys()
    assert llama_tui("prompt", "demo", "Say hello.", "--chat", "--max-tokens", "8").strip()

    setup = llama_tui("logs", "demo", "--source", "setup").splitlines()
    assert re.match(r"=== \S+ run begin", setup[0])
    assert re.match(r"=== \S+ run end 0", setup[-1])
    assert "listening on http" in llama_tui("logs", "demo")

    listed = [json.loads(line) for line in llama_tui("ls", "--json").splitlines()]
    assert [(one["kind"], one["name"], one["state"]) for one in listed] == [("endpoint", "demo", "ready")]

    again = llama_tui.run("up", *where, "--name", "demo", "--json")
    assert json.loads(again.stdout)["id"] == endpoint["id"]
    assert "demo is up" in again.stderr

    other = llama_tui.run("up", *where, "--name", "demo", "--model", "QuantFactory/a-GGUF/b.gguf", exit_code=2)
    assert "demo is already the name of smollm2-135m" in other.stderr

    exports = llama_tui("env", "demo")
    key = re.search(r"OPENAI_API_KEY=(\w+)", exports)
    assert key
    assert key.group(1) not in up.stdout + up.stderr + "".join(setup)

    gone = llama_tui("down", "demo")
    assert "receipt  demo" in gone
    assert "about    $0.00" in gone
    assert llama_tui("ls", "--json") == ""
    assert llama_tui("logs", "demo", "--source", "setup").splitlines() == setup
    assert "demo" in llama_tui("receipts")
    llama_tui.run("prompt", "demo", QUESTION, exit_code=2)


def test_nothing_is_left_running_on_ones_own_machine(llama_tui: Command, away_from_home: Path) -> None:
    """After `down` the folder is gone and no process of it lives; the weights stay for the next time."""
    llama_tui("up", "--cloud", "local", "--name", "mine")
    folder = away_from_home / ".llama-tui" / "mine"
    assert processes_in(str(folder))
    assert (folder / "api_key").stat().st_mode & 0o777 == 0o600
    llama_tui("down", "mine")
    assert not processes_in(str(folder))
    assert not folder.exists()
    second = llama_tui.run("up", "--cloud", "local", "--name", "mine", "--verbose")
    assert "found in the cache" in second.stderr


@pytest.mark.sshd
def test_another_computer_adopts_what_runs_on_a_host(
    llama_tui: Command, sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`attach USER@HOST` rebuilds the endpoint from the host alone, and can prompt and end it."""
    (Path.home() / ".ssh" / "known_hosts").write_text(sshd.known_hosts_line() + "\n")
    llama_tui("up", "--host", sshd.target, "--name", "shared")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another computer"))
    assert llama_tui.run("attach", sshd.target).stdout == "shared\n"
    assert llama_tui("prompt", "shared", QUESTION, *PARIS) == " Paris\n"
    assert "=== " in llama_tui("logs", "shared", "--source", "setup")
    llama_tui("down", "shared")
    assert not (sshd.home / ".llama-tui" / "shared").exists()


def test_any_openai_server_is_attached_by_its_url(llama_tui: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that answers /v1/models becomes an endpoint; `down` forgets it and leaves it running."""
    llama_tui("up", "--cloud", "local", "--name", "mine")
    exports = json.loads(llama_tui("env", "mine", "--json"))
    refused = llama_tui.run("attach", exports["OPENAI_BASE_URL"], exit_code=3)
    assert "wants a key" in refused.stderr
    key = exports["OPENAI_API_KEY"]
    no_keyring = llama_tui.run("attach", exports["OPENAI_BASE_URL"], "--key-stdin", stdin=key, exit_code=1)
    assert "keyring" in no_keyring.stderr
    monkeypatch.setenv("LLAMA_TUI_ENDPOINT_KEY", key)
    assert llama_tui("attach", exports["OPENAI_BASE_URL"], "--name", "theirs") == "theirs\n"
    assert (
        json.loads(llama_tui("up", "--cloud", "local", "--name", "mine", "--json"))["base_url"]
        == exports["OPENAI_BASE_URL"]
    )
    assert llama_tui("prompt", "theirs", QUESTION, *PARIS) == " Paris\n"
    assert "forgotten here" in llama_tui("down", "theirs")
    assert llama_tui("prompt", "mine", QUESTION, *PARIS) == " Paris\n"
