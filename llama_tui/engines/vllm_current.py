"""A recent pinned vLLM: by uv, the weights coming while it is installed, what costs time kept for the next start."""

from __future__ import annotations

import shlex

from llama_tui.core.plan import Serving, Step
from llama_tui.engines import steps

VLLM = "vllm==0.32.0"
"""0.33.0 asks for a certifi that is not out yet (vllm.md §6.2)."""
DRIVER = 580
"""The oldest for CUDA 13, which its wheels are built for (vllm.md §6.1)."""
UV = "uv==0.9.11"
HUGGINGFACE_HUB = "huggingface-hub==2.4.0"
PYTHON = "3.12"
"""uv fetches it where the machine has none: with the headers that torch.compile needs."""

_DRIVER = f"""\
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)
[ "${{driver%%.*}}" -ge {DRIVER} ] ||
    say "{VLLM} wants NVIDIA driver {DRIVER} or newer, here is $driver" "use a newer image, or --profile guide"
"""

_COMPILE_CACHE = 'export VLLM_CACHE_ROOT="${VLLM_CACHE_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/vllm}"\n'
"""Outlives the endpoint: the next server of the same model does not compile again."""

_BOTH = """\
hub=${{HF_HOME:-${{XDG_CACHE_HOME:-$HOME/.cache}}/huggingface}}/hub
# Both at once. What the download says goes to weights.log; how much is there is told here, and its end.
{fetch} >weights.log 2>&1 &
fetching=$!
{install} &
installing=$!
trap 'kill "$installing" "$fetching" 2>/dev/null || true' EXIT
fetched='' installed='' size=0
until [ "$fetched$installed" = yesyes ]; do
    sleep 0.5
    if [ -z "$installed" ] && ! kill -0 "$installing" 2>/dev/null; then
        wait "$installing"
        installed=yes
        echo "vLLM is installed"
    fi
    if [ -z "$fetched" ] && ! kill -0 "$fetching" 2>/dev/null; then
        if ! wait "$fetching"; then
            sed 's/^/weights: /' weights.log
            echo "llama-tui: the weights could not be downloaded | the setup log says why, on lines with weights:"
            exit 1
        fi
        fetched=yes
        echo "the weights are here"
    fi
    now=$(du -sm "$hub"/{cached} 2>/dev/null | cut -f1)
    if [ -z "$fetched" ] && [ "${{now:-0}}" -ge $((size + 256)) ]; then
        size=$now
        echo "weights: $size MiB"
    fi
done
trap - EXIT
"""


def _kept(serving: Serving) -> str:
    """The folder of the filesystem that is attached, for weights, Python and compile cache; empty without one."""
    if not serving.filesystem:
        return ""
    name = shlex.quote(serving.filesystem)
    # Older machines mount it in the home (lambda-cloud-api.md §4.7).
    return f"""\
kept=/lambda/nfs/{name}/llama-tui
[ -d /lambda/nfs/{name} ] || kept=$HOME/{name}/llama-tui
export HF_HOME="$kept/huggingface" VLLM_CACHE_ROOT="$kept/vllm" UV_PYTHON_INSTALL_DIR="$kept/python"
"""


def check(serving: Serving) -> str:
    """What this profile wants of the machine: the driver for what it installs, the filesystem where there is one."""
    extra = "" if serving.extras.venv else _DRIVER
    if not serving.filesystem:
        return extra
    name = shlex.quote(serving.filesystem)
    return f"""\
{extra}[ -d /lambda/nfs/{name} ] || [ -d "$HOME"/{name} ] ||
    say "the filesystem {name} is not mounted on this machine" "it is attached at launch only: launch another machine"
"""


def _install(serving: Serving) -> tuple[Step, ...]:
    """An environment with vLLM, and the weights."""
    model = serving.model
    keep = _kept(serving)
    if serving.filesystem:
        place = f"""\
{keep}mkdir -p "$kept"
rm -rf venv
ln -s "$kept"/{VLLM.replace("==", "-")} venv
# What another machine has left there is used again, if its Python still starts.
venv/bin/python -c '' 2>/dev/null ||
    tools/bin/uv venv --clear --python {PYTHON} --seed "$kept"/{VLLM.replace("==", "-")}
"""
        # Machines that share the filesystem install one after the other.
        lock = 'exec 9>"$kept"/lock\nflock 9 || echo "the filesystem has no locks"\n'
    else:
        place = f"[ ! -L venv ] || rm venv\ntools/bin/uv venv --clear --python {PYTHON} --seed venv\n"
        lock = ""
    tools = f"tools/bin/python -m pip install --no-input --progress-bar off {UV} {HUGGINGFACE_HUB}\n"
    install = f"tools/bin/uv pip install --python venv/bin/python --torch-backend=auto {VLLM}"
    make = Step("10-venv", "Make a virtual environment", steps.venv("tools") + tools + place)
    if model.folder:
        return make, Step("20-install", "Install vLLM", f"{keep}{lock}{install}\n")
    what = shlex.quote(model.repo_id) + steps.at(model)
    fetch = f'HF_HUB_DISABLE_TELEMETRY=1 tools/bin/hf download {what} --exclude "original/*"'
    cached = shlex.quote("models--" + model.repo_id.replace("/", "--"))
    script = f"{keep}{lock}" + _BOTH.format(fetch=fetch, install=install, cached=cached)
    return make, Step("20-install", "Install vLLM, download the weights", script, ("hf_token",))


def _use_existing(serving: Serving) -> tuple[Step, ...]:
    """The environment that is there, and the weights by the Hub's library in it, whatever its version."""
    use = steps.existing_venv(serving.extras, "vllm")
    if serving.model.folder:
        return (use,)
    fetch = "from huggingface_hub import snapshot_download as get; "
    model = serving.model
    fetch += f'print(get("{model.repo_id}", revision={model.revision or None!r}, ignore_patterns=["original/*"]))'
    script = f"{_kept(serving)}{steps.exports(serving.extras)}HF_HUB_DISABLE_TELEMETRY=1 "
    script += f"venv/bin/python -c {shlex.quote(fetch)}\n"
    return use, Step("30-weights", "Download the weights", script, ("hf_token",))


def steps_of(serving: Serving, flags: str) -> tuple[Step, ...]:
    """The steps between the look at the machine and the wait for an answer."""
    model, existing = serving.model, bool(serving.extras.venv)
    name = steps.host_path(model.folder) if model.folder else shlex.quote(model.repo_id)
    # The module starts every release; the program `vllm` is missing in old ones, and fails in builds for CPUs.
    start = f"python -m vllm.entrypoints.openai.api_server --model {name}" if existing else f"vllm serve {name}"
    command = f'venv/bin/{start} --host 127.0.0.1 --port "$(cat port)"{flags}'
    prepare = f"""\
{_kept(serving) or _COMPILE_CACHE}{steps.exports(serving.extras)}PATH=$PWD/venv/bin:$PATH
VLLM_API_KEY="$(cat api_key)"
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 VLLM_API_KEY"""
    make = _use_existing(serving) if existing else _install(serving)
    return (*make, steps.server(prepare, command, port=serving.port))
