"""What a person is told before choosing a machine."""

import pytest

from llama_tui.core.advice import first_answer, offers_of
from llama_tui.core.instances import InstanceType
from llama_tui.core.models import find_model
from llama_tui.core.sizing import EngineArgs
from llama_tui.engines import engine_for
from tests.core.test_plan import TYPES

EIGHT = InstanceType("gpu_8x_a100", "8x A100 (40 GB SXM4)", 8, 39.4, 124, 1800, 6144, 1592, regions=("us-west-2",))
ONE = InstanceType("gpu_1x_a100", "1x A100 (40 GB PCIe)", 1, 39.4, 30, 200, 512, 199, regions=("us-east-1",))
OWN = InstanceType("local", "1x A100 (40 GB PCIe)", 1, 39.4, 30, 200, 512, 0)
NOT_FREE = InstanceType("gpu_1x_a10", "1x A10 (24 GB PCIe)", 1, 22.0, 30, 200, 1400, 129)


def offers(model: str) -> dict[str, tuple[bool, bool]]:
    found = find_model(model)
    engine = engine_for("vllm", found)
    made = offers_of([ONE, EIGHT, NOT_FREE], found, engine, "", EngineArgs())
    return {one.kind.name: (one.guides_choice, one.suggested) for one in made}


def test_the_guides_choice_and_the_cheapest() -> None:
    """8B: one A100 or H100; 70B: eight. The cheapest that fits and is free is suggested."""
    assert offers("llama-3-8b") == {
        "gpu_1x_a100": (True, True), "gpu_8x_a100": (False, False), "gpu_1x_a10": (False, False),
    }  # fmt: skip
    assert offers("llama-3.1-70b-instruct") == {
        "gpu_1x_a100": (False, False), "gpu_8x_a100": (True, True), "gpu_1x_a10": (False, False),
    }  # fmt: skip
    assert not any(guides for guides, _ in offers("llama-3.2-1b").values())


def test_minutes_and_dollars_to_the_first_answer() -> None:
    """Boot, install, download, start; `current` downloads while it installs; one's own machine is there already."""
    model = find_model("llama-3-8b")
    guide, current = (first_answer(model, ONE, "vllm", profile) for profile in ("guide", "current"))
    assert 8 < current.minutes < guide.minutes < 20
    assert current.usd == pytest.approx(1.99 * 9 / 60)
    own = first_answer(model, OWN, "vllm", "current")
    assert own.usd == 0
    assert own.minutes == pytest.approx(current.minutes - 4)
    assert first_answer(find_model("llama-3-70b"), EIGHT, "vllm", "current").minutes > 35


def test_every_type_has_an_offer() -> None:
    """Also those on which the model does not fit."""
    model = find_model("smollm2-135m")
    assert len(offers_of(TYPES, model, engine_for("", model), "", EngineArgs())) == len(TYPES)
