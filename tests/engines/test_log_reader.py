"""What a server log means, read from logs of real servers."""

from pathlib import Path

import pytest

from llama_tui.core.events import Progress
from llama_tui.core.interfaces import Cause
from llama_tui.engines.log_reader import Load, ServerLog
from llama_tui.hosts.output import Lines

RECORDINGS = Path(__file__).parent / "recordings"


def read(name: str) -> tuple[ServerLog, list[Progress]]:
    log, told, lines = ServerLog(), [], Lines()
    for line in lines.feed((RECORDINGS / name).read_bytes()) + lines.flush():
        told.extend(progress for progress in [log.read(line)] if progress)
    return log, told


def cause_of(*lines: str) -> Cause:
    log = ServerLog()
    for line in lines:
        log.read(line)
    cause = log.cause()
    assert cause
    return cause


def phases(told: list[Progress]) -> list[str]:
    return [one.phase for n, one in enumerate(told) if n == 0 or told[n - 1].phase != one.phase]


@pytest.mark.parametrize(
    ("name", "tokens", "weights"),
    [("vllm-0.23.0-h100.log", 463_312, "14.96 GiB"), ("vllm-0.23.0-2xh200-70b.log", 401_088, "65.71 GiB")],
)
def test_a_start_on_gpus_is_told_phase_by_phase(name: str, tokens: int, weights: str) -> None:
    """From the first line to listening, with the size of weights and KV cache that the server printed."""
    log, told = read(name)
    assert phases(told) == [
        "starting vLLM",
        "reading the model's config",
        "starting the engine",
        "connecting the GPUs",
        "loading weights",
        "weights loaded",
        "compiling",
        "compiled",
        "sizing the KV cache",
        "KV cache",
        "capturing CUDA graphs",
        "CUDA graphs captured",
        "engine ready",
        "listening",
    ]
    assert log.kv_cache_tokens == tokens
    assert Progress("weights loaded", weights) in told
    assert log.cause() is None


def test_a_start_on_cpus_shows_the_shards() -> None:
    """Newer logs print the KV cache and the concurrency in one line."""
    log, told = read("vllm-0.32.0-cpu.log")
    assert log.kv_cache_tokens == 46_592
    assert Progress("loading weights", "1 of 1 shards", 1.0) in told
    assert phases(told)[-1] == "listening"
    assert log.cause() is None


@pytest.mark.parametrize(
    ("name", "module"), [("engine-core-failed.log", "flashinfer"), ("missing-module.log", "humming")]
)
def test_the_root_cause_is_the_engines_not_the_api_servers_echo(name: str, module: str) -> None:
    """The API server only says that the engine failed; the reason stands far above it."""
    cause = read(name)[0].cause()
    assert cause
    assert cause.sentence == f"ModuleNotFoundError: No module named '{module}'"


OLD = """\
INFO 06-05 09:12:33 api_server.py:177] vLLM API server version 0.4.3
INFO 06-05 09:12:33 api_server.py:178] args: Namespace(host='0.0.0.0', port=8000)
2024-06-05 09:12:35,001 INFO worker.py:1753 -- Started a local Ray instance.
INFO 06-05 09:12:40 llm_engine.py:161] Initializing an LLM engine (v0.4.3) with config: model='m', dtype=torch.bfloat16
(RayWorkerWrapper pid=858) INFO 06-05 09:12:44 utils.py:618] vLLM is using nccl==2.20.5
INFO 06-05 09:12:50 weight_utils.py:207] Using model weights format ['*.safetensors']
model-00001-of-00004.safetensors:  23%|██▎       | 1.15G/4.98G [00:10<00:35, 110MB/s]
INFO 06-05 09:14:02 model_runner.py:146] Loading model weights took 14.9595 GB
INFO 06-05 09:14:10 gpu_executor.py:83] # GPU blocks: 27793, # CPU blocks: 2048
INFO 06-05 09:14:12 model_runner.py:854] Capturing the model for CUDA graphs. This may lead to unexpected consequences
INFO 06-05 09:14:20 model_runner.py:924] Graph capturing finished in 5 secs.
INFO:     Application startup complete.
INFO 06-05 09:15:00 metrics.py:334] Avg prompt throughput: 0.3 tokens/s, Avg generation throughput: 1.5 tokens/s, \
Running: 1 reqs, Swapped: 0 reqs, Pending: 2 reqs, GPU KV cache usage: 0.4%, CPU KV cache usage: 0.0%.
"""


