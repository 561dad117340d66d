"""Everything that is decided before a cent is spent. Pure, printable, holds no secret."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from llama_tui.core import limits, money
from llama_tui.core.advice import first_answer
from llama_tui.core.capacity import Allowed
from llama_tui.core.errors import UsageError, unknown
from llama_tui.core.instances import InstanceType
from llama_tui.core.models import Model
from llama_tui.core.sizing import EngineArgs, Fit

if TYPE_CHECKING:
    from llama_tui.core.interfaces import Engine

ALWAYS = 90
"""Steps from this number on are cheap and run at every start: they bring the server up and wait for it."""

OWNED = {
    "--port": "give the port as --port, without --serve-arg",
    "--host": "the server listens on the machine's loopback; llama-tui connect makes it a local port",
    "--api-key": "the server has a generated key: llama-tui env shows it",
    "--model": "give the model as --model, without --serve-arg",
    "--served-model-name": "it is called as vLLM calls it; leave it out",
}
"""Flags of the server that are not a person's to set → what to do instead."""

_ENVIRONMENT = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*=[^\n]*$")
_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")


@dataclass(frozen=True, slots=True)
class Step:
    """A title and a shell script that may be run again."""

    id: str
    """`NN-word`: steps run in this order."""
    title: str
    script: str
    """POSIX sh, run with -eu in the endpoint's folder: what a person would type."""
    secrets: tuple[str, ...] = ()
    """Secrets that it reads from a file, as `hf_token` from `$HF_TOKEN_PATH`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When an endpoint is to end. None: no limit of that kind."""

    usd: float | None = None
    hours: float | None = None
    idle_minutes: int | None = None


OnFailure = Literal["keep", "terminate"]


@dataclass(frozen=True, slots=True)
class Extras:
    """What a person adds to the server, handed through as it is. Written into plan and manifest: never a secret."""

    venv: str = ""
    """An environment that is already on the machine, `/…` or `~/…`; empty: one is made."""
    serve_args: tuple[str, ...] = ()
    """More of the server's command line, a word each; they stand last, and so win."""
    serve_env: tuple[str, ...] = ()
    """More of the server's environment, `NAME=VALUE` each."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person chose. Empty: the plan decides."""

    model: str
    cloud: str
    host: str = ""
    instance_type: str = ""
    region: str = ""
    engine: str = ""
    profile: str = ""
    name: str = ""
    port: int = 0
    engine_args: EngineArgs = field(default_factory=EngineArgs)
    extras: Extras = field(default_factory=Extras)
    revision: str = ""
    """Of the model's repository."""
    filesystem: str = ""
    image_family: str = ""
    """Of a machine that is rented."""
    allowed: Allowed = field(default_factory=Allowed)
    limits: Limits = field(default_factory=Limits)
    on_failure: OnFailure = "keep"


@dataclass(frozen=True, slots=True)
class Plan:
    """One deploy, decided."""

    name: str
    cloud: str
    host: str
    """`USER@HOST` on the `ssh` cloud, else empty."""
    model: Model
    instance_type: InstanceType
    region: str
    """Empty: any region with capacity (or the cloud has none)."""
    engine: str
    profile: str
    served_model_name: str
    fit: Fit
    port: int
    """Port of the server on the machine. 0: the first free one from 8000."""
    limits: Limits
    on_failure: OnFailure
    rents: bool
    """The machine is launched for this endpoint, and ends with it."""
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
    extras: Extras = field(default_factory=Extras)
    filesystem: str = ""
    """A filesystem of the cloud's that is attached at launch; it keeps weights, environment and compile cache."""
    image_family: str = ""
    """What is on the machine's disk when it comes up; empty where nothing is rented."""
    max_cents_per_hour: int = 0
    """A machine that costs more is ended again. 0: any price."""

    @property
    def directory(self) -> str:
        """The endpoint's folder on the machine, from its home."""
        return f".llama-tui/{self.name}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that its steps name."""
        return tuple(dict.fromkeys(secret for step in self.steps for secret in step.secrets))


@dataclass(frozen=True, slots=True)
class Serving:
    """What an engine needs to know to write the steps."""

    model: Model
    instance_type: InstanceType
    fit: Fit
    engine_args: EngineArgs
    profile: str
    port: int
    rents: bool
    extras: Extras = field(default_factory=Extras)
    filesystem: str = ""


