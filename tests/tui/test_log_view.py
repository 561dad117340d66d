"""A log that may be long, may grow, and may hold anything."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from llama_tui.core.errors import HostUnreachable
from llama_tui.core.events import Emit, Said
from llama_tui.endpoints import Endpoint
from llama_tui.tui.widgets.log_lines import LONGEST, LogLines
from llama_tui.tui.widgets.log_pane import LogPane
from llama_tui.tui.widgets.log_view import LogView
from tests.tui.fakes import FakeServices
from tests.tui.given import an_endpoint, shows, until
from tests.tui.screen_text import screen_text


class OnlyLog(App[None]):
    """A log view and nothing else."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.view = LogView(file)
        self.quits = 0

    def compose(self) -> ComposeResult:
        yield self.view

    async def action_quit(self) -> None:
        self.quits += 1


def numbered(count: int) -> str:
    """Lines that say their number."""
    return "".join(f"line {number}\n" for number in range(count))


def read(file: Path) -> LogLines:
    """The lines of a file, read to its end."""
    lines = LogLines(file)
    while lines.look(1.0):
        pass
    return lines


# ---- the lines


def test_lines_of_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    """No file is no line; once it is there, its lines are."""
    file = tmp_path / "server.log"
    lines = read(file)
    assert lines.count == 0
    file.write_bytes(b"one\ntwo")
    lines.look(1.0)
    assert [lines.text(number) for number in range(lines.count)] == ["one", "two"]
    with file.open("ab") as more:
        more.write(b" and a half\nthree\n")
    lines.look(1.0)
    assert [lines.text(number) for number in range(lines.count)] == ["one", "two and a half", "three"]


def test_a_shorter_file_is_read_anew(tmp_path: Path) -> None:
    """A log that was begun again does not show what is no longer in it."""
    file = tmp_path / "server.log"
    file.write_text(numbered(100))
    lines = read(file)
    lines.seek("line")
    lines.look(1.0)
    with file.open("r+") as same:
        same.truncate(0)
        same.write("anew\n")
    lines.look(1.0)
    assert [lines.text(number) for number in range(lines.count)] == ["anew"]
    assert not lines.matches


def test_a_progress_bar_is_what_it_said_last(tmp_path: Path) -> None:
    """Carriage returns redraw a line, also one that is longer than we show."""
    file = tmp_path / "setup.log"
    file.write_bytes(b"10%\r50%\r100%\nwindows\r\n" + b"99% of it\r" * LONGEST + b"done\n")
    lines = read(file)
    assert [lines.text(number) for number in range(lines.count)] == ["100%", "windows", "done"]


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    """A megabyte without a line break is shown by its beginning."""
    file = tmp_path / "server.log"
    file.write_bytes(b"x" * 1_000_000 + b"\nnext\n")
    lines = read(file)
    assert lines.count == 2
    assert len(lines.text(0)) < LONGEST + 10
    assert lines.text(1) == "next"


def test_bad_bytes_escapes_and_secrets_never_pass(tmp_path: Path) -> None:
    """What a server writes is shown, but nothing of it acts, and no token is in it."""
    file = tmp_path / "server.log"
    file.write_bytes(b"a\xff\xfeb\n\x1b]52;c;aGk=\x07copy\x1b[31mred\x1b[0m\nhf_abcdefghijklmnop\n")
    lines = read(file)
    assert lines.text(0) == "a��b"
    assert lines.text(1) == "copyred"
    assert "hf_" not in lines.text(2)


def test_search_finds_what_is_shown(tmp_path: Path) -> None:
    """Also where colours cut the word in two in the file, and not what is only in the file."""
    file = tmp_path / "server.log"
    file.write_bytes(b"an error\nAn Error\n\x1b[31mer\x1b[0mror\nerror\rfine\nStra\xc3\x9fe\n")
    lines = read(file)
    for needle, found in (("error", [0, 1, 2]), ("Error", [1]), ("31m", []), ("straße", [4]), ("nothing", [])):
        lines.seek(needle)
        while lines.look(1.0):
            pass
        assert list(lines.matches) == found, needle


