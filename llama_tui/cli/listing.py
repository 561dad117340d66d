"""The commands that look and change nothing: ls, receipts, doctor."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from llama_tui import credentials
from llama_tui.cli import output
from llama_tui.core import money
from llama_tui.core.errors import LlamaTuiError, PreflightFailed
from llama_tui.core.instances import GONE, Instance
from llama_tui.core.limits import first_over, in_words
from llama_tui.core.plan import Choices, Plan
from llama_tui.endpoints import Endpoint
from llama_tui.jobs.limits import recorded
from llama_tui.jobs.rent import Patience
from llama_tui.services import Services

ACCOUNT_SECONDS = 20.0
"""How long a cloud may take to list an account."""


async def ls(services: Services, as_json: bool) -> int:
    """Endpoints, and machines of the accounts that no endpoint here knows."""
    machines: dict[str, list[Instance]] = {}
    exit_code = 0
    for cloud in services.accounts_to_ask():
        try:
            async with asyncio.timeout(ACCOUNT_SECONDS):
                machines[cloud] = [one for one in await services.account(cloud) if one.status not in GONE]
        except (LlamaTuiError, TimeoutError) as error:
            sentence = error.sentence if isinstance(error, LlamaTuiError) else "no answer"
            output.tell(f"what runs in the {cloud} account is not known: {sentence}")
            exit_code = 1
    endpoints = services.endpoints.live()
    known = {one.instance.id for one in endpoints if one.instance}
    strangers = [(cloud, one) for cloud, listed in machines.items() for one in listed if one.id not in known]
    now = datetime.now(UTC)
    over = {one.id: _over(services, one, now) for one in endpoints}
    if as_json:
        for endpoint in endpoints:
            output.result_json(_endpoint_facts(endpoint, now, over[endpoint.id]))
        for cloud, instance in strangers:
            output.result_json(_instance_facts(cloud, instance))
        return exit_code
    if any(one.cloud == "practice" for one in endpoints):
        output.tell("practice: nothing is rented there")
    rows = [["name", "state", "model", "cloud", "machine", "$/h", "spent", "limits"]]
    rows += [_endpoint_row(one, now, over[one.id]) for one in endpoints]
    rows += [_instance_row(cloud, one) for cloud, one in strangers]
    if len(rows) == 1:
        output.tell("no endpoints" + ("" if exit_code else ", and nothing else runs in the accounts"))
        output.tell("make one: llama-tui up --cloud practice --model smollm2-135m --name demo")
        return exit_code
    output.table(rows, right=frozenset({5, 6}))
    for endpoint in endpoints:
        if endpoint.failure:
            output.tell(f"{endpoint.name}: {endpoint.failure}")
        if over[endpoint.id]:
            output.tell(f"{endpoint.name} is over its limits and still runs; end what is: llama-tui reap")
        if endpoint.cloud in machines and _is_gone(endpoint, machines[endpoint.cloud], now):
            told = f"{endpoint.name}: the account lists its machine no more"
            output.tell(f"{told}; close it: llama-tui down {endpoint.name}")
    if strangers:
        output.tell("machines marked * were not started by this computer; nothing here ends them")
    return exit_code


def _over(services: Services, one: Endpoint, now: datetime) -> str:
    """The kind of the limit that is over, by the record: no machine is asked here whether it is idle."""
    found = first_over(recorded(one, services.endpoints, now))
    return found.kind if found else ""


def _is_gone(one: Endpoint, listed: list[Instance], now: datetime) -> bool:
    """Its machine has ended without us. One that was launched a moment ago may not be listed yet."""
    if one.instance is None or one.launched is None or (now - one.launched).total_seconds() < Patience().settle:
        return False
    return one.instance.id not in {other.id for other in listed}


def _limits(one: Endpoint, over: str) -> str:
    told = in_words(one.plan.limits) if one.plan else ""
    return f"{told} (over)" if over else told or "-"


def _machine(endpoint: Endpoint) -> str:
    if endpoint.cloud in ("ssh", "url"):
        return endpoint.host
    if endpoint.cloud == "local" or endpoint.plan is None:
        return "this computer"
    region = endpoint.instance.region if endpoint.instance else ""
    return f"{endpoint.plan.instance_type.name} {region}".strip()


def _endpoint_row(one: Endpoint, now: datetime, over: str) -> list[str]:
    price = money.per_hour(one.price_cents_per_hour) if one.price_cents_per_hour else "-"
    spent = money.dollars(one.spent_usd(now)) if one.price_cents_per_hour else "-"
    return [one.name, one.state, one.model, one.cloud, _machine(one), price, spent, _limits(one, over)]


def _instance_row(cloud: str, one: Instance) -> list[str]:
    return [
        f"* {one.name or one.id}",
        one.status,
        "-",
        cloud,
        f"{one.instance_type} {one.region}",
        money.per_hour(one.price_cents_per_hour),
        "?",
        "-",
    ]


def _endpoint_facts(one: Endpoint, now: datetime, over: str) -> dict[str, object]:
    return {
        "kind": "endpoint",
        "name": one.name,
        "state": one.state,
        "cloud": one.cloud,
        "model": one.model,
        "machine": _machine(one),
        "region": one.instance.region if one.instance else "",
        "price_cents_per_hour": one.price_cents_per_hour,
        "spent_usd": round(one.spent_usd(now), 4),
        "limits": output.as_json(one.plan.limits) if one.plan else None,
        "over": over,
        "created": one.created.isoformat(),
        "failure": one.failure,
    }


def _instance_facts(cloud: str, one: Instance) -> dict[str, object]:
    return {
        "kind": "instance",
        "name": one.name,
        "id": one.id,
        "state": one.status,
        "cloud": cloud,
        "machine": one.instance_type,
        "region": one.region,
        "price_cents_per_hour": one.price_cents_per_hour,
    }


async def receipts(services: Services, as_json: bool) -> None:
    """Every receipt, and the sum of what was really spent."""
    kept = services.endpoints.receipts()
    if as_json:
        for one in kept:
            output.result_json(output.as_json(one))
        return
    if not kept:
        output.tell("no receipts yet")
        return
    rows = [["ended", "name", "cloud", "machine", "minutes", "about", "why"]]
    for one in kept:
        ended = one.ended.astimezone().strftime("%Y-%m-%d %H:%M")
        rows.append(
            [ended, one.name, one.cloud, one.instance_type, str(one.minutes), money.dollars(one.usd), one.why]
        )
    output.table(rows, right=frozenset({4, 5}))
    spent = sum(one.usd for one in kept if one.cloud != "practice")
    output.tell(f"spent in all: about {money.dollars(spent)} (practice is not counted)")


STATE_SIGNS = {"ok": "✓", "failed": "✕", "unknown": "?", "note": "!"}


async def check(services: Services, choices: Choices, as_json: bool) -> int:
    """Look whether a deploy can succeed."""
    checks = await services.preflight(choices)
    for one in checks:
        if as_json:
            output.result_json(output.as_json(one))
            continue
        output.result(f"{STATE_SIGNS[one.state]} {one.what}: {one.detail}")
        if one.fix and one.state != "ok":
            output.result(f"    {one.fix}")
    return 3 if any(one.state == "failed" for one in checks) else 0


async def check_first(services: Services, choices: Choices, plan: Plan) -> None:
    """What would fail on a machine that costs money is found before it does; capacity is the launch's to tell.

    Raises:
        PreflightFailed: something is missing. All of it is told.
    """
    looked = await services.preflight(choices, plan)
    checks = [one for one in looked if one.state == "failed" and one.what != "capacity"]
    for one in checks[1:]:
        output.tell(f"✕ {one.what}: {one.detail}\n  {one.fix}")
    if checks:
        raise PreflightFailed(f"{checks[0].what}: {checks[0].detail}", f"{checks[0].fix}; or launch with --no-check")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `doctor` looked at."""

    what: str
    ok: bool
    needed: bool
    detail: str
    fix: str = ""


