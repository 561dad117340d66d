"""What can be rented, as a table: the price, whether the chosen model fits, and where it is to be had now."""

from __future__ import annotations

from typing import ClassVar

from rich.console import JustifyMethod
from rich.text import Text
from textual.widgets import DataTable

from llama_tui.core.advice import Offer
from llama_tui.core.money import dollars
from llama_tui.tui.widgets.status_header import one_line

WHERE_THERE_IS_ROOM = (("users",), ("1st answer", "costs"), ("memory", "GPU"))
"""Columns that a narrow table does without; those that are missed most come first, and some only together."""
NUMBERS = frozenset({"$/h", "memory", "context", "users", "1st answer", "costs"})


def by_use(offers: list[Offer]) -> list[Offer]:
    """What can be had and fits first, then what fits, then the rest; each by price."""
    return sorted(
        offers,
        key=lambda one: (
            not (one.fit and one.fit.fits),
            not one.kind.regions,
            one.kind.price_cents_per_hour,
            one.kind.name,
        ),
    )


def context(tokens: int) -> str:
    """`8192` as `8k`, for a narrow column."""
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


class InstanceTable(DataTable[Text]):
    """Instance types; a row that the model does not fit on is dim and says why."""

    DEFAULT_CSS = """
    InstanceTable { height: 1fr; min-width: 12; background: $background; scrollbar-size-horizontal: 0; }
    InstanceTable > .datatable--header { background: $background; color: $text-muted; text-style: none; }
    """
    HEADINGS: ClassVar[tuple[str, ...]] = (
        "instance type",
        "$/h",
        "GPU",
        "memory",
        "context",
        "users",
        "1st answer",
        "costs",
        "where",
    )

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, cursor_type="row", cell_padding=1)
        self._offers: dict[str, Offer] = {}

    def show(self, offers: list[Offer], chosen: str) -> None:
        """Show these offers, with the cursor on a type; on the first where that is not there."""
        self._offers = {one.kind.name: one for one in by_use(offers)}
        rows = {name: _row(offer) for name, offer in self._offers.items()}
        shown = self._columns(list(rows.values()))
        self.clear(columns=True)
        for heading in shown:
            side: JustifyMethod = "right" if heading in NUMBERS else "left"
            self.add_column(Text(heading, justify=side), key=heading)
        for name, row in rows.items():
            if shown == self.HEADINGS:
                row["where"] = row["at length"]
            self.add_row(*(row[heading] for heading in shown), key=name)
        if chosen in self._offers:
            self.move_cursor(row=list(self._offers).index(chosen))

    def _columns(self, rows: list[dict[str, Text]]) -> tuple[str, ...]:
        """The headings that the width has room for."""
        cells = {
            heading: max([len(heading), *(row[heading].cell_len for row in rows)]) + 2 * self.cell_padding
            for heading in self.HEADINGS
        }
        left_out = [heading for group in WHERE_THERE_IS_ROOM for heading in group]
        room = self.size.width - sum(cells[heading] for heading in self.HEADINGS if heading not in left_out)
        for group in WHERE_THERE_IS_ROOM:
            room -= sum(cells[heading] for heading in group)
            if room < 0:
                break
            left_out = left_out[len(group) :]
        return tuple(heading for heading in self.HEADINGS if heading not in left_out)

    def on_resize(self) -> None:
        """Other columns fit another width."""
        if self._offers:
            self.show(list(self._offers.values()), self.chosen)

    @property
    def chosen(self) -> str:
        """The name of the type under the cursor; empty without one."""
        names = list(self._offers)
        return names[self.cursor_row] if 0 <= self.cursor_row < len(names) else ""

    def offer(self, name: str) -> Offer | None:
        """The offer of a type that is shown."""
        return self._offers.get(name)


def _row(offer: Offer) -> dict[str, Text]:
    """Heading → cell; `at length` is `where` with more words."""
    kind, fit, first = offer.kind, offer.fit, offer.first_answer
    assert fit and first
    count = f"{len(kind.regions)} regions" if len(kind.regions) > 1 else "".join(kind.regions)
    notes = ["cheapest that fits"] * offer.suggested + ["★ the guide's choice"] * offer.guides_choice
    few = len(kind.regions) < (2 if notes else 3)
    regions = ", ".join(kind.regions) if few else count
    cells = {
        "instance type": kind.name + (" ★" if offer.guides_choice else ""),
        "$/h": f"{kind.price_cents_per_hour / 100:.2f}",
        "GPU": str(kind.gpus or "none"),
        "memory": f"{kind.gpu_memory_gib:.0f} GiB" if kind.gpus else f"{kind.memory_gib} GiB RAM",
        "context": context(fit.max_model_len) if fit.fits else "no",
        "users": f"{int(fit.max_concurrency)}" if fit.max_concurrency else "",
        "1st answer": f"{first.minutes:.0f} min" if fit.fits else "",
        "costs": dollars(first.usd) if fit.fits else "",
        "where": (count or "none free") if fit.fits else "too small",
        "at length": " · ".join([regions or "none free now", *notes]) if fit.fits else fit.reason,
    }
    style = "" if fit.fits and kind.regions else "dim"
    return {
        heading: Text(one_line(said), style, justify="right" if heading in NUMBERS else "left")
        for heading, said in cells.items()
    }