def test_the_guides_version_is_understood_too() -> None:
    """0.4.3 counts its cache in blocks of 16 tokens, and shows no shards."""
    log = ServerLog()
    told = [progress for line in OLD.splitlines() if (progress := log.read(line))]
    assert phases(told) == [
        "starting vLLM",
        "starting Ray",
        "starting the engine",
        "connecting the GPUs",
        "loading weights",
        "downloading",
        "weights loaded",
        "KV cache",
        "capturing CUDA graphs",
        "CUDA graphs captured",
        "listening",
    ]
    assert Progress("downloading", "model-00001-of-00004.safetensors: 1.15GB of 4.98GB", 0.23) in told
    assert log.kv_cache_tokens == 27_793 * 16
    assert log.load == Load(0.3, 1.5, 1, 2, 0.4)


@pytest.mark.parametrize(
    ("line", "sentence", "hint"),
    [
        ("Access to model meta-llama/X is restricted and you are not in the authorized list. Visit", "not granted yet", "ask"),
        ("OSError: You are trying to access a gated repo.", "gated", "licence"),
        ("huggingface_hub.errors.GatedRepoError: 401 Client Error.", "gated", "licence"),
        ("401 Client Error: Invalid credentials in Authorization header", "refused the token", "read token"),
        ("OSError: NAME is not a local folder and is not a valid model identifier listed on", "no such model", "name"),
        ("ValueError: Invalid repository ID or local directory specified: 'NAME'.", "no such model", "name"),
        ("429 Too Many Requests: you have reached your 'api' rate limit.", "limits how much", "wait"),
        ("LocalEntryNotFoundError: outgoing traffic has been disabled.", "not on the machine", "again"),
        ("OSError: [Errno 28] No space left on device", "disk of the machine is full", "storage"),
        ("(5.11 GiB). Based on the available memory, the estimated maximum model length is 41856. Try", "41856 tokens", "41856"),
        ("ValueError: The model's max seq len (8192) is larger than the maximum number of tokens that can be stored in "
         "KV cache (6048). Try", "6048 tokens", "--max-model-len 6048"),
        ("ValueError: No available memory for the cache blocks. Try increasing", "no memory for the KV", "larger"),
        ("ValueError: Free memory on device cuda:0 (16.9/79.18 GiB) on startup is less than desired GPU memory "
         "utilization (0.92, 72.85 GiB).", "another process", "nvidia-smi"),
        ("AssertionError: Error in memory profiling. This happens when", "another process", "nvidia-smi"),
        ("RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy", "warmed up", "max-num-seqs"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB", "too small", "larger"),
        ("World size (8) is larger than the number of available GPUs (4) in this node.", "more GPUs", "more GPUs"),
        ("ValueError: Total number of attention heads (32) must be divisible by tensor parallel size (3).", "32", "8 GPUs"),
        ("RuntimeError: NCCL error in: ProcessGroupNCCL.cpp", "NCCL", "P2P"),
        ("RuntimeError: The NVIDIA driver on your system is too old (found version 12020).", "driver", "guide"),
        ("CUDA error 802: system not yet initialized", "CUDA does not start", "region"),
        ("RuntimeError: Failed to infer device type, please set", "no GPU", "nvidia-smi"),
        ("ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0.", "bfloat16", "half"),
        ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "no code", "profile"),
        ("ImportError: libcudart.so.13: cannot open shared object file", "different CUDA", "anew"),
        ("OSError: [Errno 98] Address already in use", "port is in use", "--port"),
        ("httpx.ConnectError: [Errno -2] Name or service not known", "look up the names", "DNS"),
        ("ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
         "port is in use", "--port"),
        ("ValueError: User-specified max_model_len (32768) is greater than the derived max_model_len", "context", "smaller"),
        ("ValueError: `rope_scaling` must be a dictionary with two fields, `type` and `factor`", "too old", "current"),
        ("ModuleNotFoundError: No module named 'setuptools'", "setuptools", "pip install"),
        ("A module that was compiled using NumPy 1.x cannot be run in NumPy 2.0.0", "NumPy", "1.26.4"),
        ("ImportError: cannot import name 'LogitsWarper' from 'transformers'", "transformers", "4.46.3"),
        ("api_server.py: error: unrecognized arguments: --swap-space 4", "--swap-space 4", "leave it out"),
        ("ERROR: No matching distribution found for vllm==0.4.3", "Python", "current"),
        ("ImportError: /lib/libc.so.6: version `GLIBC_2.31' not found", "too old", "newer image"),
        ("Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.", "killed", "larger"),
        ("KeyError: 'type'", "too old", "--profile current"),
        ("ERROR 06-05 async_llm_engine.py:699] Engine iteration timed out. This should never happen!", "60 s", "NCCL_P2P"),
        ("INFO 06-05 ray_utils.py:214] Waiting for creating a placement group of specs for 10 seconds. specs=[{'GPU': 1.0}]",
         "Ray waits", "nvidia-smi"),
        ("ValueError: Cannot provide a placement group of placement_group_specs=[{'GPU': 1.0}] within 1800 seconds.",
         "Ray waits", "nvidia-smi"),
        ("ERROR: No matching distribution found for numpy==1.26.4", "NumPy", "3.9-3.11"),
        ("Because numpy==1.26.4 has no wheels with a matching Python ABI tag", "NumPy", "3.9-3.11"),
        ("Error: Access denied. Model 'meta-llama/X' requires approval.", "gated", "licence"),
        ("Error: Model 'meta-llama/X' not found.", "no such model", "name"),
        ("0.00.1 E llama_model_load: error loading model: invalid magic", "weights cannot be loaded", "damaged"),
    ],
)  # fmt: skip
def test_each_known_failure_has_a_sentence_and_a_next_step(line: str, sentence: str, hint: str) -> None:
    """The failures of vllm.md §3, found in the middle of prefixed lines as well."""
    for prefix in ("", "(EngineCore pid=788) ERROR 11-23 03:33:44 [core.py:1195] "):
        log = ServerLog()
        log.read(prefix + line)
        log.read("RuntimeError: Engine core initialization failed. See root cause above.")
        cause = log.cause()
        assert cause
        assert sentence in cause.sentence
        assert hint in cause.hint


