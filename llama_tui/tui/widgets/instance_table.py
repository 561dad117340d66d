"""What can be rented, as a table: the price, whether the chosen model fits, and where it is to be had now."""

from __future__ import annotations

from typing import ClassVar

from rich.console import JustifyMethod
from rich.text import Text
from textual.widgets import DataTable

from llama_tui.core.advice import Offer
from llama_tui.core.money import dollars
from llama_tui.tui.widgets.status_header import one_line

WIDE = 84
"""From this width on the table shows memory, GPUs, users and the way to the first answer too."""

WIDE_ONLY = frozenset({"GPU", "memory", "users", "1st answer", "costs"})
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
        wide = self.size.width >= WIDE
        self.clear(columns=True)
        for heading in self.HEADINGS:
            if wide or heading not in WIDE_ONLY:
                side: JustifyMethod = "right" if heading in NUMBERS else "left"
                self.add_column(Text(heading, justify=side), key=heading)
        for name, offer in self._offers.items():
            self.add_row(*_row(offer, wide=wide), key=name)
        if chosen in self._offers:
            self.move_cursor(row=list(self._offers).index(chosen))

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


def _row(offer: Offer, *, wide: bool) -> list[Text]:
    kind, fit, first = offer.kind, offer.fit, offer.first_answer
    assert fit and first
    style = "" if fit.fits and kind.regions else "dim"
    name = Text(one_line(kind.name) + (" ★" if offer.guides_choice else ""), style)
    price = Text(f"{kind.price_cents_per_hour / 100:.2f}", style, justify="right")
    tokens = Text(context(fit.max_model_len) if fit.fits else "no", style, justify="right")
    if not wide:
        count = f"{len(kind.regions)} regions" if len(kind.regions) > 1 else "".join(kind.regions)
        where = (count or "none free") if fit.fits else "too small"
        return [name, price, tokens, Text(one_line(where), style)]
    memory = f"{kind.gpu_memory_gib:.0f} GiB" if kind.gpus else f"{kind.memory_gib} GiB RAM"
    users = f"{int(fit.max_concurrency)}" if fit.max_concurrency else ""
    notes = ["cheapest that fits"] * offer.suggested + ["★ the guide's choice"] * offer.guides_choice
    few = len(kind.regions) < (2 if notes else 3)
    regions = ", ".join(kind.regions) if few else f"{len(kind.regions)} regions"
    where = " · ".join([regions or "none free now", *notes]) if fit.fits else fit.reason
    return [
        name,
        price,
        Text(str(kind.gpus or "none"), style),
        Text(memory, style, justify="right"),
        tokens,
        Text(users, style, justify="right"),
        Text(f"{first.minutes:.0f} min" if fit.fits else "", style, justify="right"),
        Text(dollars(first.usd) if fit.fits else "", style, justify="right"),
        Text(one_line(where), style),
    ]
