"""What an endpoint was and what it cost, once it is proven gone."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from llama_tui.core.money import Receipt, dollars
from llama_tui.redact import clean
from llama_tui.tui.widgets.plan_view import rows


def receipt_rows(receipt: Receipt) -> list[tuple[str, str]]:
    """A receipt as (label, value) pairs, in the local time of this computer."""
    form = "%Y-%m-%d %H:%M:%S"
    minutes = f"{receipt.minutes} minute{'' if receipt.minutes == 1 else 's'}"
    pairs = [
        ("cloud", receipt.cloud),
        ("machine", f"{receipt.instance_type} in {receipt.region}" if receipt.region else receipt.instance_type),
        ("started", receipt.started.astimezone().strftime(form)),
        ("ended", f"{receipt.ended.astimezone().strftime(form)}, {minutes}"),
        ("cost", _cost(receipt)),
        ("why", receipt.why),
    ]
    return [pair for pair in pairs if pair[1]]


def _cost(receipt: Receipt) -> str:
    if receipt.cloud == "practice":
        return f"nothing; on Lambda about {dollars(receipt.usd)}"
    return f"about {dollars(receipt.usd)}" if receipt.usd else "nothing"


class ReceiptScreen(ModalScreen[None]):
    """The receipt; any of Enter, Esc and q closes it."""

    CSS_PATH = "receipt.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "app.pop_screen", "Close", id="receipt-close", tooltip="Back to the endpoints")
    ]

    def __init__(self, receipt: Receipt) -> None:
        super().__init__()
        self.receipt = receipt

    def compose(self) -> ComposeResult:
        """Title, rows, one button."""
        gone = "forgotten" if self.receipt.cloud == "url" else "gone"
        with Vertical(id="box"):
            yield Static(f"✓ {clean(self.receipt.name)} is {gone}", id="title", markup=False)
            yield Static(rows(receipt_rows(self.receipt)), id="rows")
            yield Button("Close", compact=True, variant="primary", id="close")

    def on_button_pressed(self) -> None:
        """The one button."""
        self.dismiss()
