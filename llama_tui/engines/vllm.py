"""vLLM, in two ways: `guide` is Lambda's Llama 3 guide to the letter, `current` a recent pinned release."""

from __future__ import annotations

import shlex

from llama_tui.core import sizing
from llama_tui.core.errors import UsageError
from llama_tui.core.instances import InstanceType, compute_capability
from llama_tui.core.models import Model
from llama_tui.core.plan import Serving, Step
from llama_tui.core.sizing import EngineArgs, Fit
from llama_tui.engines import steps, vllm_current, vllm_guide

RELEASES = {"guide": sizing.V0_4_3, "current": sizing.V0_32_0}
CAPABILITIES = {"0.4.3": (7.0, 9.0), "0.32.0": (7.5, 12.1)}
"""Compute capabilities that each release has code for (vllm.md §6.1)."""
FP8 = {"0.4.3": {"fp8": 8.9}, "0.32.0": {"fp8": 7.5, "fp8_per_tensor": 7.5, "fp8_per_channel": 8.9}}
"""What each release can quantize to while it loads → the compute capability wanted (its quantization/fp8.py)."""
ARCHITECTURES = {"0.4.3": ("x86_64",), "0.32.0": ("x86_64", "arm64")}
"""Of the processors that each release has a wheel for."""
BFLOAT16_SINCE = 8.0
"""Compute capability; older GPUs refuse Llama's own dtype (vllm.md §3)."""
INSTALLED_GIB = 12
"""Disk that an environment with vLLM takes, its wheels in the cache included (vllm.md §6.1)."""

_GPU_CHECK = """
command -v nvidia-smi >/dev/null || say "this machine has no NVIDIA GPU, and vLLM needs one" "choose another machine"
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
# A clean nvidia-smi is not enough: CUDA itself is asked (lambda-cloud-api.md §4.3).
python3 - <<'CUDA' || say "CUDA does not work on this machine" "it never will: end it, try another region or type"
import ctypes, sys
cuda, count, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_void_p()
codes = [cuda.cuInit(0), cuda.cuDeviceGetCount(ctypes.byref(count))]
for device in range(count.value):
    codes.append(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
    cuda.cuDevicePrimaryCtxRelease(device)
sys.exit(f"CUDA error {max(codes)}" if any(codes) else None if count.value else "CUDA sees no GPU")
CUDA
"""


def _flags(serving: Serving) -> str:
    """What of the engine's arguments is not as the server has it by itself, and what a person adds."""
    args, fit = serving.engine_args, serving.fit
    generation = compute_capability(serving.instance_type)
    shorter = fit.max_model_len if fit.max_model_len < serving.model.max_model_len else 0
    flags = {
        "tensor-parallel-size": fit.tensor_parallel_size if fit.tensor_parallel_size > 1 else 0,
        "max-model-len": args.max_model_len or shorter,
        "gpu-memory-utilization": args.gpu_memory_utilization,
        "dtype": args.dtype or ("half" if 0 < generation < BFLOAT16_SINCE else ""),
        "quantization": shlex.quote(args.quantization) if args.quantization else "",
        "kv-cache-dtype": args.kv_cache_dtype,
        "served-model-name": shlex.quote(serving.model.repo_id) if serving.model.folder else "",
    }
    words = [f" --{name} {value}" for name, value in flags.items() if value]
    words += [f" {shlex.quote(word)}" for word in serving.extras.serve_args]
    return steps.at(serving.model) + "".join(words)


def _check_quantization(model: Model, args: EngineArgs, release: str) -> None:
    """Raises UsageError where no machine can serve the model in the quantization that is asked for."""
    asked = args.quantization
    if not asked:
        return
    if model.quantization:
        raise UsageError(
            f"{model.name} is quantized already, by {model.quantization}",
            "leave --quantization out: vLLM takes it from the repository",
        )
    if asked not in FP8[release] and (model.parameters or not model.folder):
        names = ", ".join(FP8[release])
        raise UsageError(
            f"vLLM {release} cannot quantize {model.name} to {asked} while it loads, only to {names}",
            f"choose one of these; what is {asked} already is served as it is: leave --quantization out",
        )


