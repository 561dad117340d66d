"""The key that opens our machines."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import asyncssh
import pytest
from filelock import FileLock

from llama_tui.clouds import ssh_key
from llama_tui.clouds.ssh_key import SshKey, same_key
from llama_tui.core.errors import CredentialMissing, CredentialRejected

MAKER = """
import sys
from pathlib import Path
from llama_tui.clouds.ssh_key import SshKey
import asyncssh, filelock
print("ready", flush=True)
sys.stdin.readline()
print(SshKey(Path(sys.argv[1])).public(), flush=True)
"""


def ask_for_key(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_make_one_key(tmp_path: Path) -> None:
    """Both need it at the same moment for the first time."""
    both = [ask_for_key(tmp_path) for _ in range(2)]
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    first, second = (one.communicate(timeout=60)[0] for one in both)
    assert first == second
    assert first.startswith("ssh-ed25519 ")


def test_a_key_that_another_process_is_making_is_waited_for(tmp_path: Path) -> None:
    """Two keys under one name would open nothing."""
    other = SshKey(tmp_path / "other")
    folder = tmp_path / "folder"
    folder.mkdir()
    with FileLock(folder / "id_ed25519.lock"):
        waiting = ask_for_key(folder)
        waiting.stdin.write("go\n")
        waiting.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.4)
        line = other.public()
        for name in ("id_ed25519.pub", "id_ed25519"):
            (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    assert waiting.communicate(timeout=60)[0].strip() == line


def test_the_private_half_is_for_its_owner_only(tmp_path: Path) -> None:
    """It fits its public half, and asking again changes nothing."""
    key = SshKey(tmp_path / "folder")
    line = key.public()
    assert stat.S_IMODE(key.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.private.parent.stat().st_mode) == 0o700
    loaded = asyncssh.read_private_key(key.private).export_public_key().decode()
    assert same_key(loaded) == same_key(line)
    assert SshKey(tmp_path / "folder").public() == line


def test_a_half_finished_key_is_made_anew(tmp_path: Path) -> None:
    """A process that died in between leaves no key that cannot open anything."""
    (tmp_path / "id_ed25519.new").write_text("half")
    (tmp_path / "id_ed25519.pub").write_text("ssh-ed25519 AAAAstale x")
    key = SshKey(tmp_path)
    line = key.public()
    assert same_key(asyncssh.read_private_key(key.private).export_public_key().decode()) == same_key(line)


def test_a_key_of_ones_own_is_used_and_never_made(tmp_path: Path) -> None:
    """With the .pub beside it or without; one that is not there is an error."""
    mine = asyncssh.generate_private_key("ssh-ed25519", comment="me@home")
    private = tmp_path / "id_work"
    with pytest.raises(CredentialMissing, match="id_work"):
        SshKey(tmp_path / "folder", private).public()
    mine.write_private_key(private)
    assert same_key(SshKey(tmp_path / "folder", private).public()) == same_key(mine.export_public_key().decode())
    (tmp_path / "id_work.pub").write_text("ssh-ed25519 AAAAbeside me@home\n")
    assert SshKey(tmp_path / "folder", private).public() == "ssh-ed25519 AAAAbeside me@home"
    assert not (tmp_path / "folder").exists()


def test_a_key_behind_a_passphrase_needs_its_public_half(tmp_path: Path) -> None:
    """The hint says how to write it."""
    private = tmp_path / "id_locked"
    locked = asyncssh.generate_private_key("ssh-ed25519").export_private_key("pkcs8-pem", passphrase="xyz")
    private.write_bytes(locked)
    with pytest.raises(CredentialRejected) as rejected:
        SshKey(tmp_path, private).public()
    assert "ssh-keygen -y" in rejected.value.hint


def test_the_name_in_the_account_is_safe_and_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says whose key it is, in characters that every API takes."""
    monkeypatch.setattr(ssh_key.getpass, "getuser", lambda: "jörg [x]")
    monkeypatch.setattr(ssh_key.socket, "gethostname", lambda: "host.example." + "x" * 80)
    name = SshKey(tmp_path).name
    assert name.startswith("llama-tui-j-rg-x-host-example-xxx")
    assert len(name) == 64