async def doctor(services: Services, as_json: bool) -> int:
    """Look at what this computer needs."""
    findings = await asyncio.to_thread(_findings, services)
    for one in findings:
        if as_json:
            output.result_json(output.as_json(one))
            continue
        sign = "✓" if one.ok else "✕" if one.needed else "○"
        output.result(f"{sign} {one.what}: {one.detail}")
        if one.fix and not one.ok:
            output.result(f"    {one.fix}")
    return 3 if any(one.needed and not one.ok for one in findings) else 0


def _findings(services: Services) -> list[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return [
        Finding("Python", sys.version_info >= (3, 11), True, version, "install Python 3.11 or newer"),
        _state_folder(services.state),
        _settings(services),
        _venv(),
        _keyring(),
        _credential("lambda", "Lambda API key", "to rent: make one at cloud.lambda.ai/api-keys, set LAMBDA_API_KEY"),
        _credential("hf", "Hugging Face token", "for gated models: make a read token, set HF_TOKEN"),
        _agent(),
    ]


def _state_folder(folder: Path) -> Finding:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        return Finding(
            "state folder", False, True, f"{folder}: {error.strerror}", "make it writable, or set XDG_STATE_HOME"
        )
    writable = os.access(folder, os.W_OK)
    return Finding(
        "state folder",
        writable and free > 1,
        True,
        f"{folder}, {free:.0f} GiB free",
        "make it writable, free some disk",
    )


def _settings(services: Services) -> Finding:
    try:
        settings = services.settings
    except LlamaTuiError as error:
        return Finding("settings", False, True, error.sentence, error.hint)
    where = str(services.config) if services.config.exists() else f"defaults ({services.config} does not exist)"
    return Finding("settings", True, True, f"{where}, cloud {settings.cloud}")


def _venv() -> Finding:
    python = shutil.which("python3")
    import importlib.util

    ok = python is not None and importlib.util.find_spec("ensurepip") is not None
    return Finding(
        "python3 for local and practice machines",
        ok,
        False,
        python or "there is no python3 on the PATH",
        "install it: sudo apt-get install python3 python3-venv",
    )


def _keyring() -> Finding:
    try:
        credentials.from_keyring("doctor")
    except credentials.KeyringUnavailable as error:
        return Finding("keyring", False, False, error.sentence, error.hint)
    return Finding("keyring", True, False, "answers")


def _credential(service: credentials.Service, what: str, fix: str) -> Finding:
    found = credentials.look(service)
    return Finding(what, found is not None, False, f"from the {found[1]}" if found else "none", fix)


def _agent() -> Finding:
    socket = os.environ.get("SSH_AUTH_SOCK", "")
    ok = bool(socket) and Path(socket).is_socket()
    return Finding(
        "ssh agent", ok, False, "runs" if ok else "none", "for keys with a passphrase: eval $(ssh-agent); ssh-add"
    )
