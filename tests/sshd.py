"""A real OpenSSH server on loopback, run from a configuration of its own, as the user who runs the tests."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

START_SECONDS = 15.0
SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/libexec/openssh/sftp-server")

# sshd takes the home folder from the password file and knows no other, so each command is sent there first.
ENTER = """#!/bin/sh
export HOME={home} PIP_CACHE_DIR={pip_cache} PATH={path}
cd "$HOME"
case ${{SSH_ORIGINAL_COMMAND:-}} in
"") exec /bin/sh ;;
*sftp-server*) exec {sftp} ;;
*) exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
Subsystem sftp {sftp}
ForceCommand {folder}/enter
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def generate_key(file: Path, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", file], check=True)
    return file


@dataclass
class Sshd:
    """A running server; `home` is what its commands see as their home."""

    folder: Path
    home: Path
    port: int
    key: Path
    path: str = os.defpath
    process: subprocess.Popen[bytes] | None = None

    @property
    def user(self) -> str:
        return getpass.getuser()

    @property
    def target(self) -> str:
        return f"{self.user}@127.0.0.1:{self.port}"

    def known_hosts_line(self) -> str:
        public = (self.folder / "host_key.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {public[0]} {public[1]}"

    def start(self) -> None:
        sftp = next((path for path in SFTP_SERVERS if Path(path).exists()), "internal-sftp")
        pip_cache = os.environ.get("PIP_CACHE_DIR", "")
        enter = self.folder / "enter"
        enter.write_text(ENTER.format(home=self.home, pip_cache=pip_cache, path=self.path, sftp=sftp))
        enter.chmod(0o700)
        config = self.folder / "sshd_config"
        config.write_text(CONFIG.format(port=self.port, folder=self.folder, sftp=sftp))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        binary = shutil.which("sshd") or "/usr/sbin/sshd"
        log = (self.folder / "sshd.log").open("wb")
        self.process = subprocess.Popen([binary, "-D", "-e", "-f", config], stdout=log, stderr=log)
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError((self.folder / "sshd.log").read_text())

    def cut(self) -> None:
        """Kill the processes that serve connections, as a lost line does."""
        assert self.process
        for child in psutil.Process(self.process.pid).children():
            child.kill()

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


def make_sshd(folder: Path, key: Path) -> Sshd:
    folder.mkdir(parents=True)
    home = folder / "home"
    home.mkdir()
    generate_key(folder / "host_key")
    shutil.copy(f"{key}.pub", folder / "authorized_keys")
    # Commands there find the python3 that runs the tests.
    path = f"{Path(sys.base_prefix) / 'bin'}:{os.defpath}:/usr/sbin"
    return Sshd(folder, home, free_port(), key, path)


@pytest.fixture
def ssh_key(away_from_home: Path) -> Path:
    """A key in ~/.ssh, as a person has one."""
    (away_from_home / ".ssh").mkdir(mode=0o700)
    return generate_key(away_from_home / ".ssh" / "id_ed25519")


@pytest.fixture
def sshd(tmp_path: Path, ssh_key: Path) -> Iterator[Sshd]:
    """A machine to log in to."""
    server = make_sshd(tmp_path / "sshd", ssh_key)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def jump(tmp_path: Path, ssh_key: Path, sshd: Sshd, away_from_home: Path) -> Iterator[Sshd]:
    """A second machine, and an ssh config in which `box` is the first one, reached through it."""
    server = make_sshd(tmp_path / "jump", ssh_key)
    server.start()
    (away_from_home / ".ssh" / "config").write_text(
        f"Host box\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n  ProxyJump gate\n"
        f"Host gate\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n  IdentityFile {ssh_key}\n"
    )
    yield server
    server.stop()
