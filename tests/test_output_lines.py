"""Bytes of a log become whole lines, whatever is in them."""

from llama_tui.hosts.output import Lines


def test_a_line_waits_for_its_end() -> None:
    """Chunks may cut anywhere, also inside a character."""
    lines = Lines()
    assert lines.feed("caf\u00e9".encode()[:4]) == ()
    assert lines.feed("caf\u00e9".encode()[4:] + b"\nnext") == ("café",)
    assert lines.flush() == ("next",)
    assert lines.flush() == ()


def test_a_progress_bar_is_what_it_said_last() -> None:
    """What follows the last carriage return stays; bad UTF-8 is a sign, not an error."""
    assert Lines().feed(b"10%\r50%\r100%\n\xff\xfe\r\n") == ("100%", "\ufffd\ufffd")
