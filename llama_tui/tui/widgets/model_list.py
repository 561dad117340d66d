"""The models that can be served, a row each."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from llama_tui.core.errors import LlamaTuiError
from llama_tui.core.models import MODELS, Model, find_model
from llama_tui.core.sizing import GIB
from llama_tui.tui.widgets.instance_table import context
from llama_tui.tui.widgets.status_header import one_line

WIDE = 110
"""From this width of the terminal on the sizes stand beside the names, as `-wide` in app.py."""


class ModelList(OptionList):
    """The catalogue, or what of it holds a text; else what it names. Ids are what a person would type."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, compact=True, markup=False)

    def show(self, wanted: str, chosen: str) -> None:
        """Show the models that hold `wanted`, the cursor on `chosen`."""
        text = wanted.lower()
        found = [model for model in MODELS.values() if text in f"{model.name} {model.repo_id}".lower()]
        if not found:
            try:
                found = [find_model(wanted)]
            except LlamaTuiError:
                found = []
        wide = self.app.size.width >= WIDE
        self.set_options([Option(_row(model, wide=wide), id=_typed(model)) for model in found])
        names = [_typed(model) for model in found]
        if names:
            self.highlighted = names.index(chosen) if chosen in names else 0


def about(model: Model) -> str:
    """What one should know of a model before choosing it: size, context, what it is for, whether it is gated."""
    facts = [f"{model.weights_bytes / GIB:.1f} GiB" if model.weights_bytes else "size not known"]
    facts += [f"{context(model.max_model_len)} context"] if model.max_model_len else []
    facts += ["chat" if model.chat else "completes text"]
    return " · ".join(facts) + ("\ngated: needs a token of Hugging Face that has its licence" if model.gated else "")


def _typed(model: Model) -> str:
    """How a person would type this model."""
    return model.name if model.name in MODELS or model.gguf is None else f"{model.repo_id}/{model.gguf.file}"


def _row(model: Model, *, wide: bool) -> Content:
    if not wide:
        return Content(one_line(model.name))
    size = f"{model.weights_bytes / GIB:.1f}" if model.weights_bytes else "?"
    return Content.assemble(f"{one_line(model.name):<24}", (f"{size:>6}G", "$foreground-muted"))