def check_name(name: str) -> str:
    """The name of an endpoint, or a UsageError that says what a name looks like."""
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} cannot be the name of an endpoint",
            "use up to 32 small letters, digits and dashes, for example --name llama-8b",
        )
    return name


def default_name(model: Model) -> str:
    """A name made from the model's: `llama-3.1-8b` becomes `llama-3-1-8b`."""
    return re.sub(r"[^a-z0-9]+", "-", model.name.lower()).strip("-")[:32].strip("-")


def check_extras(extras: Extras) -> Extras:
    """Raises UsageError where one of them cannot be meant."""
    if extras.venv and not extras.venv.startswith(("/", "~/")):
        raise UsageError(f"{extras.venv} is not a path on the machine", "write --venv /… or --venv ~/…")
    for word in extras.serve_args:
        if (flag := word.partition("=")[0]) in OWNED:
            raise UsageError(f"{flag} is set by the plan", OWNED[flag])
    for given in extras.serve_env:
        if not _ENVIRONMENT.match(given):
            raise UsageError(f"{given!r} is no variable with a value", "write --serve-env NAME=VALUE")
    return extras


def _fit(choices: Choices, model: Model, kind: InstanceType, engine: Engine) -> Fit:
    """What the engine says; on a machine without GPU an environment of one's own may hold a build for CPUs."""
    fit = engine.fit(model, kind, choices.profile, choices.engine_args)
    if not fit.fits and not fit.weights_gib and choices.extras.venv and not kind.gpus:
        return Fit(True, max_model_len=choices.engine_args.max_model_len)
    return fit


def choose_instance_type(
    choices: Choices, model: Model, instance_types: list[InstanceType], engine: Engine
) -> tuple[InstanceType, Fit]:
    """The type that was asked for, or the cheapest that fits, with capacity before without.

    Raises:
        UsageError: no such type, or none of them holds the model.
    """
    if not instance_types:
        most = choices.allowed.max_cents_per_hour
        price = f" at up to {money.per_hour(most)}" if most else ""
        raise UsageError(
            f"no instance type of {choices.cloud} is allowed{price}",
            f"{'give a higher --max-price' if most else 'allow others with --type'}; see: llama-tui types",
        )
    by_name = {one.name: one for one in instance_types}
    if choices.instance_type:
        if choices.instance_type not in by_name:
            raise unknown("instance type", choices.instance_type, by_name)
        chosen = by_name[choices.instance_type]
        fit = _fit(choices, model, chosen, engine)
        if not fit.fits:
            raise UsageError(
                f"{model.name} does not fit on {chosen.name}: {fit.reason}",
                "see: llama-tui types --model " + model.name,
            )
        return chosen, fit
    fitting = [(one, fit) for one in instance_types if (fit := _fit(choices, model, one, engine)).fits]
    if choices.region:
        fitting = [pair for pair in fitting if choices.region in pair[0].regions] or fitting
    if not fitting:
        raise UsageError(
            f"{model.name} fits on none of the {len(instance_types)} instance types of {choices.cloud}",
            "choose a smaller model, or a shorter --max-model-len",
        )
    return min(fitting, key=lambda pair: (not pair[0].regions, pair[0].price_cents_per_hour, pair[0].name))


def make_plan(
    choices: Choices,
    model: Model,
    instance_types: list[InstanceType],
    engine: Engine,
    *,
    rents: bool,
    regions: Iterable[str] = (),
) -> Plan:
    """Decide what was left open, check what was not, and write the steps.

    `regions` are those that there are besides the ones where a type is to be had now.

    Raises:
        UsageError: a name that does not exist, or a model that does not fit.
    """
    if engine.profiles and not choices.profile:
        choices = replace(choices, profile=engine.profiles[0])
    if choices.profile and choices.profile not in engine.profiles:
        raise unknown(f"profile of {engine.name}", choices.profile, engine.profiles)
    limits.check(choices.limits, choices.cloud, rents=rents)
    if not 0 <= choices.port < 65536:
        raise UsageError(f"{choices.port} is not a port", "give a --port from 1 to 65535")
    instance_type, fit = choose_instance_type(choices, model, instance_types, engine)
    known_regions = {region for one in instance_types for region in one.regions} | set(regions)
    for region in (choices.region, *choices.allowed.regions):
        if region and region not in known_regions:
            raise unknown("region", region, known_regions)
    serving = Serving(
        model,
        instance_type,
        fit,
        choices.engine_args,
        choices.profile,
        choices.port,
        rents,
        check_extras(choices.extras),
        choices.filesystem,
    )
    return Plan(
        name=check_name(choices.name or default_name(model)),
        cloud=choices.cloud,
        host=choices.host,
        model=model,
        instance_type=instance_type,
        region=choices.region,
        engine=engine.name,
        profile=choices.profile,
        served_model_name=engine.served_model_name(model),
        fit=fit,
        port=choices.port,
        limits=choices.limits,
        on_failure=choices.on_failure,
        rents=rents,
        steps=engine.steps(serving),
        warnings=engine.warnings(serving),
        extras=choices.extras,
        filesystem=choices.filesystem,
        image_family=(choices.image_family or engine.image_family(choices.profile, instance_type)) if rents else "",
        max_cents_per_hour=choices.allowed.max_cents_per_hour,
    )


