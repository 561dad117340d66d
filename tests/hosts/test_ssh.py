"""SSH: whom to trust, what is refused, what a person is told. Against a real OpenSSH server."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from llama_tui.core.errors import CredentialRejected, HostKeyChanged, HostKeyUnknown, HostUnreachable
from llama_tui.hosts.host_keys import HostKeys
from llama_tui.hosts.ssh import SshHost
from tests.sshd import Sshd, free_port, generate_key

pytestmark = pytest.mark.sshd


@pytest.fixture
def host_keys(tmp_path: Path) -> HostKeys:
    return HostKeys(tmp_path / "state" / "known_hosts")


async def pinned(target: str, host_keys: HostKeys) -> SshHost:
    """A host whose keys (and those of its jumps) are pinned one after the other, as a person would say yes."""
    for _ in range(3):
        try:
            async with SshHost(target, host_keys=host_keys):
                break
        except HostKeyUnknown as error:
            host_keys.pin(error.known_hosts_line)
    return SshHost(target, host_keys=host_keys)


async def test_an_unknown_machine_is_shown_with_its_fingerprint_and_pinned_on_a_yes(
    sshd: Sshd, host_keys: HostKeys
) -> None:
    """Nothing is trusted unseen; the fingerprint is the one that ssh-keygen prints on the machine."""
    with pytest.raises(HostKeyUnknown) as caught:
        async with SshHost(sshd.target, host_keys=host_keys):
            pass
    shown = subprocess.run(["ssh-keygen", "-lf", sshd.folder / "host_key.pub"], capture_output=True, text=True)
    assert caught.value.fingerprint in shown.stdout
    assert f"--accept-host-key {caught.value.fingerprint}" in caught.value.hint
    host_keys.pin(caught.value.known_hosts_line)
    async with SshHost(sshd.target, host_keys=host_keys) as host:
        assert (await host.run("echo hello")).stdout == b"hello\n"
    assert host_keys.own.stat().st_mode & 0o777 == 0o600


async def test_a_machine_that_is_in_the_persons_known_hosts_is_known(
    sshd: Sshd, host_keys: HostKeys, away_from_home: Path
) -> None:
    """~/.ssh/known_hosts counts, and is not written to."""
    file = away_from_home / ".ssh" / "known_hosts"
    file.write_text(sshd.known_hosts_line() + "\n")
    async with SshHost(sshd.target, host_keys=host_keys) as host:
        assert (await host.run("true")).exit_status == 0
    assert file.read_text() == sshd.known_hosts_line() + "\n"
    assert not host_keys.own.exists()


async def test_a_changed_host_key_is_refused_and_said_plainly(sshd: Sshd, host_keys: HostKeys) -> None:
    """Also where new machines are pinned on first use."""
    other = generate_key(sshd.folder / "another_key").with_suffix(".pub").read_text().split()
    host_keys.pin(f"[127.0.0.1]:{sshd.port} {other[0]} {other[1]}")
    for keys in (host_keys, HostKeys(host_keys.own, trust_new=True)):
        with pytest.raises(HostKeyChanged, match="is not the machine it was"):
            async with SshHost(sshd.target, host_keys=keys):
                pass


async def test_a_machine_that_we_launched_is_pinned_on_first_use_under_its_own_name(
    sshd: Sshd, host_keys: HostKeys
) -> None:
    """Addresses are used again by the cloud, so the key is kept by the machine's name, and forgotten with it."""
    trusting = HostKeys(host_keys.own, trust_new=True)
    async with SshHost(sshd.target, host_keys=trusting, alias="llama-tui-i1"):
        pass
    assert host_keys.own.read_text().startswith("llama-tui-i1 ssh-ed25519 ")
    async with SshHost(sshd.target, host_keys=trusting, alias="llama-tui-i1"):
        pass
    host_keys.forget("llama-tui-i1")
    assert host_keys.own.read_text() == ""


async def test_the_ssh_config_and_its_jump_host_are_honoured(jump: Sshd, sshd: Sshd, host_keys: HostKeys) -> None:
    """An alias with port, user, key and ProxyJump; the jump host's key is checked like every other."""
    with pytest.raises(HostKeyUnknown) as caught:
        async with SshHost("box", host_keys=host_keys):
            pass
    assert caught.value.host == "gate"
    async with await pinned("box", host_keys) as host:
        (sshd.home / "file").write_bytes(b"through the gate")
        assert (await host.run("pwd")).stdout.decode().strip() == str(sshd.home)
        assert await host.read("file") == b"through the gate"
        jump.cut()
        with pytest.raises(HostUnreachable):
            await host.run("true", timeout=20)


async def test_a_key_that_is_not_let_in(sshd: Sshd, host_keys: HostKeys) -> None:
    """The sentence names user and host; the hint is the command that mends it."""
    (sshd.folder / "authorized_keys").write_text("")
    host_keys.pin(sshd.known_hosts_line())
    with pytest.raises(CredentialRejected, match=f"{sshd.user}@127.0.0.1 refused our keys") as caught:
        async with SshHost(sshd.target, host_keys=host_keys):
            pass
    assert "ssh-copy-id" in caught.value.hint


@pytest.mark.parametrize("named", [True, False])
async def test_a_key_with_a_passphrase_is_named(sshd: Sshd, host_keys: HostKeys, ssh_key: Path, named: bool) -> None:
    """A locked key is skipped in silence by SSH; here it is said, with `ssh-add`."""
    ssh_key.unlink()
    Path(f"{ssh_key}.pub").unlink()
    generate_key(ssh_key, "secret words")
    host_keys.pin(sshd.known_hosts_line())
    with pytest.raises(CredentialRejected, match="needs a passphrase") as caught:
        async with SshHost(sshd.target, host_keys=host_keys, identity=ssh_key if named else None):
            pass
    assert f"ssh-add {ssh_key}" in caught.value.hint


async def test_a_machine_that_is_not_there(host_keys: HostKeys) -> None:
    """A closed port and an unknown name: which one, and why."""
    with pytest.raises(HostUnreachable, match=r"127\.0\.0\.1 cannot be reached"):
        async with SshHost(f"127.0.0.1:{free_port()}", host_keys=host_keys):
            pass
    with pytest.raises(HostUnreachable, match=r"no-such-host\.invalid"):
        async with SshHost("no-such-host.invalid", host_keys=host_keys):
            pass


async def test_a_lost_line_is_an_error_at_once(sshd: Sshd, host_keys: HostKeys) -> None:
    """A command that was running when the line was cut does not seem to have ended well."""
    async with await pinned(sshd.target, host_keys) as host:
        running = asyncio.ensure_future(host.run("sleep 60"))
        await host.run("true")
        sshd.cut()
        with pytest.raises(HostUnreachable):
            await asyncio.wait_for(running, 20)


async def test_without_sftp_files_are_read_all_the_same(sshd: Sshd, host_keys: HostKeys) -> None:
    """A server without the subsystem: `tail` does it."""
    (sshd.folder / "sshd_config").write_text(
        (sshd.folder / "sshd_config").read_text().replace("Subsystem", "# Subsystem")
    )
    sshd.stop()
    assert sshd.process is None
    sshd.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", sshd.folder / "sshd_config"])
    (sshd.home / "file").write_bytes(b"0123\xff56789")
    host_keys.pin(sshd.known_hosts_line())
    for _ in range(100):
        try:
            async with SshHost(sshd.target, host_keys=host_keys) as host:
                assert await host.read("file", 4) == b"\xff56789"
                assert await host.read("nowhere") == b""
                return
        except HostUnreachable:
            await asyncio.sleep(0.05)
    raise AssertionError("the server did not come up")
