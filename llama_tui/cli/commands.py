"""What each command does, over the same jobs as the app."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from llama_tui.cli import listing, output
from llama_tui.cli.limits import set_anew, within_limits
from llama_tui.core import money
from llama_tui.core.advice import Offer
from llama_tui.core.capacity import Allowed
from llama_tui.core.errors import HostKeyUnknown, HostUnreachable, LlamaTuiError, StillThere, UsageError
from llama_tui.core.events import Event, Output, Said, TextDelta
from llama_tui.core.plan import Choices, Plan, as_script, summary
from llama_tui.endpoints import Endpoint, Source
from llama_tui.redact import Secret, clean
from llama_tui.services import Services

T = TypeVar("T")

PRACTICE = "PRACTICE, NOTHING IS RENTED"


async def _vouched(services: Services, accept: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do it; where a machine shows an unknown host key, ask a person (or the option) and do it again."""
    while True:
        try:
            return await work()
        except HostKeyUnknown as error:
            if accept != error.fingerprint:
                if accept or not sys.stdin.isatty():
                    raise
                output.tell(f"{error.host} is not known yet. Its host key is\n  {error.fingerprint}")
                if not click.confirm("Is that right, and may it be trusted from now on?", err=True):
                    raise
            services.host_keys().pin(error.known_hosts_line)


def _says_practice(cloud: str) -> None:
    if cloud == "practice":
        output.tell(PRACTICE)


# ---- before


async def types(services: Services, choices: Choices, accept: str, as_json: bool) -> None:
    """Instance types as a table."""
    offers = await _vouched(services, accept, lambda: services.types(choices))
    if as_json:
        for one in offers:
            facts = output.as_json(one)
            output.result_json({**facts.pop("kind"), **facts})
        return
    _says_practice(choices.cloud)
    if choices.model:
        head = ["type", "$/h", "GPUs", "GiB each", "context", "users", "minutes", "$ to answer", "regions", ""]
        output.table([head, *map(_offer_row, offers)], right=frozenset(range(1, 9)))
        output.tell("minutes and dollars to the first answer are estimates; a boot may take three times as long")
    else:
        head = ["type", "$/h", "GPUs", "GiB each", "vCPU", "RAM", "disk", "regions with capacity"]
        output.table([head, *map(_type_row, offers)], right=frozenset(range(1, 7)))


def _type_row(offer: Offer) -> list[str]:
    kind = offer.kind
    return [
        kind.name,
        money.dollars(kind.price_cents_per_hour / 100) if kind.price_cents_per_hour else "-",
        str(kind.gpus or "-"),
        f"{kind.gpu_memory_gib:.0f}" if kind.gpus else "-",
        str(kind.vcpus),
        str(kind.memory_gib),
        str(kind.storage_gib),
        ", ".join(kind.regions) or "-",
    ]


def _offer_row(offer: Offer) -> list[str]:
    fit, first = offer.fit, offer.first_answer
    row = _type_row(offer)[:4]
    if not fit or not fit.fits or not first:
        return [*row, "no", "-", "-", "-", str(len(offer.kind.regions)), fit.reason if fit else ""]
    notes = ["the cheapest that fits"] * offer.suggested + ["the guide's choice"] * offer.guides_choice
    return [
        *row,
        f"{fit.max_model_len:,}" if fit.max_model_len else "?",
        f"{int(fit.max_concurrency):,}" if fit.max_concurrency else "?",
        f"{first.minutes:.0f}",
        money.dollars(first.usd),
        str(len(offer.kind.regions) or ("none free" if offer.kind.price_cents_per_hour else "-")),
        ", ".join(notes),
    ]


async def plan(services: Services, choices: Choices, accept: str, script: bool, as_json: bool) -> None:
    """The plan as a table, a script, or JSON."""
    decided = await _vouched(services, accept, lambda: services.plan(choices))
    if as_json:
        output.result_json(output.as_json(decided))
    elif script:
        output.result(as_script(decided), end="")
    else:
        _says_practice(decided.cloud)
        _show_plan(decided, output.result)


def _show_plan(decided: Plan, write: Callable[[str], None]) -> None:
    for label, value in summary(decided):
        write(f"{label:<15} {value}")
    write("steps           " + " · ".join(step.title for step in decided.steps))


# ---- deploy


