"""Which server serves the model: pure, values in, shell text out."""

from __future__ import annotations

from llama_tui.core.errors import unknown
from llama_tui.core.interfaces import Engine
from llama_tui.core.models import Model
from llama_tui.engines.llama_cpp import LlamaCpp
from llama_tui.engines.vllm import Vllm

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (LlamaCpp(), Vllm())}
"""Name → engine. Add an engine here: one line."""


def engine_for(name: str, model: Model) -> Engine:
    """The engine of that name; without a name llama.cpp for a GGUF model, else vLLM. Raises UsageError."""
    if not name:
        return ENGINES["llama.cpp" if model.gguf else "vllm"]
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    return ENGINES[name]
