"""Does it fit, and with how much context: the memory arithmetic of a model server (vllm.md §5).

vLLM takes gpu_memory_utilization of each GPU. What weights, CUDA, the largest forward pass and, in recent releases,
the CUDA graphs leave of that is the KV cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from llama_tui.core.errors import UsageError
from llama_tui.core.models import Model, Shape

GIB = 2**30
BLOCK = 16
"""Tokens in one block of vLLM's KV cache."""

BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "half": 2.0, "float": 4.0}
"""`--dtype` → bytes of one value; others (and `auto`) are served in 16 bits."""
QUANTIZED = {"fp8": 1.0, "fp8_per_tensor": 1.0, "fp8_per_channel": 1.0}
"""`--quantization` of weights that are not quantized yet → bytes of one; embeddings and head stay in `--dtype`."""

CUDA_GIB = 0.55
"""CUDA context and what PyTorch keeps (both recordings, less their forward pass)."""
COLLECTIVES_GIB = 0.27
"""NCCL's and the custom all-reduce's buffers, per GPU of several (the 2x H200 recording)."""
GRAPHS_GIB = 0.62
"""CUDA graphs of any model ..."""
GRAPHS_GIB_PER_LAYER = 0.01125
"""... and of each layer (the recordings: 0.98 GiB with 32 layers, 1.52 GiB with 80)."""


@dataclass(frozen=True, slots=True)
class EngineArgs:
    """What decides about memory, in vLLM's words (vllm.md §1). Empty or 0: as the server has it."""

    max_model_len: int = 0
    tensor_parallel_size: int = 0
    gpu_memory_utilization: float = 0.0
    dtype: str = ""
    quantization: str = ""
    kv_cache_dtype: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """How a release of vLLM shares a GPU out when nothing else is said."""

    version: str
    gpu_memory_utilization: float
    takes_graphs_out: bool
    """What CUDA graphs will need is taken from the KV cache; else it comes out of the rest."""
    chunked_prefill: bool
    """A pass is cut to max_num_batched_tokens; else it may be as long as the context."""
    extra_gib: float = 0.0
    """More than `CUDA_GIB` that it was seen to take."""
    quantizes_late: bool = False
    """`--quantization` begins when all weights are on the GPU in full; else each is quantized as it comes."""


V0_4_3 = Release("0.4.3", 0.90, takes_graphs_out=False, chunked_prefill=False, extra_gib=0.5, quantizes_late=True)
"""444,688 tokens for 8B on 80 GB were logged (vllm.md §5.4)."""
V0_23_0 = Release("0.23.0", 0.92, takes_graphs_out=False, chunked_prefill=True)
"""The release of the recordings."""
V0_32_0 = Release("0.32.0", 0.92, takes_graphs_out=True, chunked_prefill=True)
"""Its gpu_worker.py takes the graphs' profile from the KV cache, also with the second model runner."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model leaves room for on a machine. GiB are per GPU (per machine, where it has none)."""

    fits: bool
    reason: str = ""
    """Why not, in one sentence; empty when it fits."""
    tensor_parallel_size: int = 1
    weights_gib: float = 0.0
    kv_cache_gib: float = 0.0
    kv_cache_tokens: int = 0
    """For the whole server."""
    max_model_len: int = 0
    """Tokens of one request: the model's own, or fewer where the cache holds fewer."""
    max_concurrency: float = 0.0
    """Requests of max_model_len that fit into the cache at once."""


def weights_bytes(model: Model, args: EngineArgs) -> float:
    """Bytes of a checkpoint as vLLM holds it: quantization on the way spares embeddings and head."""
    if model.files_bytes:
        return model.files_bytes
    per_value = BYTES.get(args.dtype, 2.0)
    if args.quantization not in QUANTIZED or model.shape is None:
        return model.parameters * per_value
    kept = model.shape.embeddings
    return (model.parameters - kept) * QUANTIZED[args.quantization] + kept * per_value


def kv_bytes_per_token(shape: Shape, bytes_per_value: float = 2.0) -> int:
    """Bytes of keys and values for one token, over all layers and GPUs."""
    return int(2 * shape.layers * shape.kv_heads * shape.head_dim * bytes_per_value)


def kv_bytes_per_value(args: EngineArgs) -> float:
    """1 for an fp8 cache; else that of the values the model computes with."""
    return 1.0 if args.kv_cache_dtype.startswith(("fp8", "int8")) else BYTES.get(args.dtype, 2.0)


def batch_limits(gpu_memory_gib: float, card: str) -> tuple[int, int]:
    """(max_num_batched_tokens, max_num_seqs) of a server by its GPU (vLLM's arg_utils.py, get_batch_defaults)."""
    if gpu_memory_gib >= 160:
        return 16384, 1024
    if gpu_memory_gib >= 70 and "a100" not in card.lower():
        return 8192, 1024
    return 2048, 256


def overhead_gib(shape: Shape, release: Release, *, tensor_parallel_size: int, tokens: int, seqs: int) -> float:
    """GiB per GPU that are neither weights nor KV cache.

    The largest forward pass holds the residual stream twice and the MLP's gate, up and product; or, if that is more,
    the logits of every sequence in 16 and in 32 bits.
    """
    tp = tensor_parallel_size
    mlp = tokens * (2 * shape.hidden_size + 3 * shape.intermediate_size / tp) * 2
    logits = seqs * shape.vocab_size * (2 + 4)
    graphs = GRAPHS_GIB + GRAPHS_GIB_PER_LAYER * shape.layers if release.takes_graphs_out else 0.0
    fixed = CUDA_GIB + release.extra_gib + (COLLECTIVES_GIB if tp > 1 else 0.0)
    return fixed + max(mlp, logits) / GIB + graphs