@pytest.mark.parametrize(
    ("lines", "sentence", "hint"),
    [
        (["huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-66)", "",
          "Cannot access gated repo for url https://huggingface.co/meta-llama/X/resolve/main/config.json.",
          "Access to model meta-llama/X is restricted and you are not in the authorized list. Visit",
          "OSError: You are trying to access a gated repo."],
         "access was not granted yet", "ask for it"),
        (["huggingface_hub.errors.GatedRepoError: 403 Client Error.",
          "Your request to access model meta-llama/X is awaiting a review from the repo authors."],
         "access was not granted yet", "ask for it"),
        (["huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: Root=1-66)", "",
          "Repository Not Found for url: https://huggingface.co/api/models/meta-llama/X.",
          "Invalid credentials in Authorization header",
          "OSError: meta-llama/X is not a local folder and is not a valid model identifier listed on"],
         "refused the token", "read token"),
        (["  ERROR: Ignored the following versions that require a different python version: 1.25.0 Requires-Python >=3.9",
          "ERROR: No matching distribution found for numpy==1.26.4"],
         "NumPy", "3.9-3.11"),
    ],
    ids=["gated", "awaiting review", "token", "numpy"],
)  # fmt: skip
def test_a_later_line_of_the_same_failure_may_tell_more(lines: list[str], sentence: str, hint: str) -> None:
    """A traceback names its exception first, and the reason in the lines that follow."""
    cause = cause_of(*lines)
    assert sentence in cause.sentence
    assert hint in cause.hint


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["(Worker_TP0 pid=11) ERROR 11-23 03:33:44 [multiproc.py:7] AssertionError: x must be even",
          "(Worker_TP1 pid=12) ERROR 11-23 03:33:44 [multiproc.py:7] RuntimeError: NCCL error in: P.cpp, ncclRemoteError"],
         "AssertionError: x must be even"),
        (["(EngineCore pid=1) KeyError: 'lm_head'",
          "Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor."],
         "KeyError: 'lm_head'"),
        (["KeyError: 'lm_head'", "Killed"], "KeyError: 'lm_head'"),
        (["(EngineCore pid=1) (Worker_TP1 pid=2) ERROR 11-23 03:33:44 [multiproc.py:7] KeyError: 'lm_head'",
          "ERROR 06-05 09:15:00 async_llm_engine.py:699] Engine iteration timed out. This should never happen!"],
         "KeyError: 'lm_head'"),
        (["INFO 06-05 ray_utils.py:214] Waiting for creating a placement group of specs for 10 seconds. specs=[]",
          "ValueError: No available memory for the cache blocks. Try increasing"],
         "no memory for the KV"),
    ],
    ids=["NCCL", "exit code -9", "Killed", "timed out", "Ray"],
)  # fmt: skip
def test_what_follows_the_death_of_another_is_not_the_cause(lines: list[str], sentence: str) -> None:
    """One process fails; the others lose their peer, are killed, or wait in vain."""
    assert sentence in cause_of(*lines).sentence