def test_search_goes_on_as_the_log_grows(tmp_path: Path) -> None:
    """A line that comes later is found later, once it has its end."""
    file = tmp_path / "server.log"
    file.write_text(numbered(20_000))
    lines = read(file)
    lines.seek("line 1999")
    while lines.look(0.0):
        pass
    assert list(lines.matches) == [1999, *range(19_990, 20_000)]
    with file.open("a") as more:
        more.write("and line 1999 again")
    lines.look(1.0)
    assert lines.matches[-1] == 19_999
    with file.open("a") as more:
        more.write("\n")
    lines.look(1.0)
    assert lines.matches[-1] == 20_000
    assert lines.match_after(19_999) == 20_000
    assert lines.match_after(20_000) is None
    assert lines.match_before(1999) is None


# ---- the view


async def test_follows_the_end_until_someone_scrolls_up(tmp_path: Path) -> None:
    """The last line is in sight; scrolling up stays there while the log grows; `f` goes on following."""
    file = tmp_path / "server.log"
    file.write_text(numbered(1000))
    app = OnlyLog(file)
    async with app.run_test(size=(40, 12)) as pilot:
        app.view.focus()
        await until(pilot, lambda: "line 999" in screen_text(app))
        await pilot.press("pageup")
        await until(pilot, lambda: not app.view.following)
        before = screen_text(app)
        with file.open("a") as more:
            more.write("one more\n")
        await until(pilot, lambda: app.view.rows == 1001)
        assert screen_text(app).split("\n")[1:5] == before.split("\n")[1:5]
        assert "one more" not in screen_text(app)
        await pilot.press("f")
        await until(pilot, lambda: "one more" in screen_text(app))
        with file.open("a") as more:
            more.write("and another\n")
        await until(pilot, lambda: "and another" in screen_text(app))


async def test_coming_back_to_the_end_follows_again(tmp_path: Path) -> None:
    """By key or by wheel: who sees the end sees it grow."""
    file = tmp_path / "server.log"
    file.write_text(numbered(1000))
    app = OnlyLog(file)
    async with app.run_test(size=(40, 12)) as pilot:
        app.view.focus()
        await until(pilot, lambda: "line 999" in screen_text(app))
        await pilot.press("up", "up", "up")
        await until(pilot, lambda: not app.view.following)
        await pilot.press("down", "down", "down")
        await until(pilot, lambda: app.view.following)
        await pilot.press("home")
        await until(pilot, lambda: "line 0" in screen_text(app) and not app.view.following)
        await pilot.press("end")
        await until(pilot, lambda: "line 999" in screen_text(app) and app.view.following)


async def test_search_goes_round(tmp_path: Path) -> None:
    """`n` and `N` go to the lines found, and round at the ends."""
    file = tmp_path / "server.log"
    file.write_text(numbered(1000))
    app = OnlyLog(file)
    async with app.run_test(size=(40, 12)) as pilot:
        app.view.focus()
        await until(pilot, lambda: app.view.rows == 1000)
        await pilot.press("home")
        app.view.search("line 25")
        await until(pilot, lambda: len(app.view.lines.matches) == 11)
        await pilot.press("n")
        assert app.view.current == 25
        await pilot.press("n")
        assert app.view.current == 250
        await until(pilot, lambda: "line 250" in screen_text(app))
        await pilot.press("N", "N")
        assert app.view.current == 259
        await pilot.press("n")
        assert app.view.current == 25


async def test_only_the_lines_found(tmp_path: Path) -> None:
    """The filter shows nothing but what was found, as the log grows too, and gives the rest back."""
    file = tmp_path / "server.log"
    file.write_text(numbered(1000))
    app = OnlyLog(file)
    async with app.run_test(size=(40, 12)) as pilot:
        app.view.focus()
        app.view.search("77")
        await until(pilot, lambda: app.view.lines.searched and app.view.lines.count == 1000)
        app.view.action_only_matches()
        await pilot.pause()
        assert app.view.rows == 19
        assert "line 977" in screen_text(app)
        assert "line 978" not in screen_text(app)
        with file.open("a") as more:
            more.write("number 77 again\nnot this\n")
        await until(pilot, lambda: "number 77 again" in screen_text(app))
        assert "not this" not in screen_text(app)
        app.view.action_only_matches()
        await until(pilot, lambda: "not this" in screen_text(app))
        app.view.search("never said")
        app.view.action_only_matches()
        await until(pilot, lambda: "no line has that; & shows all" in screen_text(app))


