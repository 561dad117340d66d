"""What the commands say of a deploy while it runs."""

import pytest

from llama_tui.cli.output import Narrator
from llama_tui.core.events import Progress, StepFinished, StepStarted


def test_progress_is_told_while_its_step_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The server's log is read a moment after the setup's: what comes after a step's end is not told of the next."""
    narrator = Narrator(None)
    for event in (
        StepStarted("99-ready", 10.0),
        Progress("loading weights"),
        StepFinished("99-ready", 13.0, 0),
        Progress("weights loaded"),
    ):
        narrator(event)
    assert capsys.readouterr().err.splitlines() == ["  loading weights", "✓ 99-ready  3 s"]
