"""Which machines the two releases of vLLM run on, and what they can quantize to."""

import pytest

from llama_tui.core.errors import UsageError
from llama_tui.core.instances import InstanceType
from llama_tui.core.models import find_model
from llama_tui.core.sizing import QUANTIZED, EngineArgs
from llama_tui.engines.vllm import FP8, Vllm
from tests.core.test_plan import A10, A100, CPU, H100, plan_of

GH200 = InstanceType("gpu_1x_gh200", "1x GH200 (96 GB)", 1, 94.5, 64, 432, 4096, 229, "arm64")


def own(card: str, compute_capability: float = 0.0) -> InstanceType:
    """A machine of one's own with a card of 24 GiB."""
    return InstanceType("box", f"1x {card}", 1, 23.5, 16, 64, 500, 0, compute_capability=compute_capability)


def reason(kind: InstanceType, profile: str, **args: object) -> str:
    return Vllm().fit(find_model("llama-3-8b"), kind, profile, EngineArgs(**args)).reason  # type: ignore[arg-type]


def test_the_guides_release_is_built_for_x86_only() -> None:
    """Its wheel has no sister for Grace machines; the current release has."""
    assert reason(GH200, "guide") == "vLLM 0.4.3 is built for x86_64 only, this machine is arm64"
    assert reason(GH200, "current") == ""


@pytest.mark.parametrize(
    ("kind", "guide", "current"),
    [
        (own("NVIDIA GeForce RTX 5090", 12.0), "needs compute capability 9.0 or older, this is 12.0", ""),
        (own("NVIDIA GeForce RTX 2080 Ti", 7.5), "", ""),
        (own("Tesla P100-PCIE-16GB", 6.0), "needs compute capability 7.0 or newer", "7.5 or newer, this is 6.0"),
        (own("Tesla P100-PCIE-16GB"), "needs compute capability 7.0 or newer", "7.5 or newer, this is 6.0"),
        (own("Tesla V100-SXM2-32GB"), "", "7.5 or newer, this is 7.0"),
        (own("a card that nobody knows"), "", ""),
    ],
)
def test_a_card_is_what_it_says_it_is(kind: InstanceType, guide: str, current: str) -> None:
    """What the machine was asked, else what its name tells, else nothing is claimed."""
    for profile, said in (("guide", guide), ("current", current)):
        assert said in reason(kind, profile)
        assert bool(reason(kind, profile)) == bool(said)


@pytest.mark.parametrize(("capability", "half"), [(7.5, True), (8.0, False), (0.0, False)])
def test_a_card_without_bfloat16_computes_in_half(
    capability: float, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turing refuses Llama's own dtype; where the card is not known nothing is said."""
    monkeypatch.setattr("tests.core.test_plan.TYPES", [own("NVIDIA GeForce RTX 2080 Ti", capability)])
    server = next(one.script for one in plan_of("llama-3-8b").steps if one.id == "90-server")
    assert ("--dtype half" in server) == half


def test_whatever_is_offered_can_be_served() -> None:
    """Every name of --quantization is one of the current release's own; fp8 is also the guide's."""
    assert set(QUANTIZED) == set(FP8["0.32.0"])
    for name in QUANTIZED:
        assert reason(H100, "current", quantization=name) == ""
    assert reason(H100, "guide", quantization="fp8") == ""


@pytest.mark.parametrize("name", ["awq", "gptq", "int8", "bitsandbytes"])
def test_what_cannot_be_quantized_on_the_way_is_refused(name: str) -> None:
    """Once, not for each machine; and what to do with a repository that is quantized so."""
    for kind in (H100, CPU):
        with pytest.raises(UsageError, match=f"cannot quantize llama-3-8b to {name} while it loads") as caught:
            reason(kind, "current", quantization=name)
    assert "leave --quantization out" in caught.value.hint


def test_fp8_needs_a_card_that_knows_it() -> None:
    """0.4.3 wants Ada or Hopper; 0.32.0 falls back to other kernels, except for scales by channel."""
    wants = "vLLM 0.4.3 needs compute capability 8.9 or newer for fp8, this is 8.0"
    assert reason(A100, "guide", quantization="fp8") == wants
    assert reason(A10, "current", quantization="fp8") == ""
    assert "8.9 or newer for fp8_per_channel" in reason(A10, "current", quantization="fp8_per_channel")
    with pytest.raises(UsageError, match=r"vLLM 0\.4\.3 cannot quantize"):
        reason(H100, "guide", quantization="fp8_per_tensor")
