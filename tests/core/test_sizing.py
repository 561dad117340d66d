"""The memory arithmetic, held against what real servers printed."""

import pytest

from llama_tui.core import sizing
from llama_tui.core.errors import UsageError
from llama_tui.core.instances import gpu_memory_gib
from llama_tui.core.models import MODELS, find_model
from llama_tui.core.sizing import V0_4_3, V0_23_0, V0_32_0, EngineArgs, fit_vllm, kv_bytes_per_token, usable_gib

H100, H200, A10 = (usable_gib(mib) for mib in (81_559, 143_771, 23_028))
"""By the memory.total of nvidia-smi."""


@pytest.mark.parametrize(
    ("model", "release", "gib", "gpus", "card", "weights", "kv_cache", "tokens"),
    [
        ("llama-3-8b", V0_23_0, H100, 1, "NVIDIA H100 80GB HBM3", 14.96, 56.56, 463_312),
        ("llama-3-70b", V0_23_0, H200, 2, "NVIDIA H200", 65.71, 61.2, 401_088),
        ("llama-3-8b", V0_4_3, 79.1, 1, "NVIDIA A100-SXM4-80GB", 14.96, 54.28, 444_688),
    ],
)
def test_what_servers_printed(
    model: str,
    release: sizing.Release,
    gib: float,
    gpus: int,
    card: str,
    weights: float,
    kv_cache: float,
    tokens: int,
) -> None:
    """Within 2 %: the recordings of 0.23.0 on one H100 and two H200, a published log of 0.4.1 on 80 GB (§5.4)."""
    found = fit_vllm(find_model(model), release, EngineArgs(), gpu_memory_gib=gib, gpus=gpus, card=card)
    assert found.weights_gib == pytest.approx(weights, rel=0.005)
    assert found.kv_cache_gib == pytest.approx(kv_cache, rel=0.02)
    assert found.kv_cache_tokens == pytest.approx(tokens, rel=0.02)
    assert found.max_model_len == 8192
    assert found.max_concurrency == pytest.approx(tokens / 8192, rel=0.02)


@pytest.mark.parametrize(
    ("model", "args", "kv_cache", "tokens"),
    [
        ("llama-3-8b", EngineArgs(), 112.33, 920_192),
        ("llama-3-8b", EngineArgs(gpu_memory_utilization=0.5, max_model_len=4096), 53.61, 439_184),
        ("llama-3-8b", EngineArgs(kv_cache_dtype="fp8"), 112.33, 1_840_384),
        ("llama-3.1-8b", EngineArgs(), 112.28, 919_824),
        ("llama-3.2-1b", EngineArgs(), 125.27, 4_104_864),
        ("llama-3.2-3b", EngineArgs(gpu_memory_utilization=0.3), 34.85, 326_288),
    ],
)
def test_what_our_own_deploys_printed(model: str, args: EngineArgs, kv_cache: float, tokens: int) -> None:
    """Within 1 %: vLLM 0.23.0 on one H200, deployed by `up --cloud local --venv …` with dummy weights."""
    found = fit_vllm(find_model(model), V0_23_0, args, gpu_memory_gib=H200, gpus=1, card="NVIDIA H200")
    assert found.kv_cache_gib == pytest.approx(kv_cache, rel=0.01)
    assert found.kv_cache_tokens == pytest.approx(tokens, rel=0.01)


def test_the_pinned_release_takes_the_cuda_graphs_out_of_the_cache() -> None:
    """0.32.0 leaves about 1 GiB less for 8B than 0.23.0 printed."""
    of_each = {
        release.version: fit_vllm(find_model("llama-3-8b"), release, EngineArgs(), gpu_memory_gib=H100, gpus=1)
        for release in (V0_23_0, V0_32_0)
    }
    less = of_each["0.23.0"].kv_cache_gib - of_each["0.32.0"].kv_cache_gib
    assert less == pytest.approx(0.98, abs=0.01)


def test_a_quantized_70b() -> None:
    """67.7 GiB of weights and 33,504 tokens in 5.11 GiB of fp8 cache were logged (§5.4)."""
    model = find_model("llama-3.3-70b-instruct")
    assert model.shape
    assert sizing.weights_bytes(model, EngineArgs(quantization="fp8")) / sizing.GIB == pytest.approx(67.7, rel=0.002)
    assert 33_504 * kv_bytes_per_token(model.shape, 1) / sizing.GIB == pytest.approx(5.11, abs=0.01)