@pytest.mark.parametrize(
    "line",
    ["Killed", "run.sh: line 12:  4711 Killed                  python3 -m vllm", "[1]+  Killed  python3 -m vllm"],
)
def test_a_killed_server_is_known_by_the_shells_own_words(line: str) -> None:
    """As sh and bash print it."""
    assert "ran out of memory" in cause_of("INFO 11-23 03:33:44 [core.py:1] loading", line).sentence


@pytest.mark.parametrize(
    "noise",
    [
        "INFO 11-23 03:33:44 [utils.py:7] Killed 3 stale processes",
        "ERROR 11-23 03:33:44 [repo_utils.py:7] Error retrieving file list: Cannot find the requested files in the disk "
        "cache and outgoing traffic has been disabled. To enable look-ups set 'local_files_only', retrying 1 of 2",
        "ERROR 11-23 03:33:46 [repo_utils.py:7] Error retrieving file list: outgoing traffic has been disabled.",
        "ERROR 11-23 03:33:46 [config.py:7] Error parsing config for NAME: outgoing traffic has been disabled.",
    ],
)
def test_noise_before_the_failure_is_not_its_cause(noise: str) -> None:
    """Something else that was killed, and what vLLM tries again or does without (vllm.md §3.1)."""
    failure = "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0."
    assert "bfloat16" in cause_of(noise, failure).sentence
    assert cause_of(noise, "KeyError: 'lm_head'").sentence == "KeyError: 'lm_head'"


def test_a_validation_error_is_told_by_its_next_line() -> None:
    """Pydantic counts first, and says what is wrong one line below."""
    prefix = "(APIServer pid=603) "
    cause = cause_of(
        prefix + "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        prefix
        + "  Value error, The checkpoint has model type `x`. [type=value_error, input_value=ArgsKwargs((), {'a': 1})]",
        prefix + "    For further information visit https://errors.pydantic.dev/2.11/v/value_error",
    )
    assert cause.sentence == "The checkpoint has model type `x`."
    known = "  Value error, User-specified max_model_len (32768) is greater than the derived max_model_len (8192)"
    assert "context" in cause_of("ValidationError: 1 validation error for ModelConfig", known).sentence
