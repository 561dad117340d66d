"""What a person wants to know before choosing a machine: how long, for how much, and what the guide would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llama_tui.core.instances import InstanceType
from llama_tui.core.models import Model
from llama_tui.core.sizing import EngineArgs, Fit

if TYPE_CHECKING:
    from llama_tui.core.interfaces import Engine

DOWNLOAD_BYTES_PER_SECOND = 125_000_000
"""1 Gbit/s (vllm.md §6.4)."""
DISK_BYTES_PER_SECOND = 1_000_000_000
"""Weights from disk to GPU."""
BOOT_MINUTES = {0: 3.0, 1: 4.0, 2: 8.0, 4: 8.0, 8: 18.0}
"""GPUs → from the launch until ssh answers (lambda-cloud-api.md §4.2); it may be three times as long."""
INSTALL_MINUTES = {"vllm guide": 4.0, "vllm current": 1.5, "llama.cpp": 0.3}
"""Virtual environment and wheels on a rented machine."""
START_MINUTES = {"vllm": 2.4, "llama.cpp": 0.1}
"""From the server's start until it answers, without reading the weights (the recordings: 143 s with compiling)."""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """An estimate: from the launch to the first answer, and what the machine costs until then."""

    minutes: float
    usd: float


def first_answer(model: Model, kind: InstanceType, engine: str, profile: str = "") -> FirstAnswer:
    """How long it takes until the model answers, and what that costs; a machine of one's own is there already.

    `current` downloads the weights while it installs; `guide` does one after the other.
    """
    boot = BOOT_MINUTES.get(kind.gpus, 10.0) if kind.price_cents_per_hour else 0.0
    install = INSTALL_MINUTES[f"{engine} {profile}".strip()]
    download = model.weights_bytes / DOWNLOAD_BYTES_PER_SECOND / 60
    fetch = max(install, download) if profile == "current" else install + download
    minutes = boot + fetch + START_MINUTES[engine] + model.weights_bytes / DISK_BYTES_PER_SECOND / 60
    return FirstAnswer(minutes, kind.price_cents_per_hour * math.ceil(minutes) / 6000)


def is_guides_choice(model: Model, kind: InstanceType) -> bool:
    """What Lambda's guide takes: for 8B one A100 or H100, for 70B eight (guide.md)."""
    gpus = {"8b": 1, "70b": 8}
    size = next((gpus[word] for word in model.name.split("-") if word in gpus), 0)
    return kind.gpus == size and ("A100" in kind.description or "H100" in kind.description) and size > 0


def too_new_for_the_guide(model: Model) -> bool:
    """The guide's vLLM 0.4.3 is known not to load it (vllm.md §6)."""
    return model.since_vllm not in ("", "0.4.3")


@dataclass(frozen=True, slots=True)
class Offer:
    """An instance type, and what it would be for a model; the rest is empty where no model was chosen."""

    kind: InstanceType
    fit: Fit | None = None
    first_answer: FirstAnswer | None = None
    guides_choice: bool = False
    suggested: bool = False
    """The cheapest that the model fits on and that can be had now."""


def offers_of(
    kinds: Sequence[InstanceType], model: Model, engine: Engine, profile: str, args: EngineArgs
) -> list[Offer]:
    """Every type with what it would be for the model."""
    profile = profile or (engine.profiles[0] if engine.profiles else "")
    offers = [
        Offer(
            kind,
            engine.fit(model, kind, profile, args),
            first_answer(model, kind, engine.name, profile),
            is_guides_choice(model, kind),
        )
        for kind in kinds
    ]
    fitting = [
        one for one in offers if one.fit and one.fit.fits and (one.kind.regions or not one.kind.price_cents_per_hour)
    ]
    best = min(fitting, key=lambda one: (one.kind.price_cents_per_hour, one.kind.name), default=None)
    return [replace(one, suggested=one is best) for one in offers]
