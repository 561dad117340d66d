"""Does it fit, and with how much context: the memory arithmetic of a model server (vllm.md §5)."""

from __future__ import annotations

from dataclasses import dataclass

from llama_tui.core.models import Model, Shape

GIB = 2**30
BLOCK = 16
"""Tokens in one block of vLLM's KV cache."""


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


def kv_bytes_per_token(shape: Shape, bytes_per_value: int = 2) -> int:
    """Bytes of keys and values for one token, over all layers."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * bytes_per_value


def fit(
    model: Model,
    *,
    memory_gib: float,
    tensor_parallel_size: int = 1,
    utilization: float,
    overhead_gib: float,
    max_model_len: int = 0,
) -> Fit:
    """What `model` leaves of `memory_gib` (per GPU) once weights and overhead are in.

    `max_model_len` 0 asks for the model's own context, cut to what the cache holds.
    """
    tp = tensor_parallel_size
    weights = model.weights_bytes / tp / GIB
    kv_gib = memory_gib * utilization - weights - overhead_gib
    if model.shape is None:
        return Fit(True, "", tp, weights, max(kv_gib, 0.0), 0, max_model_len, 0.0)
    if model.shape.attention_heads % tp:
        return Fit(
            False,
            f"{model.shape.attention_heads} attention heads cannot be split over {tp} GPUs",
            tp,
            weights,
        )
    if kv_gib <= 0:
        short = weights + overhead_gib - memory_gib * utilization
        return Fit(False, f"{weights:.1f} GiB of weights: {short:.1f} GiB too much for the memory", tp, weights)
    per_token = kv_bytes_per_token(model.shape) / min(tp, model.shape.kv_heads)
    tokens = int(kv_gib * GIB / per_token) // BLOCK * BLOCK
    context = max_model_len or min(model.max_model_len, tokens)
    if context > tokens or context < BLOCK:
        reason = f"the cache holds {tokens:,} tokens, fewer than a context of {context:,}"
        return Fit(False, reason, tp, weights, kv_gib, tokens, min(tokens, context))
    return Fit(True, "", tp, weights, kv_gib, tokens, context, tokens / context)
