"""Lambda's Llama 3 guide, command by command (guide.md).

What is done otherwise than the guide has it stands beside it in the script: `# Guide:` is its command, `# Here:` says
what is done instead and why.
"""

from __future__ import annotations

import shlex

from llama_tui.core.advice import is_guides_choice, too_new_for_the_guide
from llama_tui.core.models import Model
from llama_tui.core.plan import Serving, Step
from llama_tui.engines import steps

PINS = "vllm==0.4.3 huggingface-hub==0.23.2 torch==2.3.0 numpy==1.26.4"
"""They resolve on Python 3.9-3.11 (vllm.md §6.3)."""
TENSOR_PARALLEL_SIZE = {"meta-llama/Meta-Llama-3-8B": 1, "meta-llama/Meta-Llama-3-70B": 8}
"""The models that the guide serves, and over how many GPUs."""

CHECK = """\
python3 -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 11))' ||
    say "the guide's pins need Python 3.9-3.11, this machine has $(python3 --version)" "use --profile current"
"""

_HERE = (
    (
        "listens on 127.0.0.1 with a key (VLLM_API_KEY), instead of on 0.0.0.0 without one",
        "reach it by llama-tui, or an SSH forward",
    ),
    ("takes port 8000 if it is free, else the next free one", ""),
    ("runs under nohup and adds to api_server.log", "it outlives the connection; an earlier log is not lost"),
)


def _venv(model: Model) -> str:
    return shlex.quote(model.repo_id.rsplit("/", 1)[-1])


def _model(model: Model) -> str:
    return steps.host_path(model.folder) if model.folder else model.repo_id


def _guides_server(model: Model) -> str:
    """What the guide types to start the server, in one line."""
    gpus = TENSOR_PARALLEL_SIZE.get(model.repo_id, 1)
    command = "python3 -m vllm.entrypoints.openai.api_server --host=0.0.0.0 --port=8000 "
    parallel = f" --tensor-parallel-size {gpus}" if gpus > 1 else ""
    return f"{command}--model={_model(model)}{parallel} &> api_server.log &"


def _more_flags(model: Model, flags: str) -> str:
    """The flags that the guide does not have."""
    gpus = TENSOR_PARALLEL_SIZE.get(model.repo_id, 1)
    return flags.replace(f" --tensor-parallel-size {gpus}", "", 1).strip() if gpus > 1 else flags.strip()


def warnings(serving: Serving, flags: str) -> list[str]:
    """What a person should know before money is spent."""
    model, kind = serving.model, serving.instance_type
    said = ["the guide's pins are installed by pip on Python 3.9-3.11 only; Ubuntu 24.04 brings 3.12, 22.04 3.10"]
    if too_new_for_the_guide(model):
        first = f"vLLM 0.4.3 cannot load {model.name}: it came with {model.since_vllm}"
        said.insert(0, f"{first}; use --profile current")
    elif model.folder:
        said.insert(0, "vLLM 0.4.3 cannot load Llama 3.1 or newer; use --profile current for these")
    if model.repo_id not in TENSOR_PARALLEL_SIZE or model.folder:
        said.append(f"the guide has no commands for {model.name}: these are written after those for 8B")
    else:
        fewer = TENSOR_PARALLEL_SIZE[model.repo_id]
        if serving.fit.tensor_parallel_size != fewer:
            said.append(f"differs from the guide: {serving.fit.tensor_parallel_size} GPUs instead of {fewer}")
        if serving.rents and not is_guides_choice(model, kind):
            said.append(f"differs from the guide: {kind.name} instead of {fewer}x A100 or H100; see --type")
    if serving.filesystem:
        said.append(f"the guide's commands do not use the filesystem {serving.filesystem}")
    said += [f"differs from the guide: {what}" for what, _ in _HERE]
    if more := _more_flags(model, flags):
        said.append(f"differs from the guide: more flags, {more}")
    said.append(
        "differs from the guide: it works in a folder of its own, looks at the machine first, waits at the end"
    )
    said.append(f"differs from the guide: {_WEIGHTS}")
    return said


_WEIGHTS = "the weights are downloaded before the server starts, which then is offline and has no token"


def steps_of(serving: Serving, flags: str) -> tuple[Step, ...]:
    """The guide's steps between the look at the machine and the wait for an answer."""
    model = serving.model
    venv = _venv(model)
    activate = f"set +u; . {venv}/bin/activate; set -u\n"
    first = f"# Guide: source {venv}/bin/activate\n# Here: sh writes `source` as a dot, in each step.\n"
    differs = "".join(f"# Here: {what}{f' ({why})' if why else ''}.\n" for what, why in _HERE)
    if more := _more_flags(model, flags):
        differs += f"# Here: more flags than the guide's: {more}\n"
    # Whatever is given as --api-key stands in this release's log, hence the variable (vllm.md §0).
    prepare = f"""\
{activate}{steps.exports(serving.extras)}# Guide: {_guides_server(model)}
{differs}VLLM_API_KEY="$(cat api_key)"
export HF_HUB_OFFLINE=1 VLLM_API_KEY"""
    command = "python3 -m vllm.entrypoints.openai.api_server --host=127.0.0.1 "
    command += f'--port="$(cat port)" --model={_model(model)}{flags}'
    weights = Step(
        "30-weights",
        "Download the weights",
        f"{activate}# Guide: huggingface-cli login\n"
        f"# Here: {_WEIGHTS};\n"
        "# Here: the token is read from a 0600 file for this step, instead of being kept on the machine.\n"
        'if [ -n "${HF_TOKEN_PATH:-}" ]; then HF_TOKEN="$(cat "$HF_TOKEN_PATH")"; export HF_TOKEN; fi\n'
        f'huggingface-cli download {model.repo_id}{steps.at(model)} --exclude "original/*"\n',
        ("hf_token",),
    )
    return (
        Step("10-venv", "Make a virtual environment", steps.venv(venv)),
        Step("20-install", "Install vLLM", f"{first}{activate}python3 -m pip install {PINS}\n"),
        *(() if model.folder else (weights,)),
        steps.server(prepare, command, port=serving.port),
    )