def test_arguments_move_the_arithmetic() -> None:
    """Half the GPU, 32 bits, an fp8 cache, fewer GPUs: as the server would."""
    model = find_model("llama-3-8b")

    def fit(gpus: int = 1, **args: object) -> sizing.Fit:
        return fit_vllm(model, V0_23_0, EngineArgs(**args), gpu_memory_gib=H100, gpus=gpus)  # type: ignore[arg-type]

    assert fit(kv_cache_dtype="fp8").kv_cache_tokens == pytest.approx(2 * fit().kv_cache_tokens, abs=16)
    assert fit().kv_cache_gib - fit(gpu_memory_utilization=0.5).kv_cache_gib == pytest.approx(H100 * 0.42)
    assert fit(dtype="float32").weights_gib == pytest.approx(2 * 14.96, abs=0.01)
    assert fit(8, tensor_parallel_size=2).tensor_parallel_size == 2
    assert not fit(1, tensor_parallel_size=2).fits
    assert fit(max_model_len=4096).max_concurrency == pytest.approx(2 * fit().max_concurrency, rel=0.001)


def test_what_cuda_has_of_a_card() -> None:
    """nvidia-smi's total is a little more than what can be used (§5.2)."""
    assert pytest.approx((79.2, 139.8, 22.0), abs=0.1) == (H100, H200, A10)


def test_what_the_driver_has_of_a_card_that_is_rented() -> None:
    """By Lambda's description (§5.2): an A6000 keeps a part of its 48 GB for error correction."""
    sold = ("1x A10 (24 GB PCIe)", "4x RTX A6000 (48 GB)", "H100 (80 GB SXM5)")
    assert [gpu_memory_gib(one) for one in sold] == [22.0, 44.4, 79.2]


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
    found = fit_vllm(find_model("llama-3-70b"), V0_32_0, EngineArgs(), gpu_memory_gib=79.2, gpus=1)
    assert not found.fits
    assert "too much" in found.reason


def test_heads_must_be_divisible() -> None:
    """32 heads cannot be split over 3 GPUs."""
    args = EngineArgs(tensor_parallel_size=3)
    found = fit_vllm(find_model("llama-3-8b"), V0_32_0, args, gpu_memory_gib=79.2, gpus=8)
    assert not found.fits
    assert "heads" in found.reason


def test_a_context_that_does_not_fit_names_the_one_that_does() -> None:
    """131,072 tokens do not fit beside 8B on a 24 GB card; without a wish the context is cut to what fits."""
    model = find_model("llama-3.1-8b")
    wished = EngineArgs(max_model_len=131_072)
    refused = fit_vllm(model, V0_32_0, wished, gpu_memory_gib=22.0, gpus=1)
    assert not refused.fits
    cut = fit_vllm(model, V0_32_0, EngineArgs(), gpu_memory_gib=22.0, gpus=1)
    assert cut.fits
    assert cut.max_model_len == refused.max_model_len == cut.kv_cache_tokens


@pytest.mark.parametrize(("asked", "said"), [(32_768, "longer than the 8,192 that llama-3-8b"), (8, "too short")])
def test_a_context_that_no_machine_can_serve(asked: int, said: str) -> None:
    """Longer than the model's own is refused by vLLM at its start (vllm.md §3.10); shorter than a block is no use."""
    model, args = find_model("llama-3-8b"), EngineArgs(max_model_len=asked)
    found = fit_vllm(model, V0_32_0, args, gpu_memory_gib=79.2, gpus=1)
    assert not found.fits
    assert said in found.reason
    with pytest.raises(UsageError, match=said) as caught:
        sizing.check(model, args)
    assert caught.value.hint == "give a --max-model-len from 16 up to 8192, or leave it out"


@pytest.mark.parametrize(("gpus", "tp"), [(1, 1), (2, 2), (3, 2), (4, 4), (6, 4), (8, 8)])
def test_kv_heads_are_split_or_copied_evenly(gpus: int, tp: int) -> None:
    """24 heads and 8 KV heads: 3 and 6 GPUs divide the first, not the second."""
    model = find_model("llama-3.2-3b")
    found = fit_vllm(model, V0_32_0, EngineArgs(), gpu_memory_gib=79.2, gpus=gpus)
    assert (found.fits, found.tensor_parallel_size) == (True, tp)
    asked = fit_vllm(model, V0_32_0, EngineArgs(tensor_parallel_size=gpus), gpu_memory_gib=79.2, gpus=gpus)
    assert asked.fits == (tp == gpus)
    assert asked.fits or asked.reason == f"8 KV heads cannot be split over {gpus} GPUs"


def test_an_old_release_loads_everything_before_it_quantizes() -> None:
    """8B as fp8 is 8.5 GiB in the end; 0.4.3 needs 15 GiB on the way there, 0.32.0 quantizes layer by layer."""
    args, model = EngineArgs(quantization="fp8", max_model_len=1024), find_model("llama-3-8b")
    old, new = (fit_vllm(model, one, args, gpu_memory_gib=15.0, gpus=1) for one in (V0_4_3, V0_32_0))
    assert new.fits
    assert not old.fits
    assert "before it quantizes" in old.reason
