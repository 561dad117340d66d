"""The engine `vllm` for real: a real vLLM (built for CPUs), real weights, a real OpenSSH server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from llama_tui.engines.log_reader import ServerLog
from llama_tui.jobs.limits import read_counters
from tests.cli.command import Command
from tests.processes import processes_in
from tests.sshd import Sshd

QUESTION = "The capital of France is"
PARIS = ["--max-tokens", "1", "--temperature", "0"]
# 1 GiB for the KV cache, and a line of statistics each second.
ENV = ["--serve-env", "VLLM_CPU_KVCACHE_SPACE=1", "--serve-env", "VLLM_LOG_STATS_INTERVAL=1"]

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(2400)]


@pytest.fixture
def options(real_vllm: Path, sshd: Sshd) -> list[str]:
    """A machine of one's own with a vLLM of one's own."""
    (Path.home() / ".ssh" / "known_hosts").write_text(sshd.known_hosts_line() + "\n")
    machine = ["--cloud", "ssh", "--host", sshd.target, "--engine", "vllm", "--venv", str(real_vllm)]
    return [*machine, "--serve-arg=--enforce-eager", *ENV]


def lines_of(*arguments: str) -> Iterator[str]:
    """What a command that goes on by itself writes, line by line; it is ended when nobody reads on."""
    command = subprocess.Popen([sys.executable, "-m", "llama_tui", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert command.stdout
        yield from command.stdout
    finally:
        command.terminate()
        command.wait(20)


def test_from_a_folder_of_weights_to_an_answer_to_nothing_left(
    llama_tui: Command, options: list[str], checkpoint: Path, sshd: Sshd
) -> None:
    """Plan, up, completion, chat, metrics, log, down: and no process of it lives."""
    model = ["--model", str(checkpoint), "--name", "real"]
    planned = json.loads(llama_tui("plan", *options, *model, "--json"))
    assert planned["served_model_name"] == "SmolLM2-135M-Instruct"
    assert planned["extras"]["serve_args"] == ["--enforce-eager"]

    up = llama_tui.run("up", *options, *model, "--json")
    assert json.loads(up.stdout)["state"] == "ready"
    assert "loading weights: 1 of 1 shards" in up.stderr
    assert "✓ Wait until it answers" in up.stderr

    assert llama_tui("prompt", "real", QUESTION, *PARIS) == " Paris\n"
    raw = json.loads(llama_tui("prompt", "real", QUESTION, *PARIS, "--raw"))
    assert (raw["object"], raw["model"]) == ("text_completion", "SmolLM2-135M-Instruct")
    assert raw["choices"][0]["text"] == " Paris"
    assert "Paris" in llama_tui("prompt", "real", "What is the capital of France?", "--chat", "--temperature", "0")

    for line in lines_of("connect", "real"):
        metrics = httpx2.get(line.strip().removesuffix("/v1") + "/metrics", trust_env=False).text
        assert "vllm:request_success_total{" in metrics
        assert read_counters(metrics) == (3, 0)  # two completions, one chat: by these an idle server is told
        assert 'model_name="SmolLM2-135M-Instruct"' in metrics
        break

    log = ServerLog()
    for line in lines_of("logs", "real", "--follow"):
        log.read(line.rstrip("\n"))
        if log.load:
            break
    assert log.kv_cache_tokens
    assert log.cause() is None
    assert "=== " in llama_tui("logs", "real", "--source", "setup").splitlines()[0]

    assert processes_in(str(sshd.home))
    assert "receipt  real" in llama_tui("down", "real")
    assert not processes_in(str(sshd.home))
    assert not (sshd.home / ".llama-tui" / "real").exists()
    assert (checkpoint / "config.json").exists()


def test_a_context_that_the_model_was_not_made_for(
    llama_tui: Command, options: list[str], checkpoint: Path, sshd: Sshd
) -> None:
    """The plan refuses it. Handed through, the server does: the cause, what helps, and `down` clears it away."""
    model = ["--model", str(checkpoint), "--name", "real"]
    refused = llama_tui.run("up", *options, *model, "--max-model-len", "100000", exit_code=2)
    assert "longer than the 8,192" in refused.stderr
    assert not processes_in(str(sshd.home))
    up = llama_tui.run("up", *options, *model, "--serve-arg=--max-model-len=100000", exit_code=5)
    assert "the model was not made for so long a context" in up.stderr
    assert "leave --max-model-len out" in up.stderr
    llama_tui("down", "real")
    assert not processes_in(str(sshd.home))


def test_a_cause_in_the_engines_process_is_found(
    llama_tui: Command, options: list[str], checkpoint: Path, sshd: Sshd
) -> None:
    """Weights are missing: what the engine's process said is told, not the API server's echo of it."""
    folder = sshd.home / "weightless"
    folder.mkdir()
    for file in checkpoint.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).symlink_to(file)
    up = llama_tui.run("up", *options, "--model", "~/weightless", "--name", "real", exit_code=5)
    assert "the server died: there are no weights beside the model's config.json" in up.stderr
    llama_tui("down", "real")
    assert not processes_in(str(sshd.home))
