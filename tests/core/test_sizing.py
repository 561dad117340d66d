"""The memory arithmetic, held against what a real server printed."""

import pytest

from llama_tui.core.models import MODELS, find_model
from llama_tui.core.sizing import fit, kv_bytes_per_token


def test_kv_bytes_per_token() -> None:
    """128 KiB for Llama 3 8B, 320 KiB for 70B, in 16 bits (vllm.md §5.1)."""
    sizes = {name: kv_bytes_per_token(MODELS[name].shape) for name in ("llama-3-8b", "llama-3-70b")}  # type: ignore[arg-type]
    assert sizes == {"llama-3-8b": 131_072, "llama-3-70b": 327_680}


def test_weights_of_the_family() -> None:
    """14.96 GiB for 8B, as the recorded H100 server printed; 131.4 GiB for 70B."""
    assert find_model("llama-3-8b").weights_bytes / 2**30 == pytest.approx(14.96, abs=0.01)
    assert find_model("llama-3-70b").weights_bytes / 2**30 == pytest.approx(131.4, abs=0.1)


def test_a_model_that_is_too_large_says_by_how_much() -> None:
    """70B does not fit on one 80 GB GPU, and the reason is a sentence."""
    found = fit(find_model("llama-3-70b"), memory_gib=79.2, utilization=0.92, overhead_gib=2.5)
    assert not found.fits
    assert "too much" in found.reason


def test_heads_must_be_divisible() -> None:
    """32 heads cannot be split over 3 GPUs."""
    found = fit(find_model("llama-3-8b"), memory_gib=79.2, tensor_parallel_size=3, utilization=0.92, overhead_gib=2.5)
    assert not found.fits
    assert "heads" in found.reason


def test_a_context_that_does_not_fit_names_the_one_that_does() -> None:
    """131,072 tokens do not fit beside 8B on a 24 GB card; without a wish the context is cut to what fits."""
    model = find_model("llama-3.1-8b")
    refused = fit(model, memory_gib=22.0, utilization=0.92, overhead_gib=2.5, max_model_len=131_072)
    assert not refused.fits
    cut = fit(model, memory_gib=22.0, utilization=0.92, overhead_gib=2.5)
    assert cut.fits
    assert cut.max_model_len == refused.max_model_len == cut.kv_cache_tokens
