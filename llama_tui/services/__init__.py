"""The real things, built once: the only module that names real clouds, engines and stores together.

Both faces hold one `Services` and start jobs through it; a test builds one in a folder of its own.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llama_tui import credentials
from llama_tui.core.advice import Offer, offers_of
from llama_tui.core.capacity import Allowed
from llama_tui.core.errors import CredentialMissing, PreflightFailed, UsageError
from llama_tui.core.events import Emit
from llama_tui.core.instances import Instance
from llama_tui.core.interfaces import Address, Cloud
from llama_tui.core.limits import merged
from llama_tui.core.models import MODELS, Model, at_revision, find_model, is_known, model_in_folder, model_of_config
from llama_tui.core.plan import Choices, Plan, check_name, default_name, make_plan
from llama_tui.endpoints import Endpoint, Endpoints, Source
from llama_tui.engines import engine_for
from llama_tui.jobs.reach import Server
from llama_tui.jobs.rent import Patience
from llama_tui.redact import Secret
from llama_tui.services.clouds import build, kinds_for, lambda_client, regions_for

if TYPE_CHECKING:
    from llama_tui.core.money import Receipt
    from llama_tui.hosts.host_keys import HostKeys
    from llama_tui.jobs.preflight import Check
    from llama_tui.settings import Settings

PATIENCE: dict[str, Patience] = {
    "practice": Patience(settle=3.0, boot=60.0, poll=0.1, terminate=60.0),
    "local": Patience(poll=0.2),
    "ssh": Patience(poll=1.0, boot=120.0),
}
"""Where the cloud is quicker than Lambda; Lambda's own is the default."""


def _state_folder() -> Path:
    import platformdirs

    return platformdirs.user_state_path("llama-tui")


def _config_file() -> Path:
    import platformdirs

    return platformdirs.user_config_path("llama-tui") / "config.toml"


def _as_chosen(model: Model) -> str:
    """How a person would choose this model again."""
    if model.folder:
        return model.folder
    if model.name in MODELS:
        return model.name
    return f"{model.repo_id}/{model.gguf.file}" if model.gguf else model.repo_id


