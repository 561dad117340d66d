"""vLLM, in two ways: `guide` is Lambda's Llama 3 guide to the letter, `current` a recent pinned release."""

from __future__ import annotations

import shlex

from llama_tui.core import sizing
from llama_tui.core.instances import InstanceType, compute_capability
from llama_tui.core.models import Model
from llama_tui.core.plan import Serving, Step
from llama_tui.core.sizing import EngineArgs, Fit
from llama_tui.engines import steps

GUIDE_PINS = "vllm==0.4.3 huggingface-hub==0.23.2 torch==2.3.0 numpy==1.26.4"
"""guide.md; they resolve on Python 3.9-3.11 (vllm.md §6.3)."""
VLLM = "vllm==0.32.0"
"""0.33.0 asks for a certifi that is not out yet (vllm.md §6.2)."""
UV = "uv==0.9.11"
HUGGINGFACE_HUB = "huggingface-hub==2.4.0"

RELEASES = {"guide": sizing.V0_4_3, "current": sizing.V0_32_0}
CAPABILITIES = {"0.4.3": (7.0, 9.0), "0.32.0": (7.5, 12.1)}
"""Compute capabilities that each release has code for (vllm.md §6.1)."""
BFLOAT16_SINCE = 8.0
"""Compute capability; older GPUs refuse Llama's own dtype (vllm.md §3)."""

_GPU_CHECK = """
command -v nvidia-smi >/dev/null || say "this machine has no NVIDIA GPU, and vLLM needs one" "choose another machine"
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
"""


def _flags(serving: Serving) -> str:
    """What of the engine's arguments is not as the server has it by itself."""
    args, fit = serving.engine_args, serving.fit
    generation = compute_capability(serving.instance_type.description)
    shorter = fit.max_model_len if fit.max_model_len < serving.model.max_model_len else 0
    flags = {
        "tensor-parallel-size": fit.tensor_parallel_size if fit.tensor_parallel_size > 1 else 0,
        "max-model-len": args.max_model_len or shorter,
        "gpu-memory-utilization": args.gpu_memory_utilization,
        "dtype": args.dtype or ("half" if generation < BFLOAT16_SINCE else ""),
        "quantization": args.quantization,
        "kv-cache-dtype": args.kv_cache_dtype,
    }
    return "".join(f" --{name} {value}" for name, value in flags.items() if value)


class Vllm:
    """The engine `vllm`."""

    name = "vllm"
    profiles: tuple[str, ...] = ("current", "guide")

    def served_model_name(self, model: Model) -> str:
        """The repository, as vLLM calls a model by default."""
        return model.repo_id

    def fit(self, model: Model, instance_type: InstanceType, profile: str, args: EngineArgs) -> Fit:
        """What the model leaves of each GPU's memory."""
        if not instance_type.gpus:
            return Fit(False, "vLLM needs a GPU")
        if model.parameters == 0:
            return Fit(False, f"the size of {model.name} is not known")
        release = RELEASES[profile or self.profiles[0]]
        generation, (oldest, newest) = compute_capability(instance_type.description), CAPABILITIES[release.version]
        if not oldest <= generation <= newest:
            needs = f"{oldest} or newer" if generation < oldest else f"{newest} or older"
            return Fit(False, f"vLLM {release.version} needs compute capability {needs}, this is {generation}")
        return sizing.fit_vllm(
            model,
            release,
            args,
            gpu_memory_gib=instance_type.gpu_memory_gib,
            gpus=instance_type.gpus,
            card=instance_type.description,
        )

    def warnings(self, serving: Serving) -> tuple[str, ...]:
        """Where the guide's pins cannot do it, and where our steps differ from the guide's text."""
        if serving.profile != "guide":
            return ()
        said = [
            "the guide's pins are installed by pip on Python 3.9-3.11 only; Ubuntu 24.04 brings 3.12",
            "differs from the guide: listens on 127.0.0.1 with a key instead of on 0.0.0.0 without one",
            "differs from the guide: the weights are downloaded before the server starts, which then has no token",
        ]
        if serving.model.since_vllm != "0.4.3":
            first = f"vLLM 0.4.3 cannot load {serving.model.name}: it came with {serving.model.since_vllm}"
            said.insert(0, f"{first}; use --profile current")
        return tuple(said)

    def steps(self, serving: Serving) -> tuple[Step, ...]:
        """From a bare machine with a GPU to a server that answers."""
        disk_gib = 12 + serving.model.weights_bytes / sizing.GIB
        check = steps.check(systems="Linux", disk_gib=disk_gib, port=serving.port, extra=_GPU_CHECK)
        write = self._guide if serving.profile == "guide" else self._current
        return (check, *write(serving), steps.ready())

    def _guide(self, serving: Serving) -> tuple[Step, ...]:
        repo_id = serving.model.repo_id
        venv = shlex.quote(repo_id.rsplit("/", 1)[-1])
        activate = f"set +u; . {venv}/bin/activate; set -u"
        command = (
            f'python3 -m vllm.entrypoints.openai.api_server --host=127.0.0.1 --port="$(cat port)" --model={repo_id}'
        )
        command += _flags(serving)
        prepare = f'{activate}\nVLLM_API_KEY="$(cat api_key)"\nexport HF_HUB_OFFLINE=1 VLLM_API_KEY'
        return (
            Step("10-venv", "Make a virtual environment", steps.venv(venv)),
            Step("20-install", "Install vLLM", f"{activate}\npython3 -m pip install {GUIDE_PINS}\n"),
            Step(
                "30-weights",
                "Download the weights",
                f"{activate}\n"
                'HF_TOKEN="$(cat "$HF_TOKEN_PATH")"; export HF_TOKEN\n'
                f'huggingface-cli download {repo_id} --exclude "original/*"\n',
                ("hf_token",),
            ),
            steps.server(prepare, command, port=serving.port),
        )

    def _current(self, serving: Serving) -> tuple[Step, ...]:
        repo_id = shlex.quote(serving.model.repo_id)
        command = f'venv/bin/vllm serve {repo_id} --host 127.0.0.1 --port "$(cat port)"'
        command += _flags(serving)
        prepare = 'VLLM_API_KEY="$(cat api_key)"\nexport HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 VLLM_API_KEY'
        return (
            Step(
                "10-venv",
                "Make a virtual environment",
                steps.venv("tools")
                + f"tools/bin/python -m pip install --no-input --progress-bar off {UV} {HUGGINGFACE_HUB}\n"
                "tools/bin/uv venv --clear --python 3.12 --seed venv\n",
            ),
            Step(
                "20-install",
                "Install vLLM",
                f"tools/bin/uv pip install --python venv/bin/python --torch-backend=auto {VLLM}\n",
            ),
            Step(
                "30-weights",
                "Download the weights",
                f'HF_HUB_DISABLE_TELEMETRY=1 tools/bin/hf download {repo_id} --exclude "original/*"\n',
                ("hf_token",),
            ),
            steps.server(prepare, command, port=serving.port),
        )
