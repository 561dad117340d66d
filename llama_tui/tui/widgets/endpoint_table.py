"""The endpoints there are, a row each."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from llama_tui.core.money import dollars
from llama_tui.tui.widgets.status_header import STATES, now, one_line, price

if TYPE_CHECKING:
    from llama_tui.endpoints import Endpoint

WIDE = 96
"""From this width of the terminal on the table shows the models too."""
STATE_STYLE = {"ready": "green", "failed": "red"}
"""Of the sign and word; all other states are on the way to something."""


class EndpointTable(DataTable[Text]):
    """Name, state, model, machine, price and what it has cost so far."""

    DEFAULT_CSS = """
    EndpointTable { min-width: 12; background: $background; scrollbar-size-horizontal: 0; }
    EndpointTable > .datatable--header { background: $background; color: $text-muted; text-style: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Open", id="open", tooltip="Prompt it, or watch its setup"),
        Binding("x", "screen.terminate", "Terminate", id="terminate", tooltip="End this endpoint; asks first"),
    ]
    HEADINGS: ClassVar[tuple[str, ...]] = ("name", "state", "model", "machine", "price", "spent")

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, cursor_type="row", cell_padding=1)
        self._endpoints: list[Endpoint] = []
        self._cells: list[list[Text]] = []

    def show(self, endpoints: list[Endpoint]) -> None:
        """Show these endpoints; they are drawn again only when they say something else than before."""
        at = now()
        wide = self.app.size.width >= WIDE
        rows = [_row(one, at) for one in endpoints]
        cells = [
            [cell for cell, heading in zip(row, self.HEADINGS, strict=True) if wide or heading != "model"]
            for row in rows
        ]
        same = cells == self._cells
        chosen = self.chosen
        self._endpoints = endpoints
        if same:
            return
        self._cells = cells
        self.clear(columns=True)
        for heading in self.HEADINGS:
            if heading == "model" and not wide:
                continue
            self.add_column(Text(heading, justify="right" if heading in ("price", "spent") else "left"), key=heading)
        for endpoint, row in zip(endpoints, cells, strict=True):
            self.add_row(*row, key=endpoint.id)
        ids = [one.id for one in endpoints]
        if chosen and chosen.id in ids:
            self.move_cursor(row=ids.index(chosen.id))

    def on_resize(self) -> None:
        """Other columns fit another width."""
        self.show(self._endpoints)

    @property
    def chosen(self) -> Endpoint | None:
        """The endpoint under the cursor."""
        return self._endpoints[self.cursor_row] if 0 <= self.cursor_row < len(self._endpoints) else None


def _row(endpoint: Endpoint, at: datetime) -> list[Text]:
    sign, word, _ = STATES[endpoint.state]
    kind = endpoint.plan.instance_type.name if endpoint.plan else ""
    machine = {"url": endpoint.base_url, "ssh": endpoint.host, "local": "this computer"}.get(endpoint.cloud, kind)
    model = endpoint.plan.model.name if endpoint.plan else endpoint.model
    return [
        Text(one_line(endpoint.name), "bold"),
        Text(f"{sign} {word}", STATE_STYLE.get(endpoint.state, "yellow")),
        Text(one_line(model)),
        Text(one_line(machine)),
        Text(price(endpoint), justify="right"),
        Text(dollars(endpoint.spent_usd(at)) if endpoint.price_cents_per_hour else "", justify="right"),
    ]