@dataclass
class Services:
    """What a face needs to start jobs."""

    state: Path = field(default_factory=_state_folder)
    config: Path = field(default_factory=_config_file)
    _clouds: dict[tuple[str, str], Cloud] = field(default_factory=dict, repr=False)
    _models: dict[str, Model] = field(default_factory=dict, repr=False)
    """What was read of Hugging Face repositories."""

    @cached_property
    def settings(self) -> Settings:
        """config.toml. Raises UsageError."""
        from llama_tui.settings import read_settings

        return read_settings(self.config)

    @cached_property
    def endpoints(self) -> Endpoints:
        """The record of endpoints."""
        return Endpoints(self.state)

    def host_keys(self, *, trust_new: bool = False) -> HostKeys:
        """Host keys of machines; `trust_new` for those that we launched."""
        from llama_tui.hosts.host_keys import HostKeys

        return HostKeys(self.state / "known_hosts", trust_new=trust_new)

    # ---- clouds

    def cloud(self, name: str, host: str = "") -> Cloud:
        """The cloud of that name. Raises UsageError (unknown, or no host), CredentialMissing."""
        if (name, host) not in self._clouds:
            self._clouds[name, host] = build(name, host, self)
        return self._clouds[name, host]

    def cloud_of(self, endpoint: Endpoint) -> Cloud:
        """The cloud of an endpoint."""
        return self.cloud(endpoint.cloud, endpoint.host)

    async def account(self, name: str) -> list[Instance]:
        """Every machine of a cloud account, also those that no endpoint knows. Raises CloudRefused.

        An endpoint whose launch was never answered learns its machine by this.
        """
        from llama_tui.jobs.rent import learn

        listed = await self.cloud(name).instances()
        learn(listed, self.endpoints)
        return listed

    def accounts_to_ask(self) -> list[str]:
        """Clouds whose account may hold machines: those with a key, and practice while it runs."""
        asked = ["practice"] if (self.state / "practice" / "practice.json").exists() else []
        return asked + (["lambda"] if credentials.find("lambda") else [])

    # ---- before

    def forget_clouds(self) -> None:
        """Build the clients of clouds anew when they are needed: a key has changed."""
        self._clouds.clear()

    async def try_credential(self, service: credentials.Service, secret: Secret) -> str:
        """Whether a key or token works, in one sentence. Raises CredentialRejected, CloudRefused, HubUnreachable."""
        if service == "hf":
            from llama_tui import hub

            return f"valid; it is {await hub.whoami(secret)}'s"
        cloud = lambda_client(self, secret, self.settings.lambda_.api_url, calls=1.05, launches=13.0)
        try:
            machines = len(await cloud.instances())
            types = sum(bool(kind.regions) for kind in await cloud.instance_types())
        finally:
            await cloud.aclose()
        return f"valid; {machines} machine{'' if machines == 1 else 's'} running; {types} types with capacity"

    async def preflight(self, choices: Choices, plan: Plan | None = None) -> list[Check]:
        """Whether a deploy can succeed, at no cost (jobs/preflight.py); `plan` is what was made of the choices."""
        from llama_tui import hub
        from llama_tui.jobs.preflight import Wanted, preflight

        async def planned() -> Plan:
            return plan or await self.plan(choices)

        return await preflight(
            Wanted(
                choices=choices,
                cloud=lambda: self.cloud(choices.cloud, choices.host),
                model=lambda: self.model_for(choices),
                plan=planned,
                hub=hub,
                hf_token=await asyncio.to_thread(credentials.find, "hf"),
            )
        )

    async def model(self, name: str, revision: str = "") -> Model:
        """The model of a name of the catalogue, a GGUF file, or any Hugging Face repository, by its config.json.

        Raises:
            UsageError: nothing is called that, it is no Llama-like model, or it has no revisions.
            PreflightFailed: the repository is not there, or may not be read with this token.
        """
        if is_known(name):
            return at_revision(find_model(name), revision)
        known = f"{name}@{revision}"
        if known not in self._models:
            from llama_tui import hub

            token = await asyncio.to_thread(credentials.find, "hf")
            repo = await hub.look_at(name, token, revision=revision)
            if not repo.config:
                await hub.check_access(name, token)
            model = model_of_config(
                name, repo.config, parameters=repo.parameters, weights_bytes=repo.weights_bytes, gated=repo.gated
            )
            self._models[known] = at_revision(model, revision)
        return self._models[known]

    async def model_for(self, choices: Choices) -> Model:
        """The model that was chosen; a folder on a machine that is there already is looked into.

        Raises:
            PreflightFailed: the folder holds no config.json.
            and as `model` and `Cloud.connect` do.
        """
        model = await self.model(choices.model, choices.revision)
        if not model.folder:
            return model
        cloud = self.cloud(choices.cloud, choices.host)
        machine = None if cloud.rents else await cloud.instance("")
        if machine is None:
            return model
        async with cloud.connect(machine) as host:
            read = await host.read(f"{model.folder.removeprefix('~/')}/config.json")
        if not read:
            raise PreflightFailed(f"{model.folder} holds no config.json there", "is the path right?")
        return model_in_folder(model, read)

    # ---- plan

    async def types(self, choices: Choices) -> list[Offer]:
        """Instance types of a cloud, cheapest first, each with what it would be for the chosen model."""
        kinds = await self.cloud(choices.cloud, choices.host).instance_types()
        kinds.sort(key=lambda one: (one.price_cents_per_hour, one.name))
        if not choices.model:
            return [Offer(one) for one in kinds]
        model = await self.model_for(choices)
        return offers_of(kinds, model, engine_for(choices.engine, model), choices.profile, choices.engine_args)

    async def plan(self, choices: Choices) -> Plan:
        """Decide everything. Raises UsageError, CloudRefused, HostUnreachable, HostKeyUnknown."""
        model = await self.model_for(choices)
        engine = engine_for(choices.engine, model)
        if choices.host and choices.cloud != "ssh":
            raise UsageError(
                f"--host is for the ssh cloud, not for {choices.cloud}", "leave it out, or add --cloud ssh"
            )
        cloud = self.cloud(choices.cloud, choices.host)
        if earlier := self._earlier_plan(check_name(choices.name or default_name(model))):
            # What was launched stays what it is, also if something else would be the cheapest now.
            kind, region = earlier.instance_type.name, earlier.region
            choices = replace(choices, instance_type=choices.instance_type or kind, region=choices.region or region)
            choices = replace(choices, allowed=Allowed(), limits=merged(earlier.limits, choices.limits))
        choices = self._with_image(choices)
        kinds = await kinds_for(cloud, choices)
        regions = await regions_for(cloud, choices)
        return make_plan(choices, model, kinds, engine, rents=cloud.rents, regions=regions)

    def _with_image(self, choices: Choices) -> Choices:
        """The choices, with the image of config.toml where none was chosen."""
        return replace(choices, image_family=choices.image_family or self.settings.lambda_.image_family)

    async def _replan(self, choices: Choices, without: frozenset[str]) -> Plan | None:
        """The plan for what is to be had now; None when that is nothing."""
        cloud = self.cloud(choices.cloud, choices.host)
        if choices.region:
            choices = replace(choices, allowed=replace(choices.allowed, regions=(choices.region,)))
        choices = self._with_image(choices)
        model = await self.model_for(choices)
        kinds = [kind for kind in await kinds_for(cloud, choices, without) if kind.regions]
        try:
            return make_plan(choices, model, kinds, engine_for(choices.engine, model), rents=cloud.rents)
        except UsageError:
            return None

    async def _had_now(self, plan: Plan) -> Plan | None:
        """The same plan, where its machine is to be had now, and for no more than was agreed to; else None."""
        kind, regions = plan.instance_type, (plan.region,) if plan.region else ()
        allowed = Allowed((kind.name,), regions, kind.price_cents_per_hour)
        wanted = Choices(plan.model.name, plan.cloud, filesystem=plan.filesystem, allowed=allowed)
        kinds = await kinds_for(self.cloud(plan.cloud), wanted)
        return next((replace(plan, instance_type=one) for one in kinds if one.regions), None)

    def launched(self, name: str) -> bool:
        """A machine was launched for the live endpoint of that name."""
        return self._earlier_plan(name) is not None

    def _earlier_plan(self, name: str) -> Plan | None:
        """The plan of the live endpoint of that name, once a machine was launched for it."""
        return next((one.plan for one in self.endpoints.live() if one.name == name and one.launched), None)

    def model_of(self, name: str) -> str:
        """The model that the live endpoint of that name was planned with; empty when there is none."""
        plans = (one.plan for one in self.endpoints.live() if one.name == name and one.plan)
        return next((_as_chosen(plan.model) for plan in plans), "")

    def secrets_for(self, plan: Plan) -> dict[str, Secret]:
        """The secrets that the plan's steps name. Raises CredentialMissing for a gated model without a token."""
        if "hf_token" not in plan.secrets:
            return {}
        token = credentials.find("hf")
        if token is None:
            if plan.model.gated:
                credentials.need("hf", plan.model.repo_id)
            return {}
        return {"hf_token": token}

    # ---- jobs

    async def deploy(self, plan: Plan, emit: Emit, *, not_after: float = 0.0) -> Endpoint:
        """Carry out a plan (jobs/deploy.py). An endpoint of that name that answers is returned as it is.

        `not_after`, in seconds since the epoch: no launch is sent later; 0 is no deadline.
        """
        from llama_tui.engines.log_reader import ServerLog
        from llama_tui.jobs.deploy import deploy

        secrets = self.secrets_for(plan)
        if plan.cloud != "local":
            # asyncssh takes a third of a second to load: it does so while the machine boots.
            asyncio.get_running_loop().run_in_executor(None, importlib.import_module, "asyncssh")
        return await deploy(
            plan,
            cloud=self.cloud(plan.cloud, plan.host),
            endpoints=self.endpoints,
            secrets=secrets,
            reader=ServerLog(),
            emit=emit,
            patience=PATIENCE.get(plan.cloud, Patience()),
            not_after=not_after,
        )

    async def deploy_where_possible(
        self, choices: Choices | None, plan: Plan, emit: Emit, *, wait_seconds: float = 0.0
    ) -> Endpoint:
        """Carry out a plan, or where its machine is not to be had another that `choices` allow; None: no other."""
        from llama_tui.jobs import wait_for_capacity

        practice = plan.cloud == "practice"
        return await wait_for_capacity.deploy_where_possible(
            plan,
            others=choices is not None and choices.allowed.others and not choices.instance_type,
            replan=lambda without: self._replan(choices, without) if choices else self._had_now(plan),
            deploy=lambda one, not_after: self.deploy(one, emit, not_after=not_after),
            emit=emit,
            wait_seconds=wait_seconds,
            look_seconds=0.2 if practice else wait_for_capacity.LOOK_SECONDS,
        )

    async def terminate(self, endpoint: Endpoint, emit: Emit, why: str = "you said so") -> Receipt:
        """End an endpoint and prove it (jobs/terminate.py)."""
        from llama_tui.jobs.terminate import forget, may_still_run, terminate

        if endpoint.cloud == "url":
            return forget(endpoint, self.endpoints)
        try:
            cloud = self.cloud_of(endpoint)
        except CredentialMissing as error:  # only accounts that rent have a key
            raise may_still_run(endpoint, f"the machine of {endpoint.name}", error.sentence) from error
        receipt = await terminate(
            endpoint,
            cloud=cloud,
            endpoints=self.endpoints,
            emit=emit,
            patience=PATIENCE.get(endpoint.cloud, Patience()),
            why=why,
        )
        if endpoint.instance:
            self.host_keys().forget(f"llama-tui-{endpoint.instance.id}")
        return receipt

    @asynccontextmanager
    async def reach(self, endpoint: Endpoint, *, local_port: int = 0) -> AsyncIterator[Server]:
        """The endpoint's model server while the context lasts (jobs/reach.py)."""
        from llama_tui.jobs.reach import reach

        if endpoint.cloud == "url":
            key = await asyncio.to_thread(credentials.of_url, endpoint.name)
            yield Server(Address(endpoint.base_url), key, endpoint.model)
            return
        async with reach(endpoint, self.cloud_of(endpoint), local_port=local_port) as server:
            yield server

    async def answers(self, endpoint: Endpoint) -> bool:
        """Does its model server answer now? Raises HostUnreachable and what `Cloud.connect` raises."""
        from llama_tui.jobs.reach import answers

        if endpoint.state != "ready":
            return False
        async with self.reach(endpoint) as server:
            return await answers(server)

    async def follow_log(self, endpoint: Endpoint, source: Source, emit: Emit, *, forever: bool) -> None:
        """Tell a log's lines from line 1; `forever`: go on as it grows (jobs/follow_log.py)."""
        from llama_tui.jobs.follow_log import follow

        cloud = None if endpoint.cloud == "url" or endpoint.state == "ended" else self.cloud_of(endpoint)
        await follow(endpoint, source, cloud, self.endpoints, emit, forever=forever)

    async def attach(self, target: str, name: str, key: Secret | None) -> Endpoint:
        """Adopt what runs on a host, or a server at a URL (jobs/attach.py)."""
        from llama_tui.jobs.attach import attach_host, attach_url

        if "://" in target:
            endpoint = await attach_url(target, name, key or credentials.of_url(""), self.endpoints)
            if key:
                try:
                    await asyncio.to_thread(credentials.to_keyring, f"endpoint {endpoint.name}", key)
                except credentials.KeyringUnavailable:
                    self.endpoints.end(endpoint.id, None)
                    raise
            return endpoint
        return await attach_host(target, name, self.cloud("ssh", target), self.endpoints, self.cloud)

    async def aclose(self) -> None:
        """Close what is open."""
        for cloud in self._clouds.values():
            if close := getattr(cloud, "aclose", None):
                await close()
        if "endpoints" in self.__dict__:
            self.endpoints.close()
