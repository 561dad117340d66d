"""run.sh holds the deploy on the machine: in order, once, whoever is watching or not."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

RUN_SH = Path(__file__).parents[2] / "assets" / "host" / "run.sh"


def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait for a condition, with a limit."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "the condition did not come true"
        time.sleep(0.02)


class Folder:
    """An endpoint's folder with steps in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "steps").mkdir(parents=True)

    def step(self, name: str, script: str) -> None:
        (self.path / "steps" / f"{name}.sh").write_text(script)

    def run(self, verb: str) -> int:
        return subprocess.run(["sh", RUN_SH, verb, self.path]).returncode

    def read(self, name: str) -> str:
        file = self.path / name
        return file.read_text() if file.exists() else ""

    @property
    def finished(self) -> bool:
        return bool(self.read("run.rc"))

    def markers(self) -> list[str]:
        return [line.split(" ", 2)[2] for line in self.read("setup.log").splitlines() if line.startswith("===")]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    # A long path with blanks: `ps` cuts long command lines unless it is told not to.
    made = Folder(tmp_path / ("a long way down " * 8) / "e n d")
    yield made
    made.run("stop")


def test_steps_run_in_order_between_markers(folder: Folder) -> None:
    """Each step's output stands between two marker lines, its exit status in a file of its own."""
    folder.step("10-one", "echo first; printf unfinished")
    folder.step("20-two", "echo second")
    assert folder.run("start") == 0
    until(lambda: folder.finished)
    assert folder.read("run.rc").strip() == "0"
    assert folder.markers() == [
        "run begin",
        "10-one begin",
        "10-one end 0",
        "20-two begin",
        "20-two end 0",
        "run end 0",
    ]
    assert "first\nunfinished\n===" in folder.read("setup.log")


def test_a_failed_step_ends_the_run_and_the_next_run_continues_there(folder: Folder) -> None:
    """What has succeeded is not done again; what is numbered from 90 on always is."""
    folder.step("10-one", "echo one >>done")
    folder.step("20-two", "echo two >>done; [ -e mended ]")
    folder.step("90-server", "echo server >>done")
    folder.run("start")
    until(lambda: folder.finished)
    assert folder.read("run.rc").strip() == "1"
    (folder.path / "mended").touch()
    folder.run("start")
    until(lambda: folder.finished)
    folder.run("start")
    until(lambda: folder.read("done").count("server") == 2)
    assert folder.read("done").split() == ["one", "two", "two", "server", "server"]
    assert "10-one skip" in folder.markers()


def test_a_second_start_joins_the_first(folder: Folder) -> None:
    """Many starts at once: the steps run once."""
    folder.step("10-one", "echo one >>done; while [ ! -e go ]; do sleep 0.02; done")
    starts = [subprocess.Popen(["sh", RUN_SH, "start", folder.path]) for _ in range(8)]
    for start in starts:
        start.wait(10)
    until(lambda: folder.read("done"))
    assert folder.run("start") == 0
    assert folder.run("alive") == 0
    (folder.path / "go").touch()
    until(lambda: folder.finished)
    assert folder.read("done") == "one\n"
    assert folder.markers().count("run begin") == 1


def test_a_run_that_was_killed_is_seen_to_be_dead_and_can_go_on(folder: Folder) -> None:
    """Killed with -9 it leaves no exit status; `alive` says so, and `start` begins at the step that was cut off."""
    folder.step("10-one", "echo one >>done; [ -e go ] || sleep 60")
    folder.run("start")
    until(lambda: folder.read("done") and folder.read("run.pid"))
    os.killpg(int(folder.read("run.pid")), signal.SIGKILL)
    until(lambda: folder.run("alive") != 0)
    assert not folder.finished
    (folder.path / "go").touch()
    folder.run("start")
    until(lambda: folder.finished)
    assert folder.read("done") == "one\none\n"


def test_stop_ends_steps_server_and_children(folder: Folder) -> None:
    """Nothing of an endpoint is left running: not the server, not a child that ignores TERM."""
    folder.step(
        "90-server",
        "nohup sh -c 'trap \"\" TERM; sleep 300 & echo $! >child; wait; sleep 300' "
        ">>api_server.log 2>&1 </dev/null &\n"
        "echo $! >api_server.pid",
    )
    folder.run("start")
    until(lambda: folder.finished and folder.read("child"))
    pids = [int(folder.read("api_server.pid")), int(folder.read("child"))]
    assert folder.run("stop") == 0
    for pid in pids:
        state = subprocess.run(["ps", "-p", str(pid), "-o", "stat="], capture_output=True, text=True).stdout
        assert not state.strip() or state.startswith("Z")


def test_stop_leaves_a_stranger_that_got_the_pid_alone(folder: Folder, tmp_path: Path) -> None:
    """After a reboot a pid may be another process': ours are at work in the endpoint's folder."""
    stranger = subprocess.Popen(["sleep", "300"], cwd=tmp_path, start_new_session=True)
    try:
        for name in ("run.pid", "api_server.pid"):
            (folder.path / name).write_text(f"{stranger.pid}\n")
        assert folder.run("alive") != 0
        assert folder.run("stop") == 0
        assert stranger.poll() is None
        assert not folder.read("api_server.pid")
    finally:
        stranger.kill()
        stranger.wait()


def test_a_secret_is_there_for_its_step_and_gone_after_it(folder: Folder, tmp_path: Path) -> None:
    """A step finds the path of its secret in the environment; the file goes when the step ends, also if it fails."""
    token = tmp_path / "token"
    token.write_text("hf_canary")
    (folder.path / "secrets").mkdir()
    (folder.path / "secrets" / "hf_token").write_text(f"{token}\n")
    folder.step("10-weights", '# needs: hf_token\ncat "$HF_TOKEN_PATH" >seen; exit 7')
    folder.run("start")
    until(lambda: folder.finished)
    assert folder.read("seen") == "hf_canary"
    assert not token.exists()
    assert not list((folder.path / "secrets").iterdir())
    assert folder.read("run.rc").strip() == "7"
    assert "hf_canary" not in folder.read("setup.log")
