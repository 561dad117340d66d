"""A practice account whose failures a test switches on."""

import json
from dataclasses import replace

from llama_tui.core.instances import GONE, Instance
from llama_tui.core.plan import Choices, Plan
from llama_tui.endpoints import Endpoint
from llama_tui.services import PATIENCE, Services

QUICK = replace(PATIENCE["practice"], settle=1.0, boot=3.0, terminate=5.0)


def switch(services: Services, **switches: object) -> None:
    """Switch failures on; without any, all off."""
    file = services.state / "practice" / "switches.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(switches))


async def running(services: Services) -> list[Instance]:
    """What the account lists and bills. A terminated machine is listed for a moment longer."""
    return [one for one in await services.account("practice") if one.status not in GONE]


async def meant(services: Services, **chosen: object) -> tuple[Plan, Endpoint]:
    plan = await services.plan(Choices("smollm2-135m", "practice", name="demo", **chosen))  # type: ignore[arg-type]
    return plan, services.endpoints.intend(plan)