def _wrong_machine(model: Model, kind: InstanceType, release: str, quantization: str) -> str:
    """Why a release cannot run on a machine, whatever its memory; empty: it can, or its card is not known."""
    if kind.architecture not in ARCHITECTURES[release]:
        runs = " and ".join(ARCHITECTURES[release])
        return f"vLLM {release} is built for {runs} only, this machine is {kind.architecture}"
    generation, (oldest, newest) = compute_capability(kind), CAPABILITIES[release]
    wanted = FP8[release].get(quantization or model.quantization, oldest)
    if not generation or wanted <= generation <= newest:
        return ""
    needs = f"{newest} or older" if generation > newest else f"{max(wanted, oldest)} or newer"
    what = f" for {quantization or model.quantization}" if oldest <= generation < wanted else ""
    return f"vLLM {release} needs compute capability {needs}{what}, this is {generation}"


class Vllm:
    """The engine `vllm`."""

    name = "vllm"
    profiles: tuple[str, ...] = ("current", "guide")

    def served_model_name(self, model: Model) -> str:
        """The repository, as vLLM calls a model by default; of a folder its last part."""
        return model.repo_id

    def fit(self, model: Model, instance_type: InstanceType, profile: str, args: EngineArgs) -> Fit:
        """What the model leaves of each GPU's memory; a folder that nobody could look into may fit.

        Raises:
            UsageError: no machine can serve the model with these arguments.
        """
        release = RELEASES[profile or self.profiles[0]]
        sizing.check(model, args)
        _check_quantization(model, args, release.version)
        if not instance_type.gpus:
            return Fit(False, "vLLM needs a GPU")
        if model.parameters == 0 and model.folder:
            gpus = args.tensor_parallel_size or instance_type.gpus
            return Fit(True, tensor_parallel_size=gpus, max_model_len=args.max_model_len)
        if model.parameters == 0:
            return Fit(False, f"the size of {model.name} is not known")
        if reason := _wrong_machine(model, instance_type, release.version, args.quantization):
            return Fit(False, reason)
        return sizing.fit_vllm(
            model,
            release,
            args,
            gpu_memory_gib=instance_type.gpu_memory_gib,
            gpus=instance_type.gpus,
            card=instance_type.description,
        )

    def image_family(self, profile: str, instance_type: InstanceType) -> str:
        """The guide's pins want a Python before 3.12."""
        return steps.image_family(instance_type, python="3.10" if profile == "guide" else "3.12")

    def warnings(self, serving: Serving) -> tuple[str, ...]:
        """Where the guide's pins cannot do it, where our steps differ from its text, what nobody has looked at."""
        said = vllm_guide.warnings(serving, _flags(serving)) if serving.profile == "guide" else []
        if serving.extras.venv:
            said.append("the vLLM of the environment is used as it is, whatever its version")
        return tuple(said)

    def steps(self, serving: Serving) -> tuple[Step, ...]:
        """From a bare machine with a GPU to a server that answers. Raises UsageError."""
        guide = serving.profile == "guide"
        if guide and serving.extras.venv:
            raise UsageError("the guide makes its own environment", "leave --venv out, or use --profile current")
        download_gib = 0 if serving.model.folder else serving.model.weights_bytes / sizing.GIB
        disk_gib = (0 if serving.extras.venv else INSTALLED_GIB) + download_gib
        extra = _GPU_CHECK if serving.instance_type.gpus or not serving.extras.venv else ""
        if serving.model.folder:
            folder = steps.host_path(serving.model.folder)
            extra += f"[ -f {folder}/config.json ] ||\n"
            extra += '    say "the folder of the model holds no config.json" "is its path right?"\n'
        extra += vllm_guide.CHECK if guide else vllm_current.check(serving)
        check = steps.check(systems="Linux", disk_gib=disk_gib, port=serving.port, extra=extra)
        write = vllm_guide.steps_of if guide else vllm_current.steps_of
        return (check, *write(serving, _flags(serving)), steps.ready())
