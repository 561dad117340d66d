"""The app: it owns the jobs, so that they go on whatever screen is open, and it leaves only once money is settled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.theme import Theme
from textual.worker import Worker

from llama_tui.core.errors import LlamaTuiError
from llama_tui.core.events import Event, Output
from llama_tui.core.plan import Plan
from llama_tui.endpoints import Endpoint
from llama_tui.redact import clean
from llama_tui.tui.deploys import Deploy, as_told
from llama_tui.tui.messages import JobEnded, JobEvent

if TYPE_CHECKING:
    from llama_tui.services import Services

THEME = Theme(
    name="llama",
    primary="#d9a441",
    secondary="#7fb0c9",
    accent="#d9a441",
    success="#8fbf7f",
    warning="#e5b567",
    error="#e8746a",
    foreground="#d8dde6",
    background="#11151b",
    surface="#161b23",
    panel="#1e2530",
    dark=True,
    variables={"footer-key-foreground": "#d9a441", "footer-description-foreground": "#9aa5b4"},
)
WARN_SECONDS = 12.0
"""How long a notification of trouble stays."""


class LlamaTuiApp(App[None]):
    """Rent a machine, serve a model on it, ask it, end it."""

    TITLE = "llama-tui"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS: ClassVar[list[tuple[int, str]] | None] = [(0, "-narrow"), (110, "-wide")]

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+q",
            "leave",
            "Quit",
            id="quit",
            tooltip="Leave the app; asks first when something runs",
            priority=True,
        ),
        Binding("question_mark", "help", "Help", key_display="?", id="help", tooltip="Keys of this screen"),
        Binding(
            "ctrl+p", "command_palette", "Commands", id="commands", tooltip="Every command of this screen", show=False
        ),
    ]

    def __init__(self, services: Services, *, open_cloud: str = "") -> None:
        super().__init__()
        self.services = services
        self.open_cloud = open_cloud
        self.deploys: dict[str, Deploy] = {}
        """The last deploy of each name that this process started."""
        self.endings: dict[str, Deploy] = {}
        """The last termination of each name that this process started."""
        self._jobs: dict[str, Worker[None]] = {}
        self.register_theme(THEME)
        self.theme = "llama"

    # ---- jobs

    def start_deploy(self, plan: Plan) -> Deploy:
        """Carry out a plan in the background; one job per name: a running deploy of it is returned as it is."""
        if (known := self.deploys.get(plan.name)) and known.running:
            return known
        deploy = self.deploys[plan.name] = Deploy(plan.name, plan)
        self.endings.pop(plan.name, None)

        async def work() -> JobEnded:
            deploy.endpoint = await self.services.deploy(plan, lambda event: self._tell(deploy, event))
            return JobEnded(plan.name, endpoint=deploy.endpoint)

        self._start(deploy, work())
        return deploy

    def start_terminate(self, endpoint: Endpoint, why: str = "you said so") -> Deploy:
        """End an endpoint in the background; its deploy, if one runs here, is stopped first."""
        if (known := self.endings.get(endpoint.name)) and known.running:
            return known
        ending = self.endings[endpoint.name] = Deploy(endpoint.name, endpoint.plan)
        before = self._jobs.get(endpoint.name)

        async def work() -> JobEnded:
            if before is not None and not before.is_finished:
                before.cancel()
                with contextlib.suppress(Exception):
                    await before.wait()
            current = self.services.endpoints.get(endpoint.id)
            ending.receipt = await self.services.terminate(current, lambda event: self._tell(ending, event), why)
            return JobEnded(endpoint.name, receipt=ending.receipt)

        self._start(ending, work())
        return ending

    def _start(self, job: Deploy, work: Coroutine[Any, Any, JobEnded]) -> None:
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
        if not isinstance(event, Output):
            job.record(event)
            self.post_message(JobEvent(job.name, event))

    @on(JobEvent)
    def _show_event(self, message: JobEvent) -> None:
        for screen in self.screen_stack:
            if show := getattr(screen, "show_event", None):
                show(message.name, message.event)

    @on(JobEnded)
    def _job_ended(self, message: JobEnded) -> None:
        for screen in self.screen_stack:
            if ended := getattr(screen, "job_ended", None):
                ended(message)

    # ---- screens

    def open_endpoint(self, endpoint: Endpoint) -> None:
        """Show an endpoint: to prompt it when it is ready, else its setup."""

    def tell_trouble(self, error: LlamaTuiError) -> None:
        """Show an error as a notification: its sentence, and what to do next."""
        self.notify(
            clean(error.hint), title=clean(error.sentence), severity="error", timeout=WARN_SECONDS, markup=False
        )


def run_app(services: Services, open_cloud: str = "") -> None:
    """Run the app, then close what the services hold open."""

    async def body() -> None:
        try:
            await LlamaTuiApp(services, open_cloud=open_cloud).run_async()
        finally:
            await services.aclose()

    asyncio.run(body())
