"""Which cloud a name means: the real clients, with their keys and paces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_tui import credentials
from llama_tui.core.capacity import narrowed
from llama_tui.core.errors import UsageError, unknown
from llama_tui.core.instances import InstanceType
from llama_tui.core.interfaces import Cloud
from llama_tui.core.plan import Choices
from llama_tui.redact import Secret

if TYPE_CHECKING:
    from llama_tui.clouds.lambda_cloud import LambdaCloud
    from llama_tui.services import Services

CLOUDS: dict[str, str] = {
    "practice": "a pretend Lambda on this computer: nothing is rented",
    "lambda": "Lambda On-Demand Cloud: machines by the minute",
    "ssh": "a machine of your own, by SSH",
    "local": "this computer",
}
"""Name → what it is. `Services.cloud` builds them."""


def build(name: str, host: str, services: Services) -> Cloud:
    """The cloud of that name. Raises UsageError (unknown, or no host), CredentialMissing."""
    match name:
        case "practice":
            from llama_tui.clouds.practice import PracticeCloud

            return PracticeCloud(lambda: _open_practice(services))
        case "lambda":
            return lambda_client(
                services,
                credentials.need("lambda", "Lambda Cloud"),
                services.settings.lambda_.api_url,
                calls=1.05,
                launches=13.0,
            )
        case "ssh":
            from llama_tui.clouds.ssh_box import SshBox

            if not host:
                raise UsageError("the ssh cloud needs a machine", "name it: --host USER@HOST")
            return SshBox(host, services.host_keys())
        case "local":
            from llama_tui.clouds.local import LocalCloud

            return LocalCloud()
    raise unknown("cloud", name, CLOUDS)


def lambda_client(
    services: Services,
    key: Secret,
    url: str,
    *,
    calls: float,
    launches: float,
    name: str = "lambda",
    ssh_config: Path | None = None,
) -> LambdaCloud:
    """A client of Lambda's API, or of what speaks it."""
    from llama_tui.clouds.lambda_cloud import LambdaCloud
    from llama_tui.clouds.pace import Pace
    from llama_tui.clouds.ssh_key import SshKey

    own = services.settings.lambda_.ssh_key
    return LambdaCloud(
        name=name,
        key=key,
        base_url=url,
        pace=Pace(services.state / "pace", calls=calls, launches=launches),
        ssh_key=SshKey(services.state / "ssh", private=Path(own).expanduser() if own else None),
        host_keys=services.host_keys(trust_new=True),
        ssh_config=[ssh_config] if ssh_config else [],
    )


async def kinds_for(cloud: Cloud, choices: Choices, without: frozenset[str] = frozenset()) -> list[InstanceType]:
    """What may be taken: the types and regions that are allowed, and that reach the filesystem."""
    allowed = choices.allowed
    if choices.filesystem:
        account: Any = cloud
        region = await account.region_of_filesystem(choices.filesystem)
        allowed = replace(allowed, regions=(region,) if region else allowed.regions)
    return narrowed(await cloud.instance_types(), allowed, without)


async def regions_for(cloud: Cloud, choices: Choices) -> list[str]:
    """The regions that there are, asked for where one was chosen: it may have nothing to give now."""
    if not cloud.rents or not (choices.region or choices.allowed.regions):
        return []
    account: Any = cloud
    return [one.name for one in await account.regions()]


async def _open_practice(services: Services) -> Cloud:
    from llama_tui.practice.process import ensure

    practice = await ensure(services.state / "practice")
    return lambda_client(
        services,
        Secret(practice.key),
        practice.url,
        calls=0,
        launches=0,
        name="practice",
        ssh_config=practice.ssh_config,
    )
