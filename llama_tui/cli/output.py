"""What the commands print: stdout is the result, stderr the narration. Everything from outside is cleaned here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from llama_tui.core.errors import LlamaTuiError
from llama_tui.core.events import (
    Event,
    InstanceChanged,
    Output,
    Progress,
    Said,
    StepFinished,
    StepSkipped,
    StepStarted,
    TextDelta,
)
from llama_tui.core.money import Receipt, dollars
from llama_tui.core.plan import Plan
from llama_tui.redact import clean, clean_json

LAST_LINES = 8
"""Log lines shown after a failure."""


def _colour() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _styled(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if _colour() else text


def tell(text: str) -> None:
    """One line of narration."""
    print(clean(text), file=sys.stderr, flush=True)  # noqa: T201


def tell_error(error: LlamaTuiError) -> None:
    """An error: its sentence, and under it what to do next."""
    print(f"{_styled('llama-tui:', '1;31')} {clean(error.sentence)}", file=sys.stderr)  # noqa: T201
    if error.hint:
        print(f"           {clean(error.hint)}", file=sys.stderr, flush=True)  # noqa: T201


def result(text: str, *, end: str = "\n") -> None:
    """A piece of the result, on stdout."""
    print(clean(text), end=end, flush=True)  # noqa: T201


def result_json(value: object, *, pretty: bool = False) -> None:
    """One JSON value of the result, on one line, or laid out to be read."""
    compact = None if pretty else (",", ":")
    text = json.dumps(value, ensure_ascii=False, indent=2 if pretty else None, separators=compact)
    print(clean_json(text), flush=True)  # noqa: T201


def secret_result(text: str) -> None:
    """A line that holds a secret on purpose (`env`): the one way around the cleaning."""
    print(text, flush=True)  # noqa: T201


def table(rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset()) -> None:
    """Rows in columns, the first row being the head; `right` are columns set to the right."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        aligned = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        result("  ".join(aligned).rstrip())


def show_receipt(receipt: Receipt) -> None:
    """A receipt as lines."""
    machine = " ".join(part for part in (receipt.instance_type, receipt.region) if part)
    rows = [
        ("receipt", receipt.name + (", PRACTICE, NOTHING WAS RENTED" if receipt.cloud == "practice" else "")),
        ("machine", f"{machine} ({receipt.cloud})" if machine else receipt.cloud),
        ("started", receipt.started.astimezone().strftime("%Y-%m-%d %H:%M:%S")),
        ("ended", receipt.ended.astimezone().strftime("%Y-%m-%d %H:%M:%S")),
        ("minutes", str(receipt.minutes)),
        ("about", dollars(receipt.usd)),
        ("why", receipt.why),
    ]
    for label, value in rows:
        result(f"{label:<8} {value}")


class Narrator:
    """Shows the events of a deploy on stderr, a line each."""

    def __init__(self, plan: Plan | None, *, verbose: bool = False) -> None:
        self._titles = {step.id: step.title for step in plan.steps} if plan else {}
        self._verbose = verbose
        self._began: dict[str, float] = {}
        self._last: list[str] = []

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Said(text):
                tell(f"· {text}")
            case InstanceChanged(instance):
                address = f" at {instance.ip}" if instance.ip else ""
                tell(f"· the machine is {instance.status}{address}")
            case StepStarted(id, at):
                self._began[id] = at
                if sys.stderr.isatty():
                    tell(f"▸ {self._title(id)}")
            case StepFinished(id, at, exit_status):
                sign = _styled("✓", "32") if exit_status == 0 else _styled("✕", "31")
                line = clean(f"{self._title(id)}  {at - self._began.get(id, at):.0f} s")
                print(f"{sign} {line}", file=sys.stderr, flush=True)  # noqa: T201
                self._began.pop(id, None)
            case StepSkipped(id):
                tell(f"✓ {self._title(id)}  (done before)")
            case Output(source, lines):
                self._last = [*self._last, *lines][-LAST_LINES:]
                if self._verbose:
                    tell("\n".join(f"  {source} | {line}" for line in lines))
            case Progress(phase, detail, _) if self._began:
                tell(f"  {phase}" + (f": {detail}" if detail else ""))
            case Progress():
                pass  # the server's log is read after the step's end: a step that is over makes no progress
            case TextDelta(text):
                result(text, end="")
            case _:
                assert_never(event)

    def _title(self, step_id: str) -> str:
        return self._titles.get(step_id, step_id)

    def last_lines(self) -> None:
        """The end of the log, for a failure."""
        if not self._verbose:
            for line in self._last:
                tell(f"  | {line}")


def as_json(value: object) -> Any:
    """A dataclass as JSON values."""
    import msgspec

    return msgspec.to_builtins(value)
