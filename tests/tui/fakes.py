"""One fake of the services: the record of endpoints is real, the machines are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from llama_tui.core.advice import Offer, offers_of
from llama_tui.core.errors import LlamaTuiError, NoCapacity
from llama_tui.core.events import Emit, InstanceChanged, Output, Progress, Said, StepFinished, StepStarted
from llama_tui.core.instances import Instance, InstanceType
from llama_tui.core.interfaces import Address
from llama_tui.core.models import find_model
from llama_tui.core.money import Receipt, cost_usd, minutes_between
from llama_tui.core.plan import Choices, Plan, make_plan
from llama_tui.endpoints import Endpoint, Endpoints, Source
from llama_tui.engines import engine_for
from llama_tui.jobs.preflight import Check
from llama_tui.jobs.reach import Server
from llama_tui.jobs.rent import LAUNCH_ASKED
from llama_tui.redact import Secret
from llama_tui.settings import Settings

TYPES = [
    InstanceType("cpu_4x_general", "4x CPU General", 0, 0.0, 4, 16, 512, 8, regions=("us-west-1",)),
    InstanceType("gpu_1x_a10", "1x A10 (24 GB PCIe)", 1, 22.0, 30, 200, 1400, 75, regions=("us-west-1", "us-east-1")),
    InstanceType("gpu_1x_a100", "1x A100 (40 GB SXM4)", 1, 39.4, 30, 200, 512, 129, regions=()),
    InstanceType("gpu_1x_h100_pcie", "1x H100 (80 GB PCIe)", 1, 79.2, 26, 200, 1024, 249, regions=("us-west-3",)),
    InstanceType(
        "gpu_8x_h100_sxm5", "8x H100 (80 GB SXM5)", 8, 79.2, 208, 1800, 22528, 2392, regions=("us-south-1",)
    ),
]
THIS_COMPUTER = InstanceType("local", "2 cores, 15 GiB", 0, 0.0, 2, 15, 60, 0)


class FakeHostKeys:
    """Remembers what was pinned."""

    def __init__(self) -> None:
        self.pinned: list[str] = []

    def pin(self, line: str) -> None:
        self.pinned.append(line)


class FakeServices:
    """What the app talks to, with the methods of `Services`.

    Set an attribute `..._error` to make that call fail; clear `go` to hold jobs where they are.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self.settings = Settings()
        self.endpoints = Endpoints(state)
        self.go = asyncio.Event()
        self.go.set()
        self.sold_out = False
        self.deploy_error: LlamaTuiError | None = None
        self.terminate_error: LlamaTuiError | None = None
        self.types_error: LlamaTuiError | None = None
        self.plan_error: LlamaTuiError | None = None
        self.account_error: LlamaTuiError | None = None
        self.secrets_error: LlamaTuiError | None = None
        self.attach_error: LlamaTuiError | None = None
        self.credential_error: LlamaTuiError | None = None
        self.checks: list[Check] = []
        self.tried: list[tuple[str, str]] = []
        self.machines: list[Instance] = []
        self.accounts: list[str] = []
        self.address = Address("http://127.0.0.1:9")
        self.keys = FakeHostKeys()
        self.deployed: list[Plan] = []
        self.terminated: list[str] = []
        self.attached: list[tuple[str, str]] = []
        self.closed = False

    def host_keys(self, *, trust_new: bool = False) -> FakeHostKeys:
        return self.keys

    def cloud(self, name: str, host: str = "") -> SimpleNamespace:
        return SimpleNamespace(name=name, rents=name in ("practice", "lambda"))

    def secrets_for(self, plan: Plan) -> dict[str, Secret]:
        if self.secrets_error:
            raise self.secrets_error
        return {}

    async def account(self, name: str) -> list[Instance]:
        if self.account_error:
            raise self.account_error
        return self.machines

    def accounts_to_ask(self) -> list[str]:
        return self.accounts

    def _types_of(self, cloud: str) -> list[InstanceType]:
        return TYPES if cloud in ("practice", "lambda") else [THIS_COMPUTER]

    async def types(self, choices: Choices) -> list[Offer]:
        if self.types_error:
            raise self.types_error
        kinds = self._types_of(choices.cloud)
        if not choices.model:
            return [Offer(one) for one in kinds]
        model = find_model(choices.model)
        engine = engine_for(choices.engine, model)
        return offers_of(kinds, model, engine, choices.profile, choices.engine_args)

    def forget_clouds(self) -> None:
        """Nothing is kept here."""

    async def try_credential(self, service: str, secret: Secret) -> str:
        if self.credential_error:
            raise self.credential_error
        self.tried.append((service, secret.reveal()))
        return "valid; 0 machines running; 11 types with capacity" if service == "lambda" else "valid; it is lee's"

    async def preflight(self, choices: Choices) -> list[Check]:
        return self.checks

    async def plan(self, choices: Choices) -> Plan:
        if self.plan_error:
            raise self.plan_error
        model = find_model(choices.model)
        rents = choices.cloud in ("practice", "lambda")
        return make_plan(
            choices, model, self._types_of(choices.cloud), engine_for(choices.engine, model), rents=rents
        )

    async def deploy_where_possible(
        self, choices: Choices | None, plan: Plan, emit: Emit, *, wait_seconds: float = 0.0
    ) -> Endpoint:
        """Sold out: refused, or waited until `go`."""
        if self.sold_out:
            endpoint = self.endpoints.intend(plan)
            self.endpoints.end(endpoint.id, None)
            emit(Said("no capacity in us-east-1"))
            if not wait_seconds:
                raise NoCapacity(f"{plan.instance_type.name} is not to be had in us-east-1")
            emit(Said("nothing is to be had; looking again every 20 s until 21:04"))
            await self.go.wait()
        return await self.deploy(plan, emit)

    async def deploy(self, plan: Plan, emit: Emit) -> Endpoint:
        """Launching, two steps, ready; waits for `go` after the first step."""
        self.deployed.append(plan)
        endpoint = self.endpoints.intend(plan)
        kind = plan.instance_type
        machine = Instance("i-1", endpoint.instance_name, "booting", kind.name, plan.region or "us-west-1")
        machine = replace(machine, price_cents_per_hour=kind.price_cents_per_hour)
        emit(Said(f"launching {kind.name}"))
        self.endpoints.note(endpoint.id, LAUNCH_ASKED)
        endpoint = self.endpoints.change(
            endpoint.id, instance=machine, launched=datetime.now(UTC), state="booting", failure=""
        )
        emit(InstanceChanged(machine))
        machine = replace(machine, status="active", ip="10.0.0.1")
        endpoint = self.endpoints.change(endpoint.id, instance=machine, state="setup")
        emit(InstanceChanged(machine))
        first, *rest = plan.steps
        emit(StepStarted(first.id, 100.0))
        log = self.endpoints.log_file(endpoint, "setup")
        log.write_text("one line of the setup\n")
        emit(Output("setup", ("one line of the setup",)))
        await self.go.wait()
        if self.deploy_error:
            emit(StepFinished(first.id, 103.0, 1))
            self.endpoints.change(endpoint.id, state="failed", failure=self.deploy_error.sentence)
            raise self.deploy_error
        emit(StepFinished(first.id, 103.0, 0))
        for index, step in enumerate(rest):
            emit(StepStarted(step.id, 103.0 + index))
            emit(Progress("loading weights", "1 of 2", 0.5))
            emit(StepFinished(step.id, 104.0 + index, 0))
        return self.endpoints.change(endpoint.id, state="ready", ready=datetime.now(UTC), port=8000)

    async def terminate(self, endpoint: Endpoint, emit: Emit, why: str = "you said so") -> Receipt:
        self.terminated.append(endpoint.name)
        self.endpoints.change(endpoint.id, state="ending")
        emit(Said("ending i-1"))
        await self.go.wait()
        if self.terminate_error:
            raise self.terminate_error
        now = datetime.now(UTC)
        started = endpoint.launched or endpoint.created
        receipt = Receipt(
            name=endpoint.name,
            cloud=endpoint.cloud,
            instance_type=endpoint.plan.instance_type.name if endpoint.plan else "",
            region=endpoint.instance.region if endpoint.instance else "",
            started=started,
            ended=now,
            minutes=minutes_between(started, now),
            usd=cost_usd(endpoint.price_cents_per_hour, started, now),
            why=why,
        )
        self.endpoints.end(endpoint.id, receipt)
        return receipt

    @asynccontextmanager
    async def reach(self, endpoint: Endpoint, *, local_port: int = 0) -> AsyncIterator[Server]:
        yield Server(self.address, Secret(""), endpoint.model)

    async def answers(self, endpoint: Endpoint) -> bool:
        return endpoint.state == "ready"

    async def follow_log(self, endpoint: Endpoint, source: Source, emit: Emit, *, forever: bool) -> None:
        """The local copy is all there is; tests write it."""
        if forever:
            await asyncio.Event().wait()

    async def attach(self, target: str, name: str, key: Secret | None) -> Endpoint:
        self.attached.append((target, name))
        if self.attach_error:
            raise self.attach_error
        return self.endpoints.adopt(
            Endpoint(
                id="a1b2c3d4",
                name=name or "attached",
                cloud="url",
                host="",
                state="ready",
                created=datetime.now(UTC),
                base_url=target,
                model="some-model",
            )
        )

    async def aclose(self) -> None:
        self.closed = True


WAIT_SECONDS = 10.0
"""How long a test waits for something to be on the screen."""


def said(app: App[Any]) -> str:
    """Everything that is on the screen now, as text: a modal's own lines over those under it."""
    strips = app.screen._compositor.render_strips(app.size)
    lines = "\n".join(strip.text for strip in strips)
    toasts = [f"{toast.title}\n{toast.message}" for toast in app._notifications]
    return "\n".join([lines, *toasts])


async def until(pilot: Pilot[Any], holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():
            await pilot.pause(0.02)
