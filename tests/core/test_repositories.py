"""Any repository as a model: what its config.json tells, and what it does not."""

from typing import Any

import pytest

from llama_tui.core import sizing
from llama_tui.core.errors import UsageError
from llama_tui.core.instances import InstanceType
from llama_tui.core.models import MODELS, Model, model_of_config
from llama_tui.core.sizing import GIB, EngineArgs
from llama_tui.engines.vllm import Vllm
from tests.hub_server import CONFIG

H100 = InstanceType("gpu_1x_h100_sxm5", "1x H100 (80 GB SXM5)", 1, 79.2, 26, 225, 2816, 429)
EIGHT = InstanceType("gpu_8x_h100_sxm5", "8x H100 (80 GB SXM5)", 8, 79.2, 208, 1800, 22528, 3192)
A100 = InstanceType("gpu_1x_a100", "1x A100 (40 GB PCIe)", 1, 39.4, 30, 200, 512, 199)
FP8 = {"quantization_config": {"quant_method": "fp8", "activation_scheme": "static"}}


def repository(gib: float = 0, parameters: int = 0, repo_id: str = "org/a-model", **config: Any) -> Model:
    return model_of_config(repo_id, {**CONFIG, **config}, parameters=parameters, weights_bytes=int(gib * GIB))


def config_like(name: str) -> dict[str, Any]:
    shape = MODELS[name].shape
    assert shape
    return {
        "num_hidden_layers": shape.layers, "hidden_size": shape.hidden_size, "vocab_size": shape.vocab_size,
        "num_attention_heads": shape.attention_heads, "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.intermediate_size,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("like", "method", "gib", "counted", "kind", "per_gpu"),
    [
        ("llama-3-8b", "fp8", 8.46, 8_030_261_248, A100, 8.46),
        ("llama-3-8b", "awq", 5.34, 1_984_000_000, A100, 5.34),
        ("llama-3-70b", "fp8", 67.7, 70_553_706_496, H100, 67.7),
        ("llama-3.1-405b", "fp8", 462.0, 405_853_388_800, EIGHT, 57.75),
    ],
)
def test_a_quantized_repository_is_as_large_as_its_files(
    like: str, method: str, gib: float, counted: int, kind: InstanceType, per_gpu: float
) -> None:
    """Not parameters x 2: what the Hub counts may be packed. 67.7 and 57.75 GiB per GPU were logged (§5.4)."""
    model = repository(gib, counted, quantization_config={"quant_method": method}, **config_like(like))
    assert model.quantization == method
    assert model.weights_bytes / GIB == pytest.approx(gib)
    fit = Vllm().fit(model, kind, "current", EngineArgs())
    assert (fit.fits, fit.reason) == (True, "")
    assert fit.weights_gib == pytest.approx(per_gpu, abs=0.01)


def test_a_quantized_repository_without_known_files_is_not_judged() -> None:
    """The Hub told no size: it is not known, instead of twice too large."""
    fit = Vllm().fit(repository(**FP8), H100, "current", EngineArgs())
    assert (fit.fits, fit.reason) == (False, "the size of a-model is not known")


def test_what_is_quantized_already_is_not_quantized_again() -> None:
    """VLLM takes the method from the repository, and refuses another."""
    with pytest.raises(UsageError, match="a-model is quantized already, by fp8") as caught:
        Vllm().fit(repository(8.46, **FP8), H100, "current", EngineArgs(quantization="fp8"))
    assert "leave --quantization out" in caught.value.hint


LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}


@pytest.mark.parametrize(
    ("config", "since"),
    [
        ({}, "0.4.3"),
        ({"rope_scaling": None}, "0.4.3"),
        ({"rope_scaling": LLAMA3_ROPE}, "0.5.3"),
        ({"rope_parameters": LLAMA3_ROPE}, "0.5.3"),
        ({"architectures": ["Qwen3ForCausalLM"]}, ""),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, ""),
    ],
)
def test_the_first_release_that_loads_it(config: dict[str, Any], since: str) -> None:
    """0.5.3 for the rope of Llama 3.1, 0.4.3 for a Llama without it, no claim for any other."""
    assert repository(**config).since_vllm == since


@pytest.mark.parametrize("architectures", [["BertModel"], ["Qwen2ForSequenceClassification"], [], None])
def test_what_generates_no_text_is_refused(architectures: list[str] | None) -> None:
    """Embedding models and classifiers have a config that looks alike."""
    with pytest.raises(UsageError, match="generates no text"):
        repository(architectures=architectures)


def test_the_decoder_of_a_model_that_sees_is_in_a_text_config() -> None:
    """...ForConditionalGeneration is served where it has a decoder of its own."""
    seeing = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": CONFIG}
    assert model_of_config("org/a-model", seeing).shape == MODELS["llama-3-8b"].shape
    with pytest.raises(UsageError, match="generates no text"):
        repository(architectures=["T5ForConditionalGeneration"])


def test_the_cache_of_a_latent_attention_is_not_guessed() -> None:
    """DeepSeek's kv_lora_rank: the weights are weighed, the tokens are not known."""
    model = repository(29.3, architectures=["DeepseekV2ForCausalLM"], kv_lora_rank=512)
    assert model.shape is None
    fit = Vllm().fit(model, H100, "current", EngineArgs())
    assert fit.fits
    assert fit.weights_gib == pytest.approx(29.3)
    assert (fit.kv_cache_tokens, fit.max_model_len) == (0, 0)


def test_a_stretched_context() -> None:
    """VLLM multiplies max_position_embeddings by the factor of `linear` and `dynamic`, and of no other."""
    for kind, tokens in (("linear", 32_768), ("dynamic", 32_768), ("yarn", 8192), ("llama3", 8192)):
        model = repository(rope_scaling={"rope_type": kind, "factor": 4.0})
        assert (model.max_model_len, bool(sizing.wrong_context(model, EngineArgs(32_768)))) == (
            tokens,
            tokens == 8192,
        )