async def test_long_lines_scroll_sideways(tmp_path: Path) -> None:
    """What does not fit is reached with the arrow keys."""
    file = tmp_path / "server.log"
    file.write_text("x" * 60 + " the end of it\n")
    app = OnlyLog(file)
    async with app.run_test(size=(40, 12)) as pilot:
        app.view.focus()
        await until(pilot, lambda: "xxx" in screen_text(app))
        await until(pilot, lambda: app.view.max_scroll_x > 0)
        for _ in range(60):
            await pilot.press("right")
        await until(pilot, lambda: "the end of it" in screen_text(app))


async def test_hostile_lines_are_only_text(tmp_path: Path) -> None:
    """Markup stays as it is written, escape sequences are gone, and a click on it does nothing."""
    file = tmp_path / "server.log"
    file.write_bytes(b"[/] [@click=app.quit]x[/] \x1b]0;title\x07 [red]ERROR[/red]\n" * 5)
    app = OnlyLog(file)
    async with app.run_test(size=(80, 12)) as pilot:
        await until(pilot, lambda: "[@click=app.quit]x[/]" in screen_text(app))
        assert "\x1b" not in screen_text(app)
        assert "title" not in screen_text(app)
        await pilot.click(offset=(20, 0))
        assert app.quits == 0


async def test_any_size(tmp_path: Path) -> None:
    """From one cell to a large terminal, with a log that grows meanwhile."""
    file = tmp_path / "server.log"
    file.write_text(numbered(100))
    app = OnlyLog(file)
    async with app.run_test(size=(80, 24)) as pilot:
        for width, height in ((1, 1), (3, 2), (160, 48), (20, 5)):
            await pilot.resize_terminal(width, height)
            with file.open("a") as more:
                more.write("grown\n")
            await pilot.pause(0.05)
        await until(pilot, lambda: "grown" in screen_text(app))


async def test_marked_text_is_copied_as_it_is_shown(tmp_path: Path) -> None:
    """Dragging the mouse marks lines."""
    file = tmp_path / "server.log"
    file.write_text(numbered(5))
    app = OnlyLog(file)
    async with app.run_test(size=(40, 12)) as pilot:
        await until(pilot, lambda: "line 4" in screen_text(app))
        await pilot.mouse_down(app.view, offset=(1, 1))
        await pilot.hover(app.view, offset=(7, 2))
        await pilot.mouse_up(app.view, offset=(7, 2))
        await pilot.pause()
        assert app.screen.get_selected_text() == "line 1\nline 2"


async def test_a_million_lines_do_not_hold_up_the_screen(tmp_path: Path) -> None:
    """While a long log is read, the loop is never held for long."""
    file = tmp_path / "server.log"
    file.write_text(
        "INFO 11-23 10:00:00 engine.py:42] Avg prompt throughput: 0.0 tokens/s, Running: 0 reqs\n" * 200_000
    )
    app = OnlyLog(file)
    gaps: list[float] = []

    async def beat() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            gaps.append(time.monotonic() - before)

    async with app.run_test(size=(80, 24)) as pilot:
        gaps.clear()
        beating = asyncio.create_task(beat())
        app.view.open(file)
        await until(pilot, lambda: len(gaps) > 2 and app.view.lines.count == 200_000)
        beating.cancel()
    assert sorted(gaps)[-2] < 0.25


# ---- the pane around it


