"""Launch: a model, a machine, the plan beside them; nothing starts without a yes."""

from __future__ import annotations

from typing import Any

import pytest
from textual.message import Message
from textual.pilot import Pilot

from llama_tui.core.errors import CloudRefused, CredentialMissing, HostKeyUnknown, LlamaTuiError
from llama_tui.core.events import StepFinished
from llama_tui.core.plan import Limits
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.messages import JobEnded, JobEvent
from llama_tui.tui.screens.launch import LaunchScreen
from llama_tui.tui.screens.setup import SetupScreen
from tests.tui.fakes import FakeServices, said, until


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one the way to Lambda leads to where one is entered (test_credentials.py)."""
    monkeypatch.setenv("LAMBDA_API_KEY", "secret_of_the_tests")


async def ready(pilot: Pilot[Any]) -> LaunchScreen:
    await until(pilot, lambda: isinstance(pilot.app.screen, LaunchScreen) and pilot.app.screen.planned is not None)
    screen = pilot.app.screen
    assert isinstance(screen, LaunchScreen)
    return screen


async def choose(pilot: Pilot[Any], model: str) -> LaunchScreen:
    screen = await ready(pilot)
    await pilot.press("slash", *model, "enter")
    await until(pilot, lambda: screen.choices.model == model)
    return screen


async def test_from_model_to_setup(services: FakeServices) -> None:
    """1 opens it, Enter chooses the model, Enter the machine, y starts; the setup screen follows."""
    messages: list[Message] = []
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True, message_hook=messages.append) as pilot:
        await pilot.press("1")
        await ready(pilot)
        services.go.clear()
        await pilot.press("enter", "enter")
        await until(pilot, lambda: "Practise with smollm2-135m?" in said(app))
        assert "nothing; on Lambda $0.08/h" in said(app)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        assert [plan.instance_type.name for plan in services.deployed] == ["cpu_4x_general"]
        services.go.set()
        await until(pilot, lambda: not app.deploys["smollm2-135m"].running)
        assert any(isinstance(one, JobEvent) and isinstance(one.event, StepFinished) for one in messages)
        await until(pilot, lambda: any(isinstance(one, JobEnded) and one.endpoint is not None for one in messages))


async def test_limits_are_set_beside_the_plan(services: FakeServices) -> None:
    """Dollars, hours, idle minutes, by the key l; what cannot be a limit is said; plan and question have them."""
    app = LlamaTuiApp(services, open_cloud="lambda")
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        screen = await ready(pilot)
        await until(pilot, lambda: "none: it runs, and costs, until you end it" in said(app))
        await pilot.press("l")
        await until(pilot, lambda: "When is it to end by itself?" in said(app))
        await pilot.press("0", "enter")
        await until(pilot, lambda: "at least 0.01" in said(app))
        await pilot.press("backspace", "5", "tab", "tab", "3", "0", "enter")
        await until(pilot, lambda: "$5.00, 30 min idle" in said(app))
        assert screen.choices.limits == Limits(usd=5.0, idle_minutes=30)
        await pilot.press("f5")
        await until(pilot, lambda: "Rent a machine" in said(app) and "$5.00, 30 min idle" in said(app))


async def test_enter_alone_starts_nothing(services: FakeServices) -> None:
    """The cursor stands on No."""
    app = LlamaTuiApp(services, open_cloud="practice")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: "Practise with" in said(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen))
        assert services.deployed == []


async def test_renting_says_the_price_and_what_happens_on_failure(services: FakeServices) -> None:
    """Before real money: price per hour, until when, and what becomes of the machine when setup fails."""
    app = LlamaTuiApp(services, open_cloud="lambda")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await choose(pilot, "llama-3.1-8b-instruct")
        await pilot.press("f")
        await pilot.press("f5")
        await until(pilot, lambda: "at $0.75/h?" in said(app))
        assert "from the launch until you terminate it" in said(app)
        assert "the machine is terminated" in said(app)


async def test_a_machine_that_is_too_small_says_why(services: FakeServices) -> None:
    """It is dim, cannot be launched, and the reason stands where the plan would."""
    app = LlamaTuiApp(services, open_cloud="lambda")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await choose(pilot, "llama-3-70b")
        assert screen.choices.instance_type == "gpu_8x_h100_sxm5"
        await pilot.press("enter", "down")
        await until(pilot, lambda: "does not fit on" in said(app))
        await pilot.press("f5", "enter")
        await pilot.pause()
        assert isinstance(app.screen, LaunchScreen)


async def test_keys_change_the_plan(services: FakeServices) -> None:
    """e: engine and profile, g: region, n: name, s: the same plan as a script."""
    app = LlamaTuiApp(services, open_cloud="lambda")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = await choose(pilot, "llama-3-8b")
        await pilot.press("e", "g")
        await until(pilot, lambda: screen.planned is not None and screen.planned.region == "us-west-1")
        assert screen.planned and screen.planned.profile == "guide"
        await pilot.press("n", *"Bad name")
        await until(pilot, lambda: "cannot be the name of an endpoint" in said(app))
        await pilot.press(*["backspace"] * 8, *"mine", "enter")
        await until(pilot, lambda: screen.planned is not None and screen.planned.name == "mine")
        await pilot.press("s")
        await until(pilot, lambda: "#!/bin/sh" in said(app))
        await pilot.press("escape")
        await until(pilot, lambda: "#!/bin/sh" not in said(app))


async def test_the_name_of_a_running_endpoint_is_not_proposed_again(services: FakeServices) -> None:
    """A second endpoint of the same model gets a number."""
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("1")
        screen = await ready(pilot)
        await services.deploy(screen.planned, lambda _: None)  # type: ignore[arg-type]
        await pilot.press("down", "up")
        await until(pilot, lambda: screen.named.value == "smollm2-135m-2")


async def test_a_cloud_that_is_down_is_said_and_asked_again(services: FakeServices) -> None:
    """The reason stands where the plan would; r asks again."""
    services.types_error = CloudRefused("the cloud does not answer", "look at its status page")
    app = LlamaTuiApp(services, open_cloud="lambda")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "the cloud does not answer" in said(app))
        services.types_error = None
        await pilot.press("r")
        await ready(pilot)


async def test_a_missing_token_is_said_before_anything_is_rented(services: FakeServices) -> None:
    """A gated model without a Hugging Face token: said, and no question is asked."""
    services.secrets_error = CredentialMissing("there is no Hugging Face token", "set HF_TOKEN")
    app = LlamaTuiApp(services, open_cloud="lambda")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await choose(pilot, "llama-3-8b")
        await pilot.press("f5")
        await until(pilot, lambda: "there is no Hugging Face token" in said(app))
        assert services.deployed == []


async def test_an_unknown_host_key_is_shown_and_pinned_on_yes(services: FakeServices) -> None:
    """The fingerprint is asked about once; yes pins it, and the machine is looked at."""
    services.types_error = HostKeyUnknown("box", "SHA256:abc", "box ssh-ed25519 AAAA")
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("3", *"me@box", "enter")
        await until(pilot, lambda: "SHA256:abc" in said(app) and "Is this its host key?" in said(app))
        services.types_error = None
        await pilot.press("y")
        await ready(pilot)
        assert services.keys.pinned == ["box ssh-ed25519 AAAA"]
        await pilot.press("f5")
        await until(pilot, lambda: "Serve smollm2-135m on me@box?" in said(app))


async def test_a_failed_deploy_is_an_error_and_not_a_crash(services: FakeServices) -> None:
    """Whatever a deploy raises, the app stays and says it."""
    services.deploy_error = LlamaTuiError("no room [/] on the disk", "take a larger one")
    app = LlamaTuiApp(services, open_cloud="practice")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: "Practise with" in said(app))
        await pilot.press("y")
        await until(pilot, lambda: "no room [/] on the disk" in said(app))


@pytest.mark.parametrize(
    ("width", "there", "missing"),
    [
        (80, {"$/h", "context", "where"}, {"users", "1st answer", "GPU"}),
        (88, {"users"}, {"1st answer", "GPU"}),
        (120, {"users", "1st answer", "costs"}, {"GPU"}),
        (160, {"users", "1st answer", "costs", "memory", "GPU"}, set()),
    ],
)
async def test_the_table_shows_what_its_width_has_room_for(
    services: FakeServices, width: int, there: set[str], missing: set[str]
) -> None:
    """What is missed most comes first; the plan beside it has the rest for the machine under the cursor."""
    app = LlamaTuiApp(services, open_cloud="lambda")
    async with app.run_test(size=(width, 48)) as pilot:
        screen = await choose(pilot, "llama-3-8b")
        await pilot.pause()
        headings = {str(column.label) for column in screen.table.ordered_columns}
        assert there <= headings
        assert not missing & headings
        assert "first answer" in said(app)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_looks(snap_compare: Any, services: FakeServices, size: tuple[int, int]) -> None:
    async def wait(pilot: Pilot[None]) -> None:
        await choose(pilot, "llama-3.1-8b-instruct")
        await pilot.pause()

    assert snap_compare(LlamaTuiApp(services, open_cloud="lambda"), terminal_size=size, run_before=wait)


def test_looks_when_asked(snap_compare: Any, services: FakeServices) -> None:
    async def wait(pilot: Pilot[None]) -> None:
        await ready(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: "Practise with" in said(pilot.app))

    assert snap_compare(LlamaTuiApp(services, open_cloud="practice"), terminal_size=(80, 24), run_before=wait)
