"""The app: it owns the jobs, so that they go on whatever screen is open, and it leaves only once money is settled."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual._callback import invoke
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.worker import Worker

from llama_tui.core.errors import LlamaTuiError
from llama_tui.redact import clean
from llama_tui.tui.messages import JobEnded, JobEvent
from llama_tui.tui.theme import THEME

if TYPE_CHECKING:
    # What a first frame does not show is loaded after it.
    from llama_tui.core.events import Event
    from llama_tui.core.money import Receipt
    from llama_tui.core.plan import Plan
    from llama_tui.endpoints import Endpoint
    from llama_tui.services import Services
    from llama_tui.tui.deploys import Deploy
    from llama_tui.tui.limits import LimitWatch

WARN_SECONDS = 12.0
"""How long a notification of trouble stays."""
LIMITS_SECONDS = 60.0
"""Between two looks at the limits of what runs. A look is never the first thing: who opens the app sees it first."""
CLEAN_UP_SECONDS = 10.0
"""How long the clean-up of one job may take when the app is left."""


class LlamaTuiApp(App[None]):
    """Rent a machine, serve a model on it, ask it, end it."""

    TITLE = "llama-tui"
    # Textual loads a screen's own file when it is pushed; the first screen never is.
    CSS_PATH = ["app.tcss", "screens/home.tcss"]  # noqa: RUF012 — as Textual declares it
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 — as Textual declares it

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+q",
            "leave",
            "Quit",
            id="quit",
            tooltip="Leave the app; asks first when something runs",
            priority=True,
            show=False,
        ),
        Binding("question_mark", "help", "Help", key_display="?", id="help", tooltip="Keys of this screen"),
        Binding(
            "ctrl+p", "command_palette", "Commands", id="commands", tooltip="Every command of this screen", show=False
        ),
    ]

    def __init__(self, services: Services | Callable[[], Services], *, open_cloud: str = "") -> None:
        super().__init__()
        self._services = services
        self.open_cloud = open_cloud
        self.deploys: dict[str, Deploy] = {}
        """The last deploy of each name that this process started."""
        self.endings: dict[str, Deploy] = {}
        """The last termination of each name that this process started."""
        self._jobs: dict[str, Worker[None]] = {}
        self._leaving = False
        self.register_theme(THEME)
        self.theme = "llama"

    @cached_property
    def services(self) -> Services:
        """What the app starts jobs through; built when it is first needed, which is after the first frame."""
        return self._services() if callable(self._services) else self._services

    def get_default_screen(self) -> Screen[None]:
        """Home."""
        from llama_tui.tui.screens.home import HomeScreen

        return HomeScreen()

    def on_mount(self) -> None:
        """Leave cleanly when the terminal or the system says so; take over the keys of config.toml."""
        for name in (signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(name, self.exit)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        gc.freeze()  # what is loaded by now stays: no look at it again
        gc.enable()
        try:
            keys = self.services.settings.keys
        except LlamaTuiError as error:
            self.tell_trouble(error)
        else:
            self._remap(keys)
        self.set_interval(LIMITS_SECONDS, self._look_at_limits)
        if self.open_cloud:
            self.open_way(self.open_cloud)

    @cached_property
    def _limits(self) -> LimitWatch:
        from llama_tui.tui.limits import LimitWatch

        return LimitWatch(self)

    def _look_at_limits(self) -> None:
        """Beside everything else: a machine may take its time to say whether it is idle."""
        if not self._leaving:
            self.run_worker(self._limits.look(datetime.now(UTC)), group="limits", exit_on_error=False)

    def _remap(self, keys: dict[str, str]) -> None:
        """Keys of a person's own; what cannot be meant is said, and left out."""
        from llama_tui.tui.keys import checked

        keymap, trouble = checked(keys)
        if keymap:
            self.set_keymap(keymap)
        if trouble:
            said = clean("\n".join(trouble))
            self.notify(said, title="[keys] in config.toml", severity="warning", timeout=WARN_SECONDS, markup=False)

    def _fatal_error(self) -> None:
        # Textual's own shows local variables, and a local may be a secret.
        import rich
        from rich.segment import Segments
        from rich.traceback import Traceback

        self.bell()
        traceback = Traceback(show_locals=False, width=None, suppress=[rich])
        self._exit_renderables.append(Segments(self.console.render(traceback, self.console.options)))
        self._close_messages_no_wait()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every action of the screens that are open, by its name; then Textual's own."""
        for node, binding, enabled, tooltip in screen.active_bindings.values():
            if binding.id and enabled and binding.id not in ("commands",) and binding.description:
                yield SystemCommand(
                    binding.description,
                    tooltip or binding.description,
                    partial(self._run_binding, binding.action, node),
                )
        for command in super().get_system_commands(screen):
            if command.title not in ("Quit", "Keys"):
                yield command

    async def _run_binding(self, action: str, node: DOMNode) -> None:
        await self.run_action(action, node)

    # ---- jobs

    def start_deploy(self, plan: Plan, *, wait_seconds: float = 0.0) -> Deploy:
        """Carry out a plan in the background, or wait for its machine first; one job per name at a time."""
        if (known := self.deploys.get(plan.name)) and known.running:
            return known
        from llama_tui.tui.deploys import Deploy

        deploy = self.deploys[plan.name] = Deploy(plan.name, plan, waits=wait_seconds > 0)
        self.endings.pop(plan.name, None)

        async def work() -> JobEnded:
            deploy.endpoint = await self.services.deploy_where_possible(
                None, plan, lambda event: self._tell(deploy, event), wait_seconds=wait_seconds
            )
            if deploy.waits:
                self.bell()
            return JobEnded(plan.name, endpoint=deploy.endpoint)

        self._start(deploy, work())
        return deploy

    def start_terminate(self, endpoint: Endpoint, why: str = "you said so") -> Deploy:
        """End an endpoint in the background; its deploy, if one runs here, is stopped first."""
        if (known := self.endings.get(endpoint.name)) and known.running:
            return known
        from llama_tui.tui.deploys import Deploy

        ending = self.endings[endpoint.name] = Deploy(endpoint.name, endpoint.plan)
        before, deploy = self._jobs.get(endpoint.name), self.deploys.get(endpoint.name)
        waited = deploy is not None and deploy.waits and deploy.running

        async def work() -> JobEnded:
            if before is not None and not before.is_finished:
                before.cancel()
                with contextlib.suppress(Exception):
                    await before.wait()
            find, get = self.services.endpoints.find, self.services.endpoints.get
            # Each attempt of a wait for a machine is another endpoint of the name.
            current = find(endpoint.name, ended=True) if waited else get(endpoint.id)
            if waited and current.state == "ended":
                self.notify("no machine was launched", title=current.name, markup=False)
                return JobEnded(endpoint.name)
            ending.receipt = await self.services.terminate(current, lambda event: self._tell(ending, event), why)
            return JobEnded(endpoint.name, receipt=ending.receipt)

        self._start(ending, work())
        return ending

    def _start(self, job: Deploy, work: Coroutine[Any, Any, JobEnded]) -> None:
        from llama_tui.core.errors import as_told

        async def body() -> None:
            try:
                ended = await work
            except Exception as error:  # noqa: BLE001 — a job never takes the app down with it
                job.error = as_told(error)
                ended = JobEnded(job.name, error=job.error)
            finally:
                job.running = False
            self.post_message(ended)

        self._jobs[job.name] = self.run_worker(body(), group=f"deploy-{job.name}", exit_on_error=False)

    def _tell(self, job: Deploy, event: Event) -> None:
        if job.record(event):
            self.post_message(JobEvent(job.name, event))

    @on(JobEvent)
    def _show_event(self, message: JobEvent) -> None:
        for screen in self.screen_stack:
            if show := getattr(screen, "show_event", None):
                show(message.name, message.event)

    @on(JobEnded)
    async def _job_ended(self, message: JobEnded) -> None:
        from llama_tui.tui.screens.quit import QuitScreen
        from llama_tui.tui.screens.receipt import ReceiptScreen

        quitting = any(isinstance(screen, QuitScreen) for screen in self.screen_stack)
        for screen in list(self.screen_stack):
            if ended := getattr(screen, "job_ended", None):
                await invoke(ended, message)
        if self._leaving or quitting:
            return
        if message.receipt:
            self.push_screen(ReceiptScreen(message.receipt))
        elif message.error and (message.name in self.endings or len(self.screen_stack) == 1):
            self.tell_trouble(message.error)
        elif message.endpoint and len(self.screen_stack) == 1:
            self.notify("Enter opens it", title=f"{message.name} is ready", markup=False)

    # ---- screens

    def open_way(self, way: str) -> None:
        """One of the four ways to a new endpoint: `practice`, `lambda`, `own`, `url`."""
        match way:
            case "own":
                from llama_tui.tui.screens.own_machine import OwnMachineScreen

                self.push_screen(OwnMachineScreen(), self._launch_on)
            case "url":
                from llama_tui.tui.screens.endpoint_url import EndpointUrlScreen

                self.push_screen(EndpointUrlScreen(), self._open_adopted)
            case "lambda":
                self.run_worker(self._open_lambda(), group="open-lambda", exclusive=True, exit_on_error=False)
            case _:
                self._open_launch(way)

    async def _open_lambda(self) -> None:
        """To the machines; without a key to the place where one is entered first."""
        from llama_tui import credentials
        from llama_tui.tui.screens.credentials import CredentialsScreen

        if not await asyncio.to_thread(credentials.find, "lambda"):
            self._credentials_left(await self.push_screen_wait(CredentialsScreen()))
        if await asyncio.to_thread(credentials.find, "lambda"):
            self._open_launch("lambda")

    def action_credentials(self) -> None:
        """Keys and tokens; the accounts are asked anew when something changed."""
        from llama_tui.tui.screens.credentials import CredentialsScreen

        self.push_screen(CredentialsScreen(), self._credentials_left)

    def _credentials_left(self, changed: bool | None) -> None:
        refresh = getattr(self.screen, "action_refresh_accounts", None) or getattr(self.screen, "action_reload", None)
        if changed and refresh:
            refresh()

    def _launch_on(self, host: str | None) -> None:
        if host is not None:
            self._open_launch("ssh" if host else "local", host)

    def _open_adopted(self, adopted: Endpoint | None) -> None:
        if adopted is not None:
            self.open_endpoint(adopted)

    def _open_launch(self, cloud: str, host: str = "") -> None:
        from llama_tui.tui.screens.launch import LaunchScreen

        self.push_screen(LaunchScreen(cloud, host))

    def open_endpoint(self, endpoint: Endpoint) -> None:
        """Show an endpoint: to prompt it when it is ready, else its setup."""
        if endpoint.state == "ready":
            from llama_tui.tui.screens.endpoint import EndpointScreen

            self.push_screen(EndpointScreen(endpoint.name))
        else:
            from llama_tui.tui.screens.setup import SetupScreen

            self.push_screen(SetupScreen(endpoint.name))

    def ask_terminate(self, endpoint: Endpoint) -> None:
        """Ask whether to end an endpoint; on yes it ends in the background, and Home shows how far it is."""
        from llama_tui.tui.screens.confirm import ConfirmScreen
        from llama_tui.tui.screens.questions import before_end

        asked, details = before_end(endpoint)

        def answered(yes: bool | None) -> None:
            if yes:
                self.go_home()
                self.start_terminate(endpoint)

        self.push_screen(ConfirmScreen(asked, details, yes="Terminate", danger=True), answered)

    def go_home(self) -> None:
        """Close every screen above Home."""
        while len(self.screen_stack) > 1:
            self.pop_screen()

    def tell_trouble(self, error: LlamaTuiError) -> None:
        """Show an error as a notification: its sentence, and what to do next."""
        self.notify(
            clean(error.hint), title=clean(error.sentence), severity="error", timeout=WARN_SECONDS, markup=False
        )

    # ---- leaving

    def action_leave(self) -> None:
        """Quit; while something runs or costs money, ask first."""
        from llama_tui.tui.deploys import all_live, may_cost, waiting
        from llama_tui.tui.screens.quit import QuitScreen

        if isinstance(self.screen, QuitScreen):
            return
        try:
            live = all_live(self.services.endpoints, self.deploys)
        except LlamaTuiError:
            live = []
        busy = {job.name for job in (*self.deploys.values(), *self.endings.values()) if job.running}
        if running := [one for one in live if one.name in busy or may_cost(one, self.services.endpoints)]:
            self.push_screen(QuitScreen(running, waiting(running, self.deploys)))
        else:
            self.run_worker(self.leave_now(), group="leave", exit_on_error=False)

    async def action_quit(self) -> None:
        """Textual's own quit is ours."""
        self.action_leave()

    async def leave_now(self) -> None:
        """Stop watching, let every job finish its clean-up, print what was ended here, and exit."""
        if self._leaving:
            return
        self._leaving = True
        for worker in self._jobs.values():
            worker.cancel()
        for worker in self._jobs.values():
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLEAN_UP_SECONDS):
                    await worker.wait()
        receipts = [job.receipt for job in self.endings.values() if job.receipt]
        self.exit(message="\n".join(map(_receipt_line, receipts)) or None)


def _receipt_line(receipt: Receipt) -> str:
    from llama_tui.core.money import dollars

    cost = "nothing was rented" if receipt.cloud == "practice" else f"about {dollars(receipt.usd)}"
    return f"{clean(receipt.name)} is gone: {receipt.minutes} min, {cost}"


def run_app(services: Callable[[], Services], open_cloud: str = "") -> None:
    """Run the app, then close what its services hold open."""

    async def body() -> None:
        app = LlamaTuiApp(services, open_cloud=open_cloud)
        try:
            await app.run_async()
        finally:
            await app.services.aclose()

    asyncio.run(body())