def fit_vllm(
    model: Model, release: Release, args: EngineArgs, *, gpu_memory_gib: float, gpus: int, card: str = ""
) -> Fit:
    """What `model` leaves of GPUs of `gpu_memory_gib` each, served by that release of vLLM with those arguments."""
    shape = model.shape
    tp = args.tensor_parallel_size or next(n for n in range(gpus, 0, -1) if not shape or not _unsplit(shape, n))
    weights = weights_bytes(model, args) / tp / GIB
    if tp > gpus:
        return Fit(False, f"a tensor parallel size of {tp} needs as many GPUs, here are {gpus}", tp, weights)
    if shape and (heads := _unsplit(shape, tp)):
        return Fit(False, f"{heads} cannot be split over {tp} GPUs", tp, weights)
    whole = weights_bytes(model, replace(args, quantization="")) / tp / GIB
    if release.quantizes_late and whole > weights and whole + CUDA_GIB > gpu_memory_gib:
        reason = f"vLLM {release.version} loads all {whole:.1f} GiB of weights before it quantizes them: too much"
        return Fit(False, reason, tp, weights)
    tokens, seqs = batch_limits(gpu_memory_gib, card)
    if not release.chunked_prefill:
        tokens = max(tokens, args.max_model_len or min(model.max_model_len, 8192))
    overhead = (
        overhead_gib(shape, release, tensor_parallel_size=tp, tokens=tokens, seqs=seqs) if shape else CUDA_GIB + 2.0
    )
    budget = gpu_memory_gib * (args.gpu_memory_utilization or release.gpu_memory_utilization) - overhead
    return share_out(model, args, weights_gib=weights, budget_gib=budget, tensor_parallel_size=tp)


def _unsplit(shape: Shape, gpus: int) -> str:
    """The heads that vLLM cannot split over so many GPUs; empty: it can."""
    if shape.attention_heads % gpus:
        return f"{shape.attention_heads} attention heads"
    # Each GPU has some of the KV heads, or several have a copy of the same one.
    return f"{shape.kv_heads} KV heads" if shape.kv_heads % gpus and gpus % shape.kv_heads else ""


def wrong_context(model: Model, args: EngineArgs) -> str:
    """Why no machine can serve the model with that max_model_len, in one sentence; empty where one may."""
    asked, own = args.max_model_len, model.max_model_len
    if own and asked > own:
        return f"a context of {asked:,} tokens is longer than the {own:,} that {model.name} was made for"
    return f"a context of {asked} tokens is too short to serve" if 0 < asked < BLOCK else ""


def check(model: Model, args: EngineArgs) -> None:
    """Raises UsageError where no machine can serve the model with those arguments."""
    if reason := wrong_context(model, args):
        upto = f" up to {model.max_model_len}" if model.max_model_len else ""
        raise UsageError(reason, f"give a --max-model-len from {BLOCK}{upto}, or leave it out")
    tp = args.tensor_parallel_size
    if model.shape and tp and (heads := _unsplit(model.shape, tp)):
        raise UsageError(
            f"the {heads} of {model.name} cannot be split over {tp} GPUs", "leave --tensor-parallel-size out"
        )


def share_out(
    model: Model, args: EngineArgs, *, weights_gib: float, budget_gib: float, tensor_parallel_size: int = 1
) -> Fit:
    """Weights into a budget (per GPU), and the KV cache into what is left of it.

    Without a max_model_len it is the model's own context, cut to what the cache holds.
    """
    tp, kv_gib = tensor_parallel_size, budget_gib - weights_gib
    if reason := wrong_context(model, args):
        return Fit(False, reason, tp, weights_gib)
    if kv_gib <= 0:
        return Fit(
            False, f"{weights_gib:.1f} GiB of weights: {-kv_gib:.1f} GiB too much for the memory", tp, weights_gib
        )
    if model.shape is None:
        return Fit(True, "", tp, weights_gib, kv_gib, 0, args.max_model_len, 0.0)
    per_token = kv_bytes_per_token(model.shape, kv_bytes_per_value(args)) / min(tp, model.shape.kv_heads)
    tokens = int(kv_gib * GIB / per_token) // BLOCK * BLOCK
    context = args.max_model_len or min(model.max_model_len, tokens)
    if context > tokens or context < BLOCK:
        reason = f"the cache holds {tokens:,} tokens, fewer than a context of {context:,}"
        return Fit(False, reason, tp, weights_gib, kv_gib, tokens, min(tokens, context))
    return Fit(True, "", tp, weights_gib, kv_gib, tokens, context, tokens / context)


def usable_gib(memory_total_mib: int) -> float:
    """GiB that CUDA has of what nvidia-smi calls memory.total.

    81,559 MiB are 79.2 GiB, 143,771 MiB 139.8, 23,028 MiB 22.0 (vllm.md §5.2, and the recordings).
    """
    total = memory_total_mib / 1024
    return max(0.0, total - 0.42 - 0.0012 * total)
