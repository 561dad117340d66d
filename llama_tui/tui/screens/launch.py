"""Choose a model and a machine, see the plan grow beside them, and start it. Nothing is spent before the last yes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Input, OptionList, Static

from llama_tui.core.advice import offers_of
from llama_tui.core.errors import HostKeyUnknown, LlamaTuiError, as_told
from llama_tui.core.instances import InstanceType
from llama_tui.core.models import Model, find_model
from llama_tui.core.plan import Choices, Limits, Plan, default_name, make_plan
from llama_tui.engines import ENGINES, engine_for
from llama_tui.tui.app import LlamaTuiApp
from llama_tui.tui.screens.confirm import ConfirmScreen
from llama_tui.tui.screens.questions import before_launch, of_host_key
from llama_tui.tui.widgets.instance_table import InstanceTable
from llama_tui.tui.widgets.model_list import ModelList, about
from llama_tui.tui.widgets.plan_view import PlanView
from llama_tui.tui.widgets.status_header import StatusHeader, one_line

ANSWER_SECONDS = 90.0
"""How long a cloud, or a machine of one's own, may take to say what it has."""

TITLES = {
    "practice": "Practice: nothing is rented",
    "lambda": "Lambda Cloud: rented by the minute",
    "local": "This computer: nothing is rented",
}


