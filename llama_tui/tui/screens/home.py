"""Where everything begins: four ways to an endpoint, the endpoints there are, and what else runs in the accounts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, cast

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from llama_tui.core.errors import LlamaTuiError, as_told
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.messages import JobEnded
from llama_tui.tui.widgets.status_header import StatusHeader, one_line

if TYPE_CHECKING:
    # What the first frame does not show is loaded after it.
    from llama_tui.core.events import Event
    from llama_tui.core.instances import Instance
    from llama_tui.endpoints import Endpoint
    from llama_tui.tui.widgets.endpoint_table import EndpointTable

ACCOUNT_SECONDS = 30.0
"""How long an account may take to answer."""
LOOK_SECONDS = 1.0
"""Between two looks at the record of endpoints, which other processes write too."""

WAYS: dict[str, tuple[str, str, str]] = {
    "practice": ("1", "Practice", "a pretend Lambda on this computer: nothing is rented"),
    "lambda": ("2", "Lambda Cloud", "a machine by the minute"),
    "own": ("3", "My own machine", "by SSH, or this computer"),
    "url": ("4", "An endpoint URL", "a server that somebody else runs"),
}
"""Way → key, name, what it is."""


@dataclass
class Account:
    """What one cloud account said."""

    cloud: str
    machines: list[Instance] = field(default_factory=list)
    error: LlamaTuiError | None = None


class HomeScreen(Screen[None]):
    """Opens in any state: nothing configured, no network, a cloud that is down."""

    CSS_PATH = "home.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1,p", "way('practice')", "Practice", id="practice", show=False, tooltip="Try it: nothing is rented"),
        Binding(
            "2,l", "way('lambda')", "Lambda Cloud", id="lambda", show=False, tooltip="Rent a machine by the minute"
        ),
        Binding("3,m", "way('own')", "My own machine", id="own", show=False, tooltip="By SSH, or this computer"),
        Binding("4,u", "way('url')", "An endpoint URL", id="url", show=False, tooltip="A server somebody else runs"),
        Binding("k", "app.credentials", "Keys", id="keys", tooltip="Keys and tokens: Lambda, Hugging Face"),
        Binding("tab", "app.focus_next", "Switch", id="switch", tooltip="Between the ways and the endpoints"),
        Binding("r", "refresh_accounts", "Refresh", id="refresh", tooltip="Ask the accounts again"),
        Binding("q", "app.leave", "Quit", id="home-quit", tooltip="Leave the app; asks first when something runs"),
    ]
    app = getters.app(LlamaTuiApp)
    header = getters.query_one(StatusHeader)
    ways = getters.query_one("#ways", OptionList)
    accounts = getters.query_one("#accounts", Static)

    def __init__(self) -> None:
        super().__init__()
        self._accounts: list[Account] | None = None
        self._lambda_key = True
        self._furnished = False
        self._place = True
        """The focus goes to what a person most likely wants next."""

    def compose(self) -> ComposeResult:
        """What the first frame shows: the four ways."""
        yield StatusHeader()
        with VerticalScroll(id="body", can_focus=False):
            yield Static("A new endpoint", classes="heading")
            yield OptionList(*self._options(), id="ways", compact=True)

    def _options(self) -> list[Option]:
        options = []
        for way, (key, name, what) in WAYS.items():
            if way == "lambda" and not self._lambda_key:
                what = "needs your API key: choose this to enter it"
            prompt = Content.assemble((f" {key} ", "bold $text-primary"), f" {name:<17}", (what, "$foreground-muted"))
            options.append(Option(prompt, id=way))
        return options

    def on_mount(self) -> None:
        """Show the four ways at once; everything else comes after the first frame."""
        self.ways.highlighted = 0
        self.call_after_refresh(self._furnish)

    async def _furnish(self) -> None:
        """The endpoints, the accounts, the keys."""
        from textual.widgets import Footer

        from llama_tui.tui.widgets.endpoint_table import EndpointTable

        if not self.is_attached:
            return  # left before it was there
        await self.mount(Footer(show_command_palette=False))
        self.refresh_bindings()  # a footer shows its keys at the first change that it sees
        await self.query_one("#body").mount(
            Static("Endpoints", classes="heading", id="endpoints-heading"),
            EndpointTable(id="endpoints"),
            Static(id="endings"),
            Static("none yet: choose a way above; Practice costs nothing", id="empty"),
            Static(id="trouble", markup=False),
            Static(id="accounts", markup=False),
        )
        self._furnished = True
        self._look()
        self.action_refresh_accounts()
        self.set_interval(LOOK_SECONDS, self._look)

    @property
    def table(self) -> EndpointTable:
        """The endpoints there are."""
        return cast("EndpointTable", self.query_one("#endpoints"))

    def on_screen_resume(self) -> None:
        """Back from another screen: what it did is shown."""
        self._place = self._place or bool(self.app.deploys)
        self.call_after_refresh(self._look)

    # ---- endpoints

    def _look(self) -> None:
        """Read the record of endpoints and show it."""
        if not self._furnished:
            return
        from llama_tui.tui.deploys import all_live

        trouble = self.query_one("#trouble", Static)
        try:
            live = all_live(self.app.services.endpoints, self.app.deploys)
        except Exception as error:  # noqa: BLE001 — a broken record is a line on this screen, not its end
            told = as_told(error)
            trouble.update(Content.assemble((f"✕ {one_line(told.sentence)}\n  ", "$text-error"), one_line(told.hint)))
            trouble.display = True
            self.query_one("#empty").display = False
            return
        trouble.display = False
        self.header.live = tuple(live)
        self.table.show(live)
        endings = [f"◌ {one.name}: {one.said}" for one in self.app.endings.values() if one.running and one.said]
        self.query_one("#endings", Static).update(Content("\n".join(map(one_line, endings))))
        self.query_one("#endings").display = bool(endings)
        self.table.display = bool(live)
        self.query_one("#empty").display = not live
        if self._place:
            self._place = False
            (self.table if live else self.ways).focus()
        elif not live and self.focused is not self.ways:
            self.ways.focus()
        self._show_accounts(live)

    def show_event(self, name: str, event: Event) -> None:
        """A job of an endpoint told something: its row says so."""
        self._look()

    def job_ended(self, message: JobEnded) -> None:
        """A job is over: its endpoint has changed, and so may its account."""
        self._look()
        if message.receipt:
            self.action_refresh_accounts()

    # ---- accounts

    def action_refresh_accounts(self) -> None:
        """Ask the accounts again."""
        self._ask_accounts()

    @work(group="accounts", exclusive=True, exit_on_error=False)
    async def _ask_accounts(self) -> None:
        services = self.app.services
        # A keyring may wait for a password: not on the loop.
        try:
            clouds = await asyncio.to_thread(services.accounts_to_ask)
        except Exception as error:  # noqa: BLE001 — said on the screen
            self._accounts = [Account("accounts", error=as_told(error))]
            self._look()
            return
        if ("lambda" in clouds) != self._lambda_key:
            self._lambda_key = "lambda" in clouds
            highlighted = self.ways.highlighted
            self.ways.set_options(self._options())
            self.ways.highlighted = highlighted
        self._accounts = list(await asyncio.gather(*(self._ask(cloud) for cloud in clouds)))
        self._look()

    async def _ask(self, cloud: str) -> Account:
        try:
            async with asyncio.timeout(ACCOUNT_SECONDS):
                return Account(cloud, await self.app.services.account(cloud))
        except TimeoutError:
            return Account(
                cloud,
                error=LlamaTuiError(f"{cloud} does not answer: what runs there is not known", "press r to ask again"),
            )
        except Exception as error:  # noqa: BLE001 — a cloud that is down is a line, and says that nothing is known
            return Account(cloud, error=as_told(error))

    def _show_accounts(self, live: list[Endpoint]) -> None:
        """What runs and is not ours, and which accounts could not be asked: never an empty list for a failure."""
        from llama_tui.core.instances import GONE

        ours = {one.instance.id for one in live if one.instance}
        parts: list[Content] = []
        for account in self._accounts or ():
            if account.error:
                parts.append(
                    Content.assemble(
                        (f"✕ {one_line(account.cloud)}: {one_line(account.error.sentence)}", "$text-error"),
                        (f"\n  {one_line(account.error.hint)}" if account.error.hint else "", "$foreground-muted"),
                    )
                )
                continue
            strangers = [one for one in account.machines if one.id not in ours and one.status not in GONE]
            if strangers:
                parts.append(
                    Content.styled(
                        f"! {one_line(account.cloud)}: not started by llama-tui on this computer, and costs money",
                        "bold $text-warning",
                    )
                )
            parts += [_machine(one) for one in strangers]
            if not strangers and account.cloud != "practice":
                parts.append(
                    Content.styled(
                        f"{one_line(account.cloud)}: nothing else runs in the account", "$foreground-muted"
                    )
                )
        self.accounts.update(Content("\n").join(parts))
        self.accounts.display = bool(parts)

    # ---- what a person does

    @on(OptionList.OptionSelected, "#ways")
    def _way_chosen(self, event: OptionList.OptionSelected) -> None:
        self.action_way(event.option_id or "")

    def on_data_table_row_selected(self) -> None:
        """Open that endpoint."""
        self.action_open()

    def action_way(self, way: str) -> None:
        """One of the four ways to a new endpoint."""
        self.app.open_way(way)

    def action_open(self) -> None:
        """Open the endpoint under the cursor."""
        if endpoint := self.table.chosen:
            self.app.open_endpoint(endpoint)

    def action_terminate(self) -> None:
        """Ask whether to end the endpoint under the cursor."""
        if endpoint := self.table.chosen:
            self.app.ask_terminate(endpoint)


def _machine(instance: Instance) -> Content:
    from llama_tui.core.money import per_hour

    facts = f"  {one_line(instance.id)}  {one_line(instance.instance_type)}  {one_line(instance.status)}  "
    return Content.assemble(facts, (per_hour(instance.price_cents_per_hour), "bold"))
