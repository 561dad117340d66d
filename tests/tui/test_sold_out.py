"""A machine that is nowhere to be had: said, and waited for on a key, from any screen."""

from __future__ import annotations

from textual.pilot import Pilot

from llama_tui.core.plan import Choices
from llama_tui.jobs.preflight import WAIT, Check
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.screens.confirm import ConfirmScreen
from llama_tui.tui.screens.endpoint import EndpointScreen
from llama_tui.tui.screens.home import HomeScreen
from llama_tui.tui.screens.launch import LaunchScreen
from llama_tui.tui.screens.quit import QuitScreen
from llama_tui.tui.screens.setup import SetupScreen
from tests.tui.fakes import FakeServices
from tests.tui.given import shows, until

WAITING = "nothing is to be had; looking again every 20 s until 21:04"


async def waiting(pilot: Pilot[None], services: FakeServices) -> LlamaTuiApp:
    """The setup of an endpoint whose machine is sold out, and waited for."""
    app = pilot.app
    assert isinstance(app, LlamaTuiApp)
    services.sold_out = True
    services.go.clear()
    plan = await services.plan(Choices("llama-3.1-8b", "lambda", name="demo"))
    app.start_deploy(plan)
    await app.push_screen(SetupScreen(plan.name))
    await shows(pilot, "gpu_1x_a10 is not to be had in us-east-1", "w waits for one, 3 h at most")
    await pilot.press("w")
    await shows(pilot, WAITING)
    return app


async def test_the_question_before_the_launch_names_the_key(services: FakeServices) -> None:
    """A fix that is an option of `up` is a key here."""
    services.checks = [Check("capacity", "failed", "gpu_1x_a10 is nowhere to be had now", WAIT)]
    async with LlamaTuiApp(services, open_cloud="practice").run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, LaunchScreen) and pilot.app.screen.planned)
        await pilot.press("f5")
        await shows(pilot, "gpu_1x_a10 is nowhere to be had now", "then w", "Launch all the same")


async def test_waits_on_a_key_and_launches_when_one_is_to_be_had(services: FakeServices) -> None:
    """`w` on the failed setup; the screen says until when, and that nothing is paid yet."""
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        app = await waiting(pilot, services)
        text = await shows(pilot, "$0.75/h from the launch on")
        assert "It has ended" not in text
        services.go.set()
        await until(pilot, lambda: isinstance(app.screen, EndpointScreen))
        assert len(services.deployed) == 1


async def test_the_waiting_goes_on_at_home_and_is_found_there(services: FakeServices) -> None:
    """Its row is among the endpoints, as one that is being launched; Enter opens it again."""
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        app = await waiting(pilot, services)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await shows(pilot, "demo", "launching", "will be $0.75/h", "a launch is on its way")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        await shows(pilot, WAITING)


async def test_the_waiting_is_ended_like_an_endpoint(services: FakeServices) -> None:
    """`x` asks; then nothing is left, and it is said that nothing was launched."""
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        app = await waiting(pilot, services)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: not app.deploys["demo"].running)
        await until(pilot, lambda: any("no machine was launched" in one.message for one in app._notifications))
        await shows(pilot, "none yet")
        assert not services.terminated
        assert not services.deployed


async def test_leaving_the_app_says_that_the_waiting_ends(services: FakeServices) -> None:
    """A setup goes on without the app; a wait for a machine does not."""
    async with LlamaTuiApp(services).run_test(size=(80, 24), notifications=True) as pilot:
        app = await waiting(pilot, services)
        await pilot.press("ctrl+q")
        await until(pilot, lambda: isinstance(app.screen, QuitScreen))
        await shows(
            pilot, "will be $0.75/h", "Waiting for a machine to be had ends with the app.", "the waiting ends"
        )
        await pilot.press("l")
        await until(pilot, lambda: app._exit)
        assert not services.deployed
