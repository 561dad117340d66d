"""Watching a setup: its steps, its log, and what to do when it fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot

from llama_tui.core.errors import HostKeyUnknown, SetupFailed
from llama_tui.core.events import InstanceChanged, Progress, Said, StepFinished, StepSkipped, StepStarted
from llama_tui.core.instances import Instance
from llama_tui.core.plan import Choices, Plan, Step
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.screens.confirm import ConfirmScreen
from llama_tui.tui.screens.endpoint import EndpointScreen
from llama_tui.tui.screens.setup import SetupScreen
from llama_tui.tui.widgets.step_list import StepList, elapsed
from tests.tui.fakes import FakeServices
from tests.tui.given import an_endpoint, shows, until

HOSTILE = "[/] [@click=app.quit]x[/] \x1b]52;c;aGk=\x07end"
STEPS = [Step("00-check", "Check the machine", ""), Step("10-venv", "Make a virtual environment", "")]


async def plan_of(services: FakeServices, cloud: str = "practice") -> Plan:
    """A plan for the smallest model."""
    return await services.plan(Choices("smollm2-135m", cloud, name="demo", host="me@box" if cloud == "ssh" else ""))


async def watched(pilot: Pilot[None], plan: Plan) -> SetupScreen:
    """The setup screen of a deploy that has just been started."""
    app = pilot.app
    assert isinstance(app, LlamaTuiApp)
    app.start_deploy(plan)
    screen = SetupScreen(plan.name)
    await app.push_screen(screen)
    return screen


# ---- the steps


def states(steps: StepList) -> list[str]:
    return [row.state for row in steps.rows]


def test_time_is_said_as_people_say_it() -> None:
    """Seconds, then minutes, then hours."""
    assert [elapsed(seconds) for seconds in (-3, 0, 59.9, 60, 3599, 3723)] == [
        "0 s", "0 s", "59 s", "1:00 min", "59:59 min", "1:02:03 h",
    ]  # fmt: skip


async def test_steps_go_from_waiting_to_done(services: FakeServices) -> None:
    """Every step has a sign, and what it took by the clock of the machine."""
    app = LlamaTuiApp(services)
    async with app.run_test():
        steps = StepList(STEPS, machine="Launch gpu_1x_a10", since=1000.0)
        await app.screen.mount(steps)
        assert states(steps) == ["waiting", "waiting", "waiting"]
        steps.show(Said("launching"))
        assert states(steps) == ["running", "waiting", "waiting"]
        steps.show(InstanceChanged(Instance("i-1", "box", "booting", "gpu_1x_a10", "us-west-1", 129, "10.0.0.1")))
        assert "booting 10.0.0.1" in steps.content_of(1010.0).plain
        steps.show(
            StepStarted("00-check", 1060.0), StepFinished("00-check", 1063.0, 0), StepStarted("10-venv", 1063.0)
        )
        assert states(steps) == ["done", "done", "running"]
        text = steps.content_of(1070.0).plain
        assert "✓ Launch gpu_1x_a10" in text and "1:00 min  10.0.0.1" in text
        assert "✓ Check the machine           3 s" in text
        assert "• Make a virtual environment  7 s" in text
        steps.show(StepFinished("10-venv", 1071.0, 2))
        assert "✕ Make a virtual environment  8 s  exit status 2" in steps.content_of(1080.0).plain


async def test_a_machine_with_another_clock(services: FakeServices) -> None:
    """A clock that is hours off shows neither hours nor negative seconds."""
    app = LlamaTuiApp(services)
    async with app.run_test():
        steps = StepList(STEPS, since=1000.0)
        await app.screen.mount(steps)
        steps.show(StepStarted("00-check", 1000.0 - 7200))
        assert "Check the machine           5 s" in steps.content_of(1005.0).plain
        steps.show(StepStarted("00-check", 1000.0 + 7200))
        assert "Check the machine           0 s" in steps.content_of(1005.0).plain


async def test_the_running_step_says_how_far_it_is(services: FakeServices) -> None:
    """A bar where a fraction is known, words in any case, and nothing of it once the step is over."""
    app = LlamaTuiApp(services)
    async with app.run_test():
        steps = StepList(STEPS)
        await app.screen.mount(steps)
        steps.show(StepStarted("00-check", 1.0), Progress("loading weights", "2 of 4 shards", 0.5))
        assert "████████░░░░░░░░  50%  loading weights 2 of 4 shards" in steps.content_of(2.0).plain
        steps.show(Said(HOSTILE))
        assert "[/] [@click=app.quit]x[/] end" in steps.content_of(2.0).plain
        steps.show(StepFinished("00-check", 3.0, 0))
        assert "end" not in steps.content_of(4.0).plain


async def test_regions_without_a_machine_stay_to_be_seen(services: FakeServices) -> None:
    """Until there is a machine: where none was to be had, and what is tried now. The last sentences, not all."""
    app = LlamaTuiApp(services)
    async with app.run_test():
        steps = StepList(STEPS, machine="Launch gpu_1x_a10", since=1000.0)
        await app.screen.mount(steps)
        for region in ("r-1", "r-2", "r-3"):
            steps.show(Said(f"launching gpu_1x_a10 in {region}"), Said(f"no capacity in {region}"))
        steps.show(Said("launching gpu_1x_a10 in r-4"), Said("launching gpu_1x_a10 in r-4"))
        text = steps.content_of(1010.0).plain
        assert "  no capacity in r-2\n  launching gpu_1x_a10 in r-3\n  no capacity in r-3\n" in text
        assert "launching gpu_1x_a10 in r-4" in text and "r-1" not in text
        steps.show(StepStarted("00-check", 1060.0))
        assert "capacity" not in steps.content_of(1061.0).plain


async def test_steps_of_an_earlier_run_are_done_before(services: FakeServices) -> None:
    """A continued setup says what it did not need to do again; an unknown step is shown by its id."""
    app = LlamaTuiApp(services)
    async with app.run_test():
        steps = StepList(STEPS)
        await app.screen.mount(steps)
        steps.show(StepSkipped("00-check"), StepStarted("55-new", 1.0))
        text = steps.content_of(2.0).plain
        assert "done before" in text
        assert "• 55-new" in text


# ---- the screen


async def test_shows_the_steps_the_log_and_the_cost(services: FakeServices) -> None:
    """While it runs: what is done, what runs, the log as it grows, and the header counts the money."""
    services.go.clear()
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await watched(pilot, await plan_of(services))
        text = await shows(pilot, "• Check the machine", "one line of the setup")
        assert "✓ Launch cpu_4x_general" in text
        assert "PRACTICE, NOTHING IS RENTED" in text
        assert "setting up" in text
        assert not screen.log_pane.follow  # the job itself keeps the copy growing
        services.go.set()
        await until(pilot, lambda: isinstance(app.screen, EndpointScreen))


async def test_a_screen_opened_later_shows_what_happened_before(services: FakeServices) -> None:
    """The job belongs to the app: leaving the screen stops nothing, and coming back misses nothing."""
    services.go.clear()
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await watched(pilot, await plan_of(services))
        await shows(pilot, "• Check the machine")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, SetupScreen))
        await app.push_screen(SetupScreen("demo"))
        await shows(pilot, "✓ Launch cpu_4x_general", "• Check the machine", "one line of the setup")
        assert len(services.deployed) == 1


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_failure_says_why_and_what_helps(services: FakeServices, size: tuple[int, int]) -> None:
    """The sentence, the hint, the keys; a retry goes on with the same plan."""
    services.deploy_error = SetupFailed(f"the disk is full {HOSTILE}", "choose a larger machine")
    app = LlamaTuiApp(services)
    async with app.run_test(size=size, notifications=True) as pilot:
        await watched(pilot, await plan_of(services))
        text = await shows(pilot, "✕ the disk is full [/] [@click=app.quit]x[/] end", "choose a larger machine")
        assert "✕ Check the machine" in text
        assert "\x1b" not in text
        assert "r tries again" in text and "x ends it" in text
        services.deploy_error = None
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, EndpointScreen))
        assert len(services.deployed) == 2


async def test_what_another_process_began_can_be_continued(services: FakeServices) -> None:
    """After a restart of the app: the machine goes on by itself, its log is followed, `c` watches it again."""
    endpoint = await an_endpoint(services, state="setup", ready=None, port=0)
    services.endpoints.log_file(endpoint, "setup").write_text("a line from before\n")
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await app.push_screen(SetupScreen("demo"))
        await shows(pilot, "Nobody watches it from here", "a line from before")
        screen = app.screen
        assert isinstance(screen, SetupScreen) and screen.log_pane.follow
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, EndpointScreen))
        assert [plan.name for plan in services.deployed] == ["demo"]


async def test_what_another_process_finished_opens(services: FakeServices) -> None:
    """The record is looked at once a second."""
    endpoint = await an_endpoint(services, state="setup", ready=None, port=0)
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await app.push_screen(SetupScreen("demo"))
        await shows(pilot, "Nobody watches it from here")
        services.endpoints.change(endpoint.id, state="ready", port=8000)
        await until(pilot, lambda: isinstance(app.screen, EndpointScreen))


async def test_a_failure_of_an_earlier_run_is_shown(services: FakeServices) -> None:
    """The record keeps the sentence."""
    await an_endpoint(services, state="failed", failure=f"step 20-install failed {HOSTILE}", port=0)
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await app.push_screen(SetupScreen("demo"))
        await shows(pilot, "✕ step 20-install failed [/] [@click=app.quit]x[/] end", "r tries again")


async def test_terminating_asks_first(services: FakeServices) -> None:
    """`x` is a question; No leaves it all as it was."""
    services.go.clear()
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await watched(pilot, await plan_of(services))
        await shows(pilot, "• Check the machine")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        assert not services.terminated


async def test_becomes_ready_behind_a_question(services: FakeServices) -> None:
    """A question stays open; the endpoint opens once it is answered."""
    services.go.clear()
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await watched(pilot, await plan_of(services))
        await shows(pilot, "• Check the machine")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        services.go.set()
        await until(pilot, lambda: services.endpoints.find("demo").state == "ready")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, EndpointScreen))


async def test_an_unknown_host_key_is_asked_about(services: FakeServices) -> None:
    """Nothing is trusted unasked; on yes the key is pinned and the setup goes on."""
    services.deploy_error = HostKeyUnknown("box", "SHA256:abc", "box ssh-ed25519 AAAA")
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await watched(pilot, await plan_of(services, "ssh"))
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await shows(pilot, "SHA256:abc")
        assert not services.keys.pinned
        services.deploy_error = None
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, EndpointScreen))
        assert services.keys.pinned == ["box ssh-ed25519 AAAA"]


async def test_an_endpoint_that_is_gone(services: FakeServices) -> None:
    """A name that nobody knows any more is a quiet screen, not a crash."""
    endpoint = await an_endpoint(services, state="setup", port=0)
    services.endpoints.end(endpoint.id, None)
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await app.push_screen(SetupScreen("demo"))
        await shows(pilot, "It has ended")
        await pilot.press("x", "r", "c", "escape")
        await until(pilot, lambda: not isinstance(app.screen, SetupScreen))


async def test_any_terminal_size(services: FakeServices) -> None:
    """Down to one cell and up again."""
    services.go.clear()
    app = LlamaTuiApp(services)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await watched(pilot, replace(await plan_of(services), region=""))
        for width, height in ((1, 1), (20, 6), (200, 60), (80, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
        await shows(pilot, "• Check the machine")