class LaunchScreen(Screen[None]):
    """The way from a model to a plan to a deploy, on one cloud or one machine."""

    CSS_PATH = "launch.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "f5,ctrl+l", "launch", "Launch", id="launch", key_display="F5", tooltip="Start this plan; asks first"
        ),
        Binding("p", "preflight", "Check", id="preflight", tooltip="Can it succeed? Looks at no cost"),
        Binding("s", "script", "Script", id="script", tooltip="The plan as the shell script that it is"),
        Binding("e", "engine", "Engine", id="engine", tooltip="The next engine for this model", show=False),
        Binding("g", "region", "Region", id="region", tooltip="The next region that has this machine", show=False),
        Binding("l", "limits", "Limits", id="limits", tooltip="When it is to end by itself", show=False),
        Binding("f", "on_failure", "If it fails", id="on-failure", tooltip="Keep the machine, or not", show=False),
        Binding("n", "name", "Name", id="name", tooltip="Name the endpoint"),
        Binding("k", "app.credentials", "Keys", id="launch-keys", tooltip="Keys and tokens: Lambda, Hugging Face"),
        Binding("slash", "filter", "Filter", id="filter", key_display="/", tooltip="Only rows that hold a text"),
        Binding("r", "reload", "Refresh", id="reload", tooltip="Ask again what there is", show=False),
        Binding("escape", "back", "Back", id="launch-back", tooltip="Leave the field, then go back to Home"),
    ]
    app = getters.app(LlamaTuiApp)
    models = getters.query_one(ModelList)
    table = getters.query_one(InstanceTable)
    view = getters.query_one(PlanView)
    named = getters.query_one("#name", Input)
    filter = getters.query_one("#filter", Input)

    def __init__(self, cloud: str, host: str = "") -> None:
        super().__init__()
        self.choices = Choices(model="smollm2-135m", cloud=cloud, host=host)
        self._title = TITLES.get(cloud, f"My own machine: {one_line(host)}")
        self.kinds: list[InstanceType] = []
        self._filters = {"models": "", "table": ""}
        self._filtering = "models"
        self.planned: Plan | None = None
        """The plan for what is chosen now; None while there is none."""
        self._loading = True
        self._trouble: LlamaTuiError | None = None

    @property
    def one_machine(self) -> bool:
        """There is no choice of machines."""
        return self.choices.cloud in ("ssh", "local")

    def compose(self) -> ComposeResult:
        """Models at the left, machines and the plan at the right."""
        yield StatusHeader()
        with Horizontal(id="top"):
            yield Static(self._title, id="title", markup=False)
            yield Static("name", id="name-label")
            yield Input(id="name", compact=True, max_length=32, select_on_focus=True)
        with Horizontal(id="middle"):
            with Vertical(id="left"):
                yield ModelList(id="models")
                yield Static(id="about")
            with Vertical(id="right"):
                yield InstanceTable(id="table")
                yield PlanView(can_focus=True)
        yield Input(id="filter", compact=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show the models at once, and ask for the machines behind them."""
        self.set_class(self.one_machine, "-one-machine")
        if self.one_machine:
            self.view.keys = {"engine": "e"}
        else:
            self.view.keys = {"engine": "e", "region": "g", "if setup fails": "f", "limits": "l"}
            self.view.hidden = frozenset({"name", "model", "machine", "price"})
        try:
            model = find_model(self.app.services.settings.model).name
        except LlamaTuiError:
            model = self.choices.model
        self._show_models(model)
        self.models.focus()
        self.header_of_all()
        self.action_reload()

    def header_of_all(self) -> None:
        """The header tells of what runs already."""
        try:
            self.query_one(StatusHeader).live = tuple(self.app.services.endpoints.live())
        except Exception as error:  # noqa: BLE001 — the record is broken: Home tells more
            self.app.tell_trouble(as_told(error))

    def on_resize(self) -> None:
        """Another width has room for other facts."""
        if self.models.option_count:
            self._show_models(self.choices.model)

    # ---- what there is

    def action_reload(self) -> None:
        """Ask the cloud, or the machine, what there is."""
        self._loading, self._trouble = True, None
        self._show()
        self.run_worker(self._load(), group="types", exclusive=True, exit_on_error=False)

    async def _load(self) -> None:
        everything = Choices(model="", cloud=self.choices.cloud, host=self.choices.host)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self.kinds = [one.kind for one in await self.app.services.types(everything)]
        except HostKeyUnknown as error:
            self._ask_host_key(error)
            self._trouble = error
        except TimeoutError:
            self._trouble = LlamaTuiError("there is no answer", "press r to ask again")
        except Exception as error:  # noqa: BLE001 — said where the plan would be
            self._trouble = as_told(error)
        self._loading = False
        self._show()

    def _ask_host_key(self, error: HostKeyUnknown) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self.app.services.host_keys().pin(error.known_hosts_line)
                self.action_reload()

        asked, facts = of_host_key(error)
        self.app.push_screen(ConfirmScreen(asked, facts, yes="It is"), answered)

    # ---- showing

    @property
    def model(self) -> Model:
        """The model that is chosen."""
        return find_model(self.choices.model)

    def _show_models(self, chosen: str) -> None:
        self.models.show(self._filters["models"], chosen)

    @on(OptionList.OptionHighlighted, "#models")
    def _model_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if not event.option_id:
            return
        self.choices = replace(self.choices, model=event.option_id, instance_type="", region="")
        if (self.choices.engine, self.choices.profile) not in self._engines():
            self.choices = replace(self.choices, engine="", profile="")
        self.named.value = self._free_name()
        self._show()

    def _free_name(self) -> str:
        """The model's name, with a number where an endpoint has it already."""
        name = default_name(self.model)
        with_number, number = name, 2
        try:
            taken = {one.name for one in self.app.services.endpoints.live()}
        except Exception:  # noqa: BLE001 — the record is broken; the deploy will say so
            taken = set()
        while with_number in taken:
            with_number, number = f"{name[:29]}-{number}", number + 1
        return with_number

    def _show(self) -> None:
        """The machines for the chosen model, and the plan for both."""
        model = self.model
        told = about(model)
        if self.kinds and not self.one_machine:
            engine = engine_for(self.choices.engine, model)
            wanted = self._filters["table"].lower()
            kinds = [one for one in self.kinds if wanted in f"{one.name} {one.description} {one.regions}".lower()]
            offers = offers_of(kinds, model, engine, self.choices.profile, self.choices.engine_args)
            told += "\n★ the guide's choice" if any(one.guides_choice for one in offers) else ""
            self.table.show(offers, self.choices.instance_type)
            self.choices = replace(self.choices, instance_type=self.table.chosen)
        self.query_one("#about", Static).update(Content(told))
        self._show_plan()

    @on(DataTable.RowHighlighted, "#table")
    def _type_highlighted(self) -> None:
        if (chosen := self.table.chosen) and chosen != self.choices.instance_type:
            self.choices = replace(self.choices, instance_type=chosen, region="")
            self._show_plan()

    def _show_plan(self) -> None:
        plan, said = None, ""
        if self._loading:
            where = {"ssh": f"connecting to {self.choices.host}", "local": "looking at this computer"}
            said = where.get(self.choices.cloud, "asking what can be had") + " …"
        elif self._trouble:
            said = f"✕ {self._trouble.sentence}\n{self._trouble.hint}\nr: ask again"
        else:
            offer = self.table.offer(self.choices.instance_type)
            try:
                if offer and offer.fit and not offer.fit.fits:
                    said = f"✕ {self.model.name} does not fit on {offer.kind.name}: {offer.fit.reason}\n"
                    said += "choose another machine, or a smaller model"
                else:
                    plan = self._plan()
            except LlamaTuiError as error:
                said = f"✕ {error.sentence}\n{error.hint}"
        self.view.trouble = said
        self.view.plan = self.planned = plan
        self.refresh_bindings()

    def _plan(self) -> Plan:
        """The plan for what is chosen, from what was told at the last look."""
        choices = replace(self.choices, name=self.named.value.strip())
        rents = self.app.services.cloud(choices.cloud, choices.host).rents
        return make_plan(choices, self.model, self.kinds, engine_for(choices.engine, self.model), rents=rents)

    # ---- choosing

    def _engines(self) -> list[tuple[str, str]]:
        """Engine and profile that can serve the chosen model."""
        model = self.model
        names = [one for one in ENGINES.values() if one.name != "llama.cpp" or model.gguf]
        names = [one for one in names if one.name != "vllm" or model.parameters]
        return [(one.name, profile) for one in names for profile in (one.profiles or ("",))]

    def action_engine(self) -> None:
        """The next engine and profile."""
        ways = self._engines()
        plan = self.planned
        now = (plan.engine, plan.profile) if plan else (self.choices.engine, self.choices.profile)
        engine, profile = ways[(ways.index(now) + 1) % len(ways)] if now in ways else ways[0]
        self.choices = replace(self.choices, engine=engine, profile=profile)
        self._show()

    def action_region(self) -> None:
        """The next region that has the chosen machine; after the last one any."""
        offer = self.table.offer(self.choices.instance_type)
        ways = ["", *(offer.kind.regions if offer else ())]
        region = ways[(ways.index(self.choices.region) + 1) % len(ways)] if self.choices.region in ways else ""
        self.choices = replace(self.choices, region=region)
        self._show_plan()

    def action_on_failure(self) -> None:
        """Keep the machine when setup fails, or terminate it."""
        self.choices = replace(
            self.choices, on_failure="keep" if self.choices.on_failure == "terminate" else "terminate"
        )
        self._show_plan()

    def action_limits(self) -> None:
        """Dollars, hours, idle minutes."""
        from llama_tui.tui.screens.limits import LimitsScreen

        self.app.push_screen(LimitsScreen(self.choices.limits), self._limited)

    def _limited(self, limits: Limits | None) -> None:
        if limits is not None:
            self.choices = replace(self.choices, limits=limits)
            self._show_plan()

    def action_script(self) -> None:
        """The plan as rows, or as the script."""
        self.view.script = not self.view.script
        self.set_class(self.view.script, "-script")
        self.view.focus() if self.view.script else self.models.focus()

    def action_preflight(self) -> None:
        """Look whether this plan can succeed."""
        from llama_tui.tui.screens.preflight import PreflightScreen

        self.app.push_screen(PreflightScreen(replace(self.choices, name=self.named.value.strip())))

    def action_name(self) -> None:
        """Name the endpoint."""
        self.named.focus()

    @on(Input.Changed, "#name")
    def _name_typed(self) -> None:
        self._show_plan()

    @on(Input.Submitted, "#name")
    def _name_given(self) -> None:
        (self.models if self.one_machine else self.table).focus()

    def action_filter(self) -> None:
        """Show the field that narrows the list that has the focus."""
        self._filtering = "table" if self.focused is self.table else "models"
        what = "instance types, regions" if self._filtering == "table" else "models, or ORG/REPO/FILE.gguf"
        self.filter.placeholder = f"filter {what}"
        with self.prevent(Input.Changed):
            self.filter.value = self._filters[self._filtering]
        self.filter.display = True
        self.filter.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self._filters[self._filtering] = event.value.strip()
        if self._filtering == "models":
            self._show_models(self.choices.model)
        else:
            self._show()

    @on(Input.Submitted, "#filter")
    def _filter_given(self) -> None:
        self.filter.display = False
        (self.table if self._filtering == "table" else self.models).focus()

    def action_back(self) -> None:
        """Close the script, drop a filter, leave a field; then go back to Home."""
        if self.focused is self.filter:
            self.filter.value = ""
            self._filter_given()
        elif self.view.script:
            self.action_script()
        elif self.focused is self.named:
            self.models.focus()
        else:
            self.dismiss()

    # ---- starting

    @on(OptionList.OptionSelected, "#models")
    def _model_chosen(self) -> None:
        if self.one_machine:
            self.action_launch()
        else:
            self.table.focus()

    @on(DataTable.RowSelected, "#table")
    def action_launch(self) -> None:
        """Decide the plan with what can be had this moment, and ask."""
        if self.planned is not None:
            self.run_worker(self._check(), group="check", exclusive=True, exit_on_error=False)

    async def _check(self) -> None:
        services, title = self.app.services, self.query_one("#title", Static)
        title.update("looking whether it can succeed …")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                plan = await services.plan(replace(self.choices, name=self.named.value.strip()))
                failed = [one for one in await services.preflight(self.choices) if one.state == "failed"]
            # A keyring may wait for a password: not on the loop.
            await asyncio.to_thread(services.secrets_for, plan)
        except TimeoutError:
            self.app.tell_trouble(LlamaTuiError("there is no answer", "try again"))
        except Exception as error:  # noqa: BLE001 — said; nothing was started
            self.app.tell_trouble(as_told(error))
        else:
            asked, details, yes = before_launch(plan)
            if failed:
                from llama_tui.tui.screens.preflight import in_app

                details += [(f"✕ {one.what}", f"{one.detail}; {in_app(one.fix)}") for one in failed]
                yes = f"{yes} all the same"
            self.app.push_screen(ConfirmScreen(asked, details, yes=yes), lambda sure: self._answered(plan, sure))
        title.update(self._title)

    def _answered(self, plan: Plan, sure: bool | None) -> None:
        if not sure:
            return
        from llama_tui.tui.screens.setup import SetupScreen

        self.app.start_deploy(plan)
        self.app.switch_screen(SetupScreen(plan.name))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What does nothing here is not offered."""
        if action in ("region", "on_failure", "limits"):
            return not self.one_machine
        if action in ("launch", "script"):
            return self.planned is not None or None
        return True
