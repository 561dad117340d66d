"""The options that several commands share, and what they mean as `Choices`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from llama_tui.core.capacity import Allowed
from llama_tui.core.errors import UsageError
from llama_tui.core.plan import Choices, Extras, Limits, OnFailure
from llama_tui.core.sizing import BYTES, QUANTIZED, EngineArgs

if TYPE_CHECKING:
    from llama_tui.services import Services

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _all(*decorators: Decorator) -> Decorator:
    def apply(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


MODEL = click.option(
    "--model",
    "-m",
    default="",
    help="A name of the catalogue, ORG/REPO/FILE.gguf, or a folder on the machine: /… or ~/….",
)
CLOUD = click.option("--cloud", "-c", default="", help="practice, lambda, ssh or local. [default: practice]")
HOST = click.option(
    "--host", default="", metavar="USER@HOST", help="The machine of the ssh cloud, as you would give it to ssh."
)
JSON = click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout, for programs.")
ACCEPT = click.option(
    "--accept-host-key",
    "accept",
    default="",
    metavar="SHA256:…",
    help="Trust the new machine that shows this host key.",
)
ENGINE = click.option(
    "--engine", default="", help="vllm or llama.cpp. [default: llama.cpp for a GGUF file, else vllm]"
)
PROFILE = click.option(
    "--profile", default="", help="Of vllm: current, or guide (Lambda's Llama 3 guide to the letter)."
)

ENGINE_ARGS = _all(
    click.option(
        "--max-model-len", type=click.IntRange(0), default=0, help="Tokens of context. [default: what fits]"
    ),
    click.option(
        "--tensor-parallel-size", type=click.IntRange(0), default=0, help="GPUs to split over. [default: all]"
    ),
    click.option(
        "--gpu-memory-utilization",
        type=click.FloatRange(0, 1),
        default=0.0,
        help="Of each GPU's memory. [default: vLLM's own]",
    ),
    click.option("--dtype", type=click.Choice(sorted(BYTES)), help="Of weights and cache. [default: 16 bits]"),
    click.option(
        "--quantization",
        metavar="NAME",
        default="",
        help=f"Of weights that are not quantized yet: {', '.join(QUANTIZED)}. [default: as the repository has them]",
    ),
    click.option("--kv-cache-dtype", type=click.Choice(["fp8"]), help="fp8 holds twice the tokens."),
)
"""What decides about memory; with vllm handed to the server as it is."""

EXTRAS = _all(
    click.option(
        "--venv",
        default="",
        metavar="PATH",
        help="An environment on the machine that has the engine. [default: make one]",
    ),
    click.option(
        "--serve-arg", multiple=True, metavar="ARG", help="One more word for the server: --serve-arg=--enforce-eager."
    ),
    click.option(
        "--serve-env", multiple=True, metavar="NAME=VALUE", help="One more variable for the server; no secrets."
    ),
)
"""What is handed to the server as it is."""

CHOICES = _all(
    MODEL,
    click.option("--revision", default="", help="Branch, tag or commit of the model's repository. [default: main]"),
    CLOUD,
    HOST,
    click.option(
        "--type",
        "instance_types",
        multiple=True,
        help="Again: or that one. [default: the cheapest that fits]",
    ),
    click.option("--region", "regions", multiple=True, help="Again: or that one. [default: any with capacity]"),
    click.option(
        "--max-price", type=click.FloatRange(0, min_open=True), metavar="USD", help="Any type up to that an hour."
    ),
    click.option("--filesystem", default="", help="Of the account; attached, it keeps weights for the next time."),
    ENGINE,
    PROFILE,
    click.option("--name", "-n", default="", help="What you will call the endpoint. [default: the model's name]"),
    click.option(
        "--port", type=int, default=0, help="Of the server on its machine. [default: the first free one from 8000]"
    ),
    ENGINE_ARGS,
    EXTRAS,
    click.option("--cap", type=click.FloatRange(0, min_open=True), metavar="USD", help="Limit in dollars."),
    click.option("--idle", type=click.IntRange(1), metavar="MIN", help="Limit of minutes without a request."),
    click.option(
        "--max", "max_hours", type=click.FloatRange(0, min_open=True), metavar="HOURS", help="Limit of hours."
    ),
    click.option(
        "--on-failure",
        type=click.Choice(["keep", "terminate"]),
        help="What becomes of a rented machine when setup fails. [default: keep in a terminal, else terminate]",
    ),
    ACCEPT,
)


def engine_args_of(given: dict[str, Any]) -> EngineArgs:
    """The options of `ENGINE_ARGS`, of one command."""
    return EngineArgs(
        max_model_len=given["max_model_len"],
        tensor_parallel_size=given["tensor_parallel_size"],
        gpu_memory_utilization=given["gpu_memory_utilization"],
        dtype=given["dtype"] or "",
        quantization=given["quantization"],
        kv_cache_dtype=given["kv_cache_dtype"] or "",
    )


_DURATION = re.compile(r"^(\d+(?:\.\d+)?)([smh])$")


def seconds_of(duration: str) -> float:
    """`3h`, `30m` or `90s` in seconds; empty is 0. Raises UsageError."""
    if not duration:
        return 0.0
    found = _DURATION.match(duration)
    if not found:
        raise UsageError(f"{duration!r} is not a duration", "write for example --wait 3h, 30m or 90s")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def choices_of(services: Services, given: dict[str, Any]) -> Choices:
    """The options of one command as Choices; what is not given comes from the settings."""
    on_failure: OnFailure = given["on_failure"] or ("keep" if sys.stdin.isatty() else "terminate")
    cloud = given["cloud"] or ("ssh" if given["host"] else services.settings.cloud)
    types, regions = given["instance_types"], given["regions"]
    return Choices(
        model=given["model"] or services.model_of(given["name"]) or services.settings.model,
        cloud=cloud,
        revision=given["revision"],
        host=given["host"],
        instance_type=types[0] if len(types) == 1 else "",
        region=regions[0] if len(regions) == 1 else "",
        filesystem=given["filesystem"],
        allowed=Allowed(
            types if len(types) > 1 else (),
            regions if len(regions) > 1 else (),
            round((given["max_price"] or 0) * 100),
        ),
        engine=given["engine"],
        profile=given["profile"],
        name=given["name"],
        port=given["port"],
        engine_args=engine_args_of(given),
        extras=Extras(given["venv"].rstrip("/"), tuple(given["serve_arg"]), tuple(given["serve_env"])),
        limits=Limits(given["cap"], given["max_hours"], given["idle"]),
        on_failure=on_failure,
    )