def summary(plan: Plan) -> list[tuple[str, str]]:
    """The plan as (label, value) pairs, for both faces."""
    kind = plan.instance_type
    where = {"ssh": plan.host, "local": "this computer"}.get(plan.cloud, f"{kind.name} ({kind.description})")
    rows = [
        ("name", plan.name),
        ("model", f"{plan.model.name} ({plan.model.folder or plan.model.repo_id})"),
        ("machine", where),
        ("engine", f"{plan.engine} {plan.profile}".strip()),
    ]
    if plan.rents:
        rows.insert(3, ("region", plan.region or f"any with capacity: {', '.join(kind.regions) or 'none now'}"))
        rows.append(("price", money.per_hour(kind.price_cents_per_hour)))
        if plan.cloud != "practice":
            rows.append(("image", plan.image_family))
            first = first_answer(plan.model, kind, plan.engine, plan.profile)
            rows.append(("first answer", f"after about {first.minutes:.0f} min and {money.dollars(first.usd)}"))
        rows.append(("if setup fails", f"{plan.on_failure} the machine"))
    if told := limits.in_words(plan.limits):
        rows += [("limits", told), ("", limits.beside(plan.limits))]
    elif plan.rents and plan.cloud != "practice":
        rows.append(("limits", limits.NONE))
    if plan.fit.weights_gib:
        rows.append(("weights", f"{plan.fit.weights_gib:.2f} GiB" + (" per GPU" if kind.gpus else "")))
    else:
        rows.append(("memory", "whether it fits is not known before the server has read the model"))
    if plan.fit.max_model_len:
        count = int(plan.fit.max_concurrency)
        users = f", {count:,} user{'' if count == 1 else 's'} at once" if count else ""
        rows.append(("context", f"{plan.fit.max_model_len:,} tokens{users}"))
    if plan.extras.venv:
        rows.append(("environment", plan.extras.venv))
    if plan.extras.serve_args:
        rows.append(("server flags", shlex.join(plan.extras.serve_args)))
    if plan.extras.serve_env:
        rows.append(("server env", shlex.join(plan.extras.serve_env)))
    if plan.filesystem:
        rows.append(("filesystem", plan.filesystem))
    rows.extend(("note", warning) for warning in plan.warnings)
    return rows


def as_script(plan: Plan) -> str:
    """The steps as one shell script that does the same without llama-tui."""
    lines = [
        "#!/bin/sh",
        f"# {plan.model.folder or plan.model.repo_id} with {plan.engine} {plan.profile}".rstrip()
        + ", as llama-tui would set it up.",
        *(f"# Note: {warning}" for warning in plan.warnings),
        "set -eu",
    ]
    for secret in plan.secrets:
        name, words = f"{secret.upper()}_PATH", secret.replace("_", " ")
        needed = f"?put the {words} in a 0600 file and its path here" if plan.model.gated else "-"
        lines += [
            f'export {name}="${{{name}:{needed}}}"',
            f'case "${name}" in "" | /*) ;; *) {name}="$PWD/${name}" ;; esac',
        ]
    lines.append(f"mkdir -p ~/{shlex.quote(plan.directory)} && cd ~/{shlex.quote(plan.directory)}")
    last = {secret: step.id for step in plan.steps for secret in step.secrets}
    for step in plan.steps:
        # Each step is a process of its own, as on the machine: nothing of one is left for the next.
        lines += ["", f"# {step.id}: {step.title}", f"(\n{step.script.strip()}\n)"]
        for secret in step.secrets:
            if last[secret] == step.id:
                lines += [f"# The file with the {secret.replace('_', ' ')} is not needed any more: remove it."]
                lines += [f"unset {secret.upper()}_PATH"]
    return "\n".join(lines) + "\n"