async def up(
    services: Services,
    choices: Choices,
    accept: str,
    yes: bool,
    verbose: bool,
    as_json: bool,
    *,
    wait_seconds: float = 0.0,
    create_filesystem: bool = False,
    check_first: bool = True,
) -> None:
    """Deploy, or go on with a deploy, or say that it is up."""
    if (running := _ready_endpoint(services, choices)) and await _answers(services, running):
        output.tell(f"{running.name} is up")
        _show_endpoint(set_anew(services, running, choices.limits), as_json)
        return
    if create_filesystem:
        await _make_filesystem(services, choices, yes)
    decided = await _vouched(services, accept, lambda: services.plan(choices))
    _says_practice(decided.cloud)
    _show_plan(decided, output.tell)
    if not services.launched(decided.name):
        if check_first and decided.rents:
            await listing.check_first(services, choices, decided)
        _ask_before_renting(decided, choices.allowed, yes)
    narrator = output.Narrator(decided, verbose=verbose)

    async def deploy() -> Endpoint:
        return await services.deploy_where_possible(choices, decided, narrator, wait_seconds=wait_seconds)

    try:
        endpoint = await within_limits(services, decided.name, _vouched(services, accept, deploy))
    except asyncio.CancelledError:
        output.tell(
            f"stopped watching; the setup goes on there. Again: llama-tui up …, end it: llama-tui down {decided.name}"
        )
        raise
    except LlamaTuiError:
        narrator.last_lines()
        raise
    finally:
        if wait_seconds and sys.stderr.isatty():
            sys.stderr.write("\a")
    seconds = (endpoint.ready - endpoint.created).total_seconds() if endpoint.ready else 0
    output.tell(f'{endpoint.name} is ready after {seconds:.0f} s. Ask it: llama-tui prompt {endpoint.name} "…"')
    _show_endpoint(endpoint, as_json)


def _ready_endpoint(services: Services, choices: Choices) -> Endpoint | None:
    """The endpoint of that name, when it was up, and what was typed is what it is."""
    found = next((one for one in services.endpoints.live() if one.name == choices.name), None)
    if found is None or found.state != "ready" or found.plan is None:
        return None
    kind = found.plan.instance_type.name
    is_it = (found.cloud, found.host, services.model_of(found.name), kind)
    return found if is_it == (choices.cloud, choices.host, choices.model, choices.instance_type or kind) else None


async def _answers(services: Services, endpoint: Endpoint) -> bool:
    """Does its server answer? A machine that does not is looked into by the deploy, which knows what to say of it."""
    try:
        return await services.answers(endpoint)
    except HostUnreachable:
        return False


async def _make_filesystem(services: Services, choices: Choices, yes: bool) -> None:
    """Make the filesystem that is to be attached, after a yes: it is billed from now on."""
    if not choices.filesystem or not choices.region:
        raise UsageError("a new filesystem needs a name and a region", "give --filesystem NAME and one --region")
    cost = "Lambda bills $0.20 per GiB and month for it, attached or not, until you delete it"
    if choices.cloud != "practice" and not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"this makes a filesystem: {cost}", "say --yes to agree")
        if not click.confirm(f"Make the filesystem {choices.filesystem} in {choices.region}? {cost}.", err=True):
            raise UsageError("no filesystem was made", "leave --create-filesystem out")
    account: Any = services.cloud(choices.cloud)
    await account.create_filesystem(choices.filesystem, choices.region)
    output.tell(f"made the filesystem {choices.filesystem} in {choices.region}")


def _ask_before_renting(decided: Plan, allowed: Allowed, yes: bool) -> None:
    """Real money is spent only after a yes."""
    if not decided.rents or decided.cloud == "practice" or yes:
        return
    price = money.per_hour(decided.instance_type.price_cents_per_hour)
    if allowed.max_cents_per_hour:
        price = f"up to {money.per_hour(allowed.max_cents_per_hour)}"
    if not sys.stdin.isatty():
        raise UsageError(f"this rents a machine for {price}", "say --yes to agree")
    output.tell("The account gets the public half of this computer's SSH key, if it has not got it.")
    if not click.confirm(f"Rent it for {price}?", err=True):
        raise UsageError("nothing was rented", "change the plan with the options of `llama-tui up --help`")


def _base_url(endpoint: Endpoint) -> str:
    """What OpenAI clients are given: on this computer the server's own port, else the one that `connect` opens."""
    port = endpoint.port if endpoint.cloud == "local" else endpoint.local_port
    return f"{endpoint.base_url or f'http://127.0.0.1:{port}'}/v1"


def _facts(endpoint: Endpoint) -> dict[str, Any]:
    """What a program wants to know of an endpoint: the documented JSON of `up` and `attach`."""
    facts = output.as_json(endpoint)
    wanted = ("id", "name", "cloud", "state", "model", "local_port", "instance", "created", "launched", "ready")
    return {
        **{key: facts[key] for key in wanted},
        "base_url": _base_url(endpoint),
        "price_cents_per_hour": endpoint.price_cents_per_hour,
    }


def _show_endpoint(endpoint: Endpoint, as_json: bool) -> None:
    if as_json:
        output.result_json(_facts(endpoint))
    else:
        output.result(endpoint.name)


# ---- use


async def logs(services: Services, name: str, source: str, follow: bool) -> None:
    """The log on stdout; here it is the result."""

    def show(event: Event) -> None:
        match event:
            case Output(_, lines):
                output.result("\n".join(lines))
            case Said(text):
                output.tell(text)

    endpoint = services.endpoints.find(name, ended=True)
    wanted: Source = "setup" if source == "setup" else "server"
    await services.follow_log(endpoint, wanted, show, forever=follow)


