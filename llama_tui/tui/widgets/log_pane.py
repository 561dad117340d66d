"""The logs of an endpoint: which one, how long it is, where it is kept; searching and filtering it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Input, Static

from llama_tui.core.errors import as_told
from llama_tui.core.events import Event, Output, Said
from llama_tui.endpoints import Endpoint, Source
from llama_tui.tui.widgets.log_view import LogView
from llama_tui.tui.widgets.status_header import one_line

if TYPE_CHECKING:
    from llama_tui.services import Services

OTHER: dict[Source, Source] = {"setup": "server", "server": "setup"}
EMPTY: dict[Source, str] = {
    "setup": "nothing yet: the first step has not begun",
    "server": "nothing yet: the server has not begun",
}
"""What an empty log says."""
NO_LOG = "somebody else runs this server: its log is there"


class LogPane(Vertical):
    """One log of an endpoint, with a line that tells of it, and a field to search it.

    Args:
        services: keep the local copy growing.
        endpoint: whose log; None: not known yet.
        source: `setup` or `server`.
        follow: read the log from the machine; False: someone else in this app does already.
        told: gets what following tells, log lines included.
    """

    DEFAULT_CSS = """
    LogPane {
        height: 1fr;
        #about { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
        #log { height: 1fr; }
        #needle { display: none; height: 1; background: $panel; }
        &.-asking #needle { display: block; }
        &:focus-within #about { background: $primary 25%; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "source", "Other log", id="log.source", tooltip="The setup's log, or the server's"),
        Binding(
            "slash",
            "ask",
            "Search",
            key_display="/",
            id="log.search",
            tooltip="Find a text; n and N go on, & shows only those lines",
        ),
        Binding(
            "ampersand",
            "only",
            "Only found",
            key_display="&",
            show=False,
            id="log.only",
            tooltip="Show only the lines found, or all",
        ),
        Binding("y", "copy_path", "Copy path", show=False, id="log.path", tooltip="Where the log is kept here"),
        Binding("escape", "forget", "Clear search", id="log.forget", tooltip="Forget what was searched for"),
    ]

    endpoint: reactive[Endpoint | None] = reactive(None, init=False)
    source: reactive[Source] = reactive("server", init=False)
    follow: reactive[bool] = reactive(True, init=False)
    view = getters.query_one(LogView)
    needle = getters.query_one("#needle", Input)

    def __init__(
        self,
        services: Services,
        endpoint: Endpoint | None = None,
        *,
        source: Source = "server",
        follow: bool = True,
        told: Callable[[Event], None] | None = None,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self.services = services
        self.set_reactive(LogPane.endpoint, endpoint)
        self.set_reactive(LogPane.source, source)
        self.set_reactive(LogPane.follow, follow)
        self._told = told
        self._trouble = ""
        self._wants_only = False
        self._opened: Path | None = None
        self._followed: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """What it is, the lines, the field."""
        yield Static(id="about", markup=False)
        yield LogView(self._file(), id="log")
        yield Input(placeholder="search: n and N go on, & shows only the lines found", id="needle", compact=True)

    def on_mount(self) -> None:
        """Begin to follow."""
        self._opened = self._file()
        self._open()

    def watch_endpoint(self) -> None:
        """Another endpoint, or the same one with a machine."""
        self._open()

    def watch_source(self) -> None:
        """The other log."""
        self._open()

    def watch_follow(self) -> None:
        """Somebody else follows, or nobody does."""
        self._open()

    def _file(self) -> Path | None:
        return self.services.endpoints.log_file(self.endpoint, self.source) if self.endpoint else None

    def _open(self) -> None:
        if not self.children:
            return
        endpoint = self.endpoint
        self.view.empty = NO_LOG if endpoint and endpoint.cloud == "url" else EMPTY[self.source]
        if (file := self._file()) and file != self._opened:
            self._opened = file
            self.view.open(file)
        machine = endpoint.instance.id if endpoint and endpoint.instance else ""
        wanted = (self._opened, machine, self.follow, endpoint is not None and endpoint.state == "ended")
        if wanted != self._followed:
            self._followed = wanted
            self._trouble = ""
            self._keep_growing()
        self._describe()

    @work(group="follow-log", exclusive=True, exit_on_error=False)
    async def _keep_growing(self) -> None:
        """Copy what the machine writes; the view reads the copy."""
        if not self.follow or self.endpoint is None:
            return
        try:
            await self.services.follow_log(self.endpoint, self.source, self._tell, forever=True)
        except Exception as error:  # noqa: BLE001 — the copy can be read without the machine
            told = as_told(error)
            self._trouble = f"{told.sentence}; {told.hint}" if told.hint else told.sentence
            self._describe()

    def _tell(self, event: Event) -> None:
        if isinstance(event, Said):
            self._trouble = event.text
            self._describe()
        elif isinstance(event, Output) and self._trouble:
            self._trouble = ""
        if self._told:
            self._told(event)

    # ---- what it says of itself

    @on(LogView.Changed)
    def _describe(self) -> None:
        if not self.children:
            return
        view = self.view
        parts: list[tuple[str, str]] = [(self.source, "bold"), (f"  {view.lines.count:,} lines", "")]
        if view.lines.count and not view.following:
            at = f" at {min(view.scroll_offset.y + 1, view.rows):,}, f follows" if not view.lines.needle else ""
            parts.append((f"  paused{at}", "$text-warning"))
        elif view.lines.count:
            parts.append(("  following", "$text-success"))
        if view.lines.needle:
            parts.append(self._found())
        if self._trouble:
            parts.append((f"  {one_line(self._trouble)}", "$text-warning"))
        elif self._opened and not view.lines.needle:
            parts.append((f"  {from_home(self._opened)}", "$foreground-muted"))
        self.query_one("#about", Static).update(Content.assemble(*parts))
        self.refresh_bindings()

    def _found(self) -> tuple[str, str]:
        view = self.view
        rank = view.lines.rank(view.current)
        at = f"{rank:,} of " if rank else ""
        more = "" if view.lines.searched else "…"
        only = ", only these" if view.only_matches else ""
        return (
            f'  "{one_line(view.lines.needle)}": {at}{len(view.lines.matches):,}{more} found{only}',
            "bold $text-warning",
        )

    # ---- what a person does

    def action_source(self) -> None:
        """Setup or server."""
        self.source = OTHER[self.source]

    def action_ask(self) -> None:
        """Open the field."""
        self.add_class("-asking")
        self.needle.value = self.view.lines.needle
        self.needle.focus()

    def action_only(self) -> None:
        """Only the lines found; asks what to find first, when nothing is."""
        if self.view.lines.needle:
            self.view.action_only_matches()
        else:
            self._wants_only = True
            self.action_ask()

    def action_forget(self) -> None:
        """Close the field, or forget what was searched for."""
        if self.has_class("-asking"):
            self._close_field()
        else:
            self.view.search("")

    def _close_field(self) -> None:
        self._wants_only = False
        self.remove_class("-asking")
        self.view.focus()

    @on(Input.Submitted, "#needle")
    def _search(self, event: Input.Submitted) -> None:
        event.stop()
        wants_only = self._wants_only
        self._close_field()
        self.view.search(event.value)
        if wants_only and event.value:
            self.view.action_only_matches()

    def action_copy_path(self) -> None:
        """Copy the path of the local copy."""
        if self._opened:
            self.app.copy_to_clipboard(str(self._opened))
            self.notify(str(self._opened), title="Path copied", markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Esc belongs to the pane only while it has something to close."""
        if action == "forget":
            return self.has_class("-asking") or (self.is_mounted and bool(self.view.lines.needle))
        return True


def from_home(file: Path) -> str:
    """The path of a file, from `~` where it lies there."""
    home = Path.home()
    return f"~/{file.relative_to(home)}" if file.is_relative_to(home) else str(file)