async def pane_of(services: FakeServices, pilot: Pilot[None], text: str, **fields: Any) -> LogPane:
    """The pane of an endpoint with that server log."""
    endpoint = await an_endpoint(services, **fields)
    services.endpoints.log_file(endpoint, "server").write_text(text)
    services.endpoints.log_file(endpoint, "setup").write_text("the setup said this\n")
    pane = LogPane(services, endpoint)  # type: ignore[arg-type]
    await pilot.app.screen.mount(pane)
    pane.view.focus()
    return pane


async def test_one_line_says_which_log_how_long_and_where(services: FakeServices) -> None:
    """The path of the local copy is on the screen; `y` copies it."""
    app = App[None]()
    async with app.run_test(size=(160, 24), notifications=True) as pilot:
        pane = await pane_of(services, pilot, numbered(1234))
        await shows(pilot, "server  1,234 lines  following", "server.log")
        await pilot.press("y")
        await shows(pilot, "Path copied")
        assert app.clipboard == str(pane.view.lines.file)
        await pilot.press("home")
        await shows(pilot, "paused at 1, f follows")


async def test_s_switches_between_the_two_logs(services: FakeServices) -> None:
    """Setup and server, each with its own lines; the search goes with them."""
    async with App[None]().run_test(size=(80, 24)) as pilot:
        await pane_of(services, pilot, numbered(10))
        await shows(pilot, "line 9")
        await pilot.press("s")
        text = await shows(pilot, "the setup said this", "setup  1 lines")
        assert "line 9" not in text
        await pilot.press("s")
        await shows(pilot, "line 9", "server  10 lines")


async def test_searching_from_the_keyboard(services: FakeServices) -> None:
    """`/` asks, Enter finds, `n` goes on, `&` leaves only the lines found, Esc forgets."""
    async with App[None]().run_test(size=(80, 24)) as pilot:
        await pane_of(services, pilot, numbered(1000))
        await shows(pilot, "line 999")
        await pilot.press("slash", *"line 25", "enter")
        await shows(pilot, '"line 25": 11 found')
        await pilot.press("n")
        await shows(pilot, '"line 25": 1 of 11 found')
        await pilot.press("ampersand")
        text = await shows(pilot, "only these", "line 259")
        assert "line 26\n" not in text
        await pilot.press("escape")
        await until(pilot, lambda: "found" not in screen_text(pilot.app))


async def test_filtering_asks_first_what_for(services: FakeServices) -> None:
    """`&` without a search opens the field; Esc closes it and nothing has changed."""
    async with App[None]().run_test(size=(80, 24)) as pilot:
        pane = await pane_of(services, pilot, numbered(1000))
        await shows(pilot, "line 999")
        await pilot.press("ampersand", "escape")
        assert pane.view.has_focus and not pane.view.only_matches
        await pilot.press("ampersand", *"line 7", "enter")
        await shows(pilot, "111 found, only these", "line 799")


async def test_a_machine_that_does_not_answer_is_said(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local copy is still there to read."""

    async def lost(endpoint: Endpoint, source: str, emit: Emit, *, forever: bool) -> None:
        emit(Said("[/] the machine does not answer; trying again in 3 s"))
        raise HostUnreachable("the machine is gone \x1b]0;x\x07", "look at the account")

    monkeypatch.setattr(services, "follow_log", lost)
    async with App[None]().run_test(size=(160, 24)) as pilot:
        await pane_of(services, pilot, numbered(10))
        await shows(pilot, "the machine is gone ; look at the account", "line 9")


async def test_an_empty_log_says_so(services: FakeServices) -> None:
    """Not an empty box."""
    async with App[None]().run_test(size=(80, 24)) as pilot:
        await pane_of(services, pilot, "")
        await shows(pilot, "nothing yet: the server has not begun")


async def test_a_server_at_a_url_has_no_log_here(services: FakeServices) -> None:
    """It is with whoever runs it."""
    adopted = await services.attach("https://example.org", "theirs", None)
    async with App[None]().run_test(size=(80, 24)) as pilot:
        await pilot.app.screen.mount(LogPane(services, adopted))  # type: ignore[arg-type]
        await shows(pilot, "somebody else runs this server: its log is there")