async def prompt(
    services: Services,
    name: str,
    text: str | None,
    chat: bool,
    system: str,
    max_tokens: int,
    temperature: float,
    raw: bool,
) -> None:
    """One answer on stdout, its figures on stderr."""
    from llama_tui.jobs.prompt import PromptRequest, ask_raw
    from llama_tui.jobs.prompt import prompt as ask

    endpoint = services.endpoints.find(name)
    if text is None:
        if sys.stdin.isatty():
            raise UsageError("there is no text to send", f'give it: llama-tui prompt {name} "…", or pipe it in')
        text = sys.stdin.read()
    if not text:
        raise UsageError("the text to send is empty", f'give it: llama-tui prompt {name} "…"')
    request = PromptRequest(text, chat, system, (), max_tokens, temperature)
    async with services.reach(endpoint) as server:
        if raw:
            output.result_json(await ask_raw(server, request), pretty=sys.stdout.isatty())
            return
        done = await ask(server, request, lambda event: _stream(event))
    output.result("")
    output.tell(", ".join([*done.figures, f"ended by {done.finish_reason or 'the server'}"]))


def _stream(event: Event) -> None:
    if isinstance(event, TextDelta):
        output.result(event.text, end="")


async def env(services: Services, name: str, as_json: bool) -> None:
    """Exports for OpenAI clients. The key is the result here, so it is printed as it is."""
    endpoint = services.endpoints.find(name)
    async with services.reach(endpoint) as server:
        exports = {
            "OPENAI_BASE_URL": _base_url(endpoint),
            "OPENAI_API_KEY": server.key.reveal() or "none",
            "OPENAI_MODEL": server.model,
        }
    if as_json:
        output.secret_result(json.dumps(exports))
        return
    for variable, value in exports.items():
        output.secret_result(
            f"export {variable}={shlex.quote(clean(value) if variable == 'OPENAI_MODEL' else value)}"
        )
    if endpoint.cloud in ("lambda", "practice", "ssh"):
        output.tell(f"these work while this runs: llama-tui connect {name}")


async def connect(services: Services, name: str) -> None:
    """Hold the forward until Ctrl-C, or until a limit ends the machine."""
    await within_limits(services, name, _hold(services, services.endpoints.find(name)))


async def _hold(services: Services, endpoint: Endpoint) -> None:
    """Hold the forward, and mend it when the line is cut."""
    name, pause = endpoint.name, 1.0
    while True:
        try:
            async with services.reach(endpoint, local_port=endpoint.local_port) as server:
                pause = 1.0
                output.result(f"{server.address.base_url}/v1")
                output.tell(f"{name} is open there until Ctrl-C; its key: llama-tui env {name}")
                await _until_lost(server.address.base_url)
                output.tell("the line is cut")
        except HostUnreachable as error:
            output.tell(f"{error.sentence}; trying again in {pause:.0f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 30.0)


LOOK_SECONDS = 5.0
"""Between two looks whether a forward still works."""


async def _until_lost(base_url: str) -> None:
    """Return once nothing answers behind the forward."""
    import httpx2

    async with httpx2.AsyncClient(base_url=base_url, trust_env=False, timeout=10) as client:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await client.get("/health")
            except httpx2.TransportError:
                return


async def attach(services: Services, target: str, name: str, key_stdin: bool, accept: str, as_json: bool) -> None:
    """Adopt an endpoint."""
    key = Secret(sys.stdin.read().strip()) if key_stdin else None
    endpoint = await _vouched(services, accept, lambda: services.attach(target, name, key))
    output.tell(f"{endpoint.name}: {endpoint.model}, {endpoint.state}")
    _show_endpoint(endpoint, as_json)


# ---- end


async def down(services: Services, names: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """End endpoints one after the other; one that cannot be shown to be gone does not keep the others."""
    if not names and not everything:
        raise UsageError("nothing to end was named", "give a NAME, or --all")
    ending = services.endpoints.live() if everything else [services.endpoints.find(name) for name in names]
    exit_code = 0
    for endpoint in ending:
        try:
            receipt = await services.terminate(endpoint, output.Narrator(endpoint.plan))
        except LlamaTuiError as error:
            output.tell_error(error)
            exit_code = max(exit_code, error.exit_code if isinstance(error, StillThere) else 1)
            continue
        if as_json:
            output.result_json(output.as_json(receipt))
        else:
            output.show_receipt(receipt)
    if not ending:
        output.tell("there is no endpoint")
    return exit_code


async def demo(services: Services) -> int:
    """The whole way on the practice cloud: plan, up, one prompt, down, receipt."""
    choices = Choices(model="smollm2-135m", cloud="practice", name="demo", on_failure="terminate")
    await up(services, choices, "", True, False, False)
    question = "The capital of France is"
    output.tell(f'\n$ llama-tui prompt demo "{question}" --max-tokens 24 --temperature 0')
    output.result(question, end="")
    await prompt(services, "demo", question, False, "", 24, 0.0, False)
    output.tell("\n$ llama-tui down demo")
    return await down(services, ("demo",), False, False)
