"""A setup as it goes: its steps with their time, the log under them, and what to do when it fails."""

from __future__ import annotations

from typing import ClassVar

from textual import getters
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from llama_tui.core.errors import HostKeyUnknown, NoCapacity
from llama_tui.core.events import Event, Output
from llama_tui.core.plan import Plan
from llama_tui.endpoints import Endpoint
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.deploys import Deploy, look_up
from llama_tui.tui.messages import JobEnded
from llama_tui.tui.widgets.log_pane import LogPane
from llama_tui.tui.widgets.status_header import StatusHeader, now, one_line
from llama_tui.tui.widgets.step_list import StepList, elapsed

WAIT_HOURS = 3
"""How long to wait for a machine that is sold out."""
LOOK_SECONDS = 1.0
"""Between two looks at the record of endpoints, which other processes write too."""
PREPARING = frozenset({"launching", "booting", "setup"})
"""States in which a setup is under way, here or elsewhere."""


class SetupScreen(Screen[None]):
    """Watches the setup of one endpoint. Leaving it stops nothing.

    Args:
        name: of the endpoint.
    """

    CSS_PATH = "setup.tcss"
    HELP = """
    ## Setup

    The machine does the work; this only watches. Leave with `Esc`, close the app, shut the lid: it goes on there.
    `c` watches again what nobody watches here. A failed setup is tried again with `r`, on the same machine:
    steps that have succeeded are not run again. `x` ends the machine. Where none was to be had, `w` waits for one,
    and launches it then; the waiting, unlike a setup, ends with the app.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "c", "go_on", "Continue", id="setup.continue", tooltip="Watch this setup from here, and go on with it"
        ),
        Binding("r", "again", "Retry", id="setup.retry", tooltip="Try again where it stopped"),
        Binding("w", "wait", "Wait for it", id="setup.wait", tooltip="Launch as soon as one is to be had, for 3 h"),
        Binding("l", "log", "Log", show=False, id="setup.log", tooltip="Go to the log"),
        Binding("x", "terminate", "Terminate", id="setup.terminate", tooltip="End the endpoint; asks first"),
        Binding("escape", "back", "Back", id="setup.back", tooltip="Go back; the setup goes on"),
    ]
    app = getters.app(LlamaTuiApp)
    header = getters.query_one(StatusHeader)
    steps = getters.query_one(StepList)
    log_pane = getters.query_one(LogPane)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.endpoint_name = name
        self._endpoint: Endpoint | None = None
        self._shown: Deploy | None = None
        self._leaving = False

    def compose(self) -> ComposeResult:
        """Steps and, under or beside them, the log."""
        yield StatusHeader(self._look_up())
        with Container(id="body"):
            with VerticalScroll(id="left", can_focus=False):
                yield Static(id="title", markup=False)
                yield StepList(id="steps")
                yield Static(id="outcome", markup=False)
            yield LogPane(self.app.services, self._endpoint, source="setup", follow=False, told=self._read_elsewhere)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show what has happened so far, then go on."""
        self._begin()
        self._look()
        self.log_pane.view.focus()
        self.set_interval(LOOK_SECONDS, self._look)

    def on_screen_resume(self) -> None:
        """Back from a question: it may have become ready meanwhile."""
        if self.is_mounted:
            self._look()

    # ---- what is known

    @property
    def deploy(self) -> Deploy | None:
        """The job of this process, if it started one."""
        return self.app.deploys.get(self.endpoint_name)

    @property
    def running(self) -> bool:
        """It is being set up from here."""
        return self.deploy is not None and self.deploy.running

    @property
    def plan(self) -> Plan | None:
        """What is set up."""
        if self.deploy and self.deploy.plan:
            return self.deploy.plan
        return self._endpoint.plan if self._endpoint else None

    @property
    def failed(self) -> bool:
        """It has failed, and nobody tries again."""
        if self.running:
            return False
        if self.deploy and self.deploy.error:
            return True
        return self._endpoint is not None and self._endpoint.state == "failed"

    @property
    def sold_out(self) -> bool:
        """It has failed because no machine was to be had; nothing was launched."""
        return self.failed and bool(self.deploy and isinstance(self.deploy.error, NoCapacity))

    def _look_up(self) -> Endpoint | None:
        self._endpoint = look_up(self.endpoint_name, self.app.services.endpoints, self.app.deploys)
        return self._endpoint

    # ---- showing it

    def _begin(self) -> None:
        """Show the job of this process from its first event on, or what is known without one."""
        self._shown, plan = self.deploy, self.plan
        began = self._shown.started_at if self._shown else (self._endpoint and self._endpoint.created)
        since = began.timestamp() if began else 0.0
        machine = f"Launch {plan.instance_type.name}" if plan and plan.rents else ""
        self.steps.begin(plan.steps if plan else (), machine=machine, since=since)
        if self._shown:
            self.steps.show(*self._shown.events)
        elif self._endpoint and self._endpoint.instance:
            self.steps.machine_is_there()

    def _look(self) -> None:
        """Read the record, and show what it says."""
        if self._leaving:
            return
        endpoint = self._look_up()
        if self.deploy is not self._shown:
            self._begin()
        self.header.endpoint = endpoint
        if endpoint is not None and endpoint.state == "ready" and not self.running:
            self._show_ready()
            return
        elsewhere = endpoint is not None and endpoint.state in PREPARING and not self.running
        self.log_pane.follow = elsewhere or (self.failed and endpoint is not None and endpoint.instance is not None)
        self.log_pane.endpoint = endpoint
        self._show_title()
        self._show_outcome(elsewhere)
        self.refresh_bindings()

    def _show_title(self) -> None:
        title: list[tuple[str, str]] = [("Setting up ", "$foreground-muted"), (one_line(self.endpoint_name), "bold")]
        if self.running and self.deploy:
            title.append((f"  {elapsed((now() - self.deploy.started_at).total_seconds())}", ""))
        if plan := self.plan:
            what = f"{one_line(plan.model.repo_id)} with {plan.engine} {plan.profile}".rstrip()
            title.append((("\n" if self.has_class("-wide") else "  ") + what, "$foreground-muted"))
        self.query_one("#title", Static).update(Content.assemble(*title))

    def _show_outcome(self, elsewhere: bool) -> None:
        """Why it does not go on, and the keys that help."""
        outcome = self.query_one("#outcome", Static)
        error, endpoint = self.deploy.error if self.deploy else None, self._endpoint
        lines: list[Content] = []
        if self.failed:
            self.steps.stop(failed=True)
            sentence = error.sentence if error else endpoint.failure if endpoint else ""
            lines.append(Content.styled(f"✕ {one_line(sentence) or 'the setup failed'}", "bold $text-error"))
            if error and error.hint and not self.sold_out:
                lines.append(Content.styled(one_line(error.hint), "$text-warning"))
            keys = [("r", " tries again   ")]
            keys += [("w", f" waits for one, {WAIT_HOURS} h at most   ")] if self.sold_out else []
            keys += [("l", " reads the log   ")]
            keys += [("x", " ends it")] if endpoint and endpoint.state != "ended" else []
            lines.append(
                Content.assemble(*(part for key, what in keys for part in ((key, "bold $text-primary"), what)))
            )
        elif elsewhere:
            lines.append(Content.styled("Nobody watches it from here.", "bold $text-warning"))
            note = " watches it and goes on; the machine works meanwhile"
            lines.append(Content.assemble(("c", "bold $text-primary"), note))
        elif endpoint is not None and endpoint.state == "ended":
            lines.append(Content.styled("It has ended.", "bold"))
        elif endpoint is not None and endpoint.state == "ending":
            lines.append(Content.styled("It is being ended.", "bold"))
        outcome.update(Content("\n").join(lines))
        outcome.display = bool(lines)
        outcome.set_class(self.failed, "-failed")

    def _show_ready(self) -> None:
        """It answers: on to the prompt, unless a question is open on top."""
        if self.app.screen is not self:
            return
        from llama_tui.tui.screens.endpoint import EndpointScreen

        self._leaving = True
        self.app.switch_screen(EndpointScreen(self.endpoint_name))

    # ---- what the job tells

    def show_event(self, name: str, event: Event) -> None:
        """The job told something."""
        if name == self.endpoint_name and self.is_mounted and self.running:
            if self.deploy is not self._shown:
                self._begin()  # it has recorded this event already
            else:
                self.steps.show(event)

    def job_ended(self, message: JobEnded) -> None:
        """The job is over: the record says how."""
        if message.name == self.endpoint_name and self.is_mounted:
            self._look()
            if isinstance(message.error, HostKeyUnknown) and self.app.screen is self:
                self._ask_host_key(message.error)

    def _read_elsewhere(self, event: Event) -> None:
        """A setup that another process watches: its steps are in its log."""
        from llama_tui.jobs.set_up import events_of

        if self.running or not isinstance(event, Output) or event.source != "setup":
            return
        self.steps.show(*(step for line in event.lines if (step := events_of(line))))

    # ---- what a person does

    def action_go_on(self) -> None:
        """Carry the plan out from here: what is done stays done."""
        if self.plan:
            self.app.start_deploy(self.plan)
            self._look()

    def action_wait(self) -> None:
        """Look until a machine is to be had, and go on with it."""
        if self.plan:
            self.app.start_deploy(self.plan, wait_seconds=WAIT_HOURS * 3600)
            self._look()

    def action_again(self) -> None:
        """Try again; a machine that nobody has vouched for yet is asked about first."""
        error = self.deploy.error if self.deploy else None
        if isinstance(error, HostKeyUnknown):
            self._ask_host_key(error)
        else:
            self.action_go_on()

    def _ask_host_key(self, error: HostKeyUnknown) -> None:
        from llama_tui.tui.screens.confirm import ConfirmScreen
        from llama_tui.tui.screens.questions import of_host_key

        def answered(yes: bool | None) -> None:
            if yes:
                self.app.services.host_keys().pin(error.known_hosts_line)
                self.action_go_on()

        asked, facts = of_host_key(error)
        self.app.push_screen(ConfirmScreen(asked, facts, yes="It is"), answered)

    def action_log(self) -> None:
        """To the log."""
        self.log_pane.view.focus()

    def action_terminate(self) -> None:
        """Ask whether to end it."""
        if self._endpoint:
            self.app.ask_terminate(self._endpoint)

    def action_back(self) -> None:
        """Go back; what runs goes on."""
        self.app.pop_screen()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        state = self._endpoint.state if self._endpoint else ""
        match action:
            case "go_on":
                return not self.running and not self.failed and state in PREPARING
            case "again":
                return self.failed
            case "wait":
                return self.sold_out
            case "terminate":
                return state not in ("", "ended", "ending")
        return True
