"""A practice machine over SSH: what OpenSSH on an Ubuntu image does, as far as a deploy can tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh
import psutil
import pytest

from tests.practice.conftest import marked
from tests.practice.lambda_http import Api, until
from tests.processes import lives

Connect = Callable[..., Awaitable[asyncssh.SSHClientConnection]]


@pytest.fixture
async def machine(api: Api) -> dict[str, Any]:
    return await api.active(await api.launch())


@pytest.fixture
def connect(api: Api, machine: dict[str, Any], key: asyncssh.SSHKey) -> Connect:
    async def made(**changed: Any) -> asyncssh.SSHClientConnection:
        values = {
            "username": "ubuntu",
            "client_keys": [key],
            "config": [str(api.practice.ssh_config)],
            "known_hosts": None,
            "agent_path": None,
        }
        return await asyncssh.connect(machine["ip"], **values | changed)

    return made


@pytest.fixture
async def ssh(connect: Connect) -> AsyncIterator[asyncssh.SSHClientConnection]:
    async with await connect() as connection:
        yield connection


def home(api: Api, machine: dict[str, Any]) -> Path:
    return api.practice.ssh_config.parent / "machines" / machine["id"] / "home"


async def run(ssh: asyncssh.SSHClientConnection, command: str, **more: Any) -> asyncssh.SSHCompletedProcess:
    return await asyncio.wait_for(ssh.run(command, encoding=None, **more), 20)


async def test_a_command_has_input_output_and_an_exit_status(ssh: asyncssh.SSHClientConnection) -> None:
    """Bytes in, bytes out, both outputs apart."""
    every_byte = bytes(range(256)) * 5000
    done = await run(ssh, "cat; echo oops >&2; exit 7", input=every_byte)
    assert (done.stdout, done.stderr, done.exit_status) == (every_byte, b"oops\n", 7)


async def test_a_shell_reads_its_commands_from_input(ssh: asyncssh.SSHClientConnection) -> None:
    """As `ssh HOST < script` does."""
    process = await ssh.create_process(encoding=None)
    process.stdin.write(b"cd /; pwd\nexit 3\n")
    process.stdin.write_eof()
    done = await asyncio.wait_for(process.wait(), 20)
    assert (done.stdout, done.exit_status) == (b"/\n", 3)


async def test_a_command_that_reads_no_input_is_fine(ssh: asyncssh.SSHClientConnection) -> None:
    """Input that nobody reads ends nothing."""
    assert (await run(ssh, "exec 0<&-; echo done", input=b"x" * 1_000_000)).stdout == b"done\n"


async def test_a_signal_is_reported_by_its_name(ssh: asyncssh.SSHClientConnection) -> None:
    """And one that the client sends arrives."""
    done = await run(ssh, "kill -9 $$")
    assert done.exit_signal[0] == "KILL"
    process = await ssh.create_process("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    assert await process.stdout.readline() == "ready\n"
    process.send_signal("TERM")
    assert (await asyncio.wait_for(process.wait(), 20)).exit_status == 5


async def test_a_terminal_is_not_needed_and_not_refused(ssh: asyncssh.SSHClientConnection) -> None:
    """Asked for one, commands run all the same, and a resized window ends nothing."""
    process = await ssh.create_process("read x; echo got $x", term_type="xterm", term_size=(80, 24), encoding=None)
    process.change_terminal_size(100, 30)
    process.stdin.write(b"it\n")
    done = await asyncio.wait_for(process.wait(), 20)
    assert (done.stdout.replace(b"\r", b""), done.exit_status) == (b"got it\n", 0)


async def test_a_child_in_the_background_does_not_hold_the_answer(ssh: asyncssh.SSHClientConnection) -> None:
    """A shell that ends while a child still holds its output: the status comes shortly after."""
    done = await run(ssh, "echo first; sleep 300 & exit 4")
    assert (done.stdout, done.exit_status) == (b"first\n", 4)


async def test_commands_begin_at_home(ssh: asyncssh.SSHClientConnection, api: Api, machine: dict[str, Any]) -> None:
    """HOME, the working directory and `~` are the machine's folder."""
    where = str(home(api, machine)).encode()
    assert (await run(ssh, 'pwd; echo "$HOME"; echo ~; whoami >/dev/null; echo $USER $LOGNAME $SHELL')).stdout == (
        where + b"\n" + where + b"\n" + where + b"\nubuntu ubuntu /bin/sh\n"
    )


async def test_sftp_begins_at_home_and_reads_a_file_that_grows(
    ssh: asyncssh.SSHClientConnection, api: Api, machine: dict[str, Any]
) -> None:
    """Relative paths resolve there, absolute ones are what they are; a read continues at an offset."""
    log = home(api, machine) / "api_server.log"
    log.write_bytes(b"one\n")
    async with ssh.start_sftp_client() as sftp, sftp.open("api_server.log", "rb") as file:
        assert await file.read(100, 0) == b"one\n"
        with log.open("ab") as growing:
            growing.write(b"two\n")
        assert await file.read(100, 4) == b"two\n"
        assert await file.read(100, 8) == b""
        assert await sftp.realpath(".") == str(home(api, machine).resolve())
        assert await sftp.exists(str(log))
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.stat("nothing")


SERVER = (
    "python3 -c \"import http.server as h, sys; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler); "
    'print(s.server_port, flush=True); s.serve_forever()"'
)


async def test_a_server_on_the_machine_is_reached_by_a_forward(ssh: asyncssh.SSHClientConnection) -> None:
    """Only the machine's own loopback: no other host, no socket, nothing from there to here."""
    server = await ssh.create_process(SERVER)
    port = int(await server.stdout.readline())
    async with await ssh.forward_local_port("127.0.0.1", 0, "127.0.0.1", port) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.get_port())
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 200 OK" in await asyncio.wait_for(reader.readline(), 20)
        writer.close()
    for host in ("192.0.2.1", "example.com", "0.0.0.0"):
        with pytest.raises(asyncssh.ChannelOpenError):
            await asyncio.wait_for(ssh.open_connection(host, port), 5)
    with pytest.raises(asyncssh.ChannelOpenError):
        await ssh.open_unix_connection("/run/docker.sock")
    with pytest.raises(asyncssh.ChannelListenError):
        await ssh.forward_remote_port("127.0.0.1", 0, "127.0.0.1", port)


async def test_what_is_detached_survives_its_client(connect: Connect, api: Api, machine: dict[str, Any]) -> None:
    """And so does a command in the foreground when the line drops, as with OpenSSH."""
    ssh = await connect()
    await run(ssh, "setsid nohup sh -c 'echo $$ >detached; exec sleep 300' >/dev/null 2>&1 </dev/null &")
    await ssh.create_process("echo $$ >foreground; exec sleep 300")
    files = [home(api, machine) / name for name in ("detached", "foreground")]
    await until(lambda: all(file.exists() and file.read_text().strip() for file in files))
    ssh.abort()
    await ssh.wait_closed()
    async with await connect() as again:
        assert (await run(again, "kill -0 $(cat detached) && kill -0 $(cat foreground)")).exit_status == 0


STUBBORN = (
    "setsid nohup python3 -c 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)'"
)


async def test_a_terminated_machine_leaves_no_process_and_no_folder(
    ssh: asyncssh.SSHClientConnection, connect: Connect, api: Api, machine: dict[str, Any]
) -> None:
    """Detached, deaf to TERM, in the background, connected: all end, and only then is it said to be gone."""
    await run(ssh, f"{STUBBORN} >/dev/null 2>&1 </dev/null &")
    await run(ssh, "(sleep 300 & sleep 300) >/dev/null 2>&1 &")
    await ssh.create_process("sleep 300")
    pids = await until(lambda: found if len(found := marked(machine["id"])) >= 4 else None)
    await api.terminate(machine["id"])
    await asyncio.wait_for(ssh.wait_closed(), 5)
    while any(lives(pid) for pid in pids):
        assert (await api.instance(machine["id"]))["status"] == "terminating"
        await asyncio.sleep(0.05)
    await api.gone(machine["id"])
    assert not marked(machine["id"])
    assert not home(api, machine).parent.exists()
    with pytest.raises(OSError):
        await connect(connect_timeout=5)


async def test_a_restart_ends_processes_and_keeps_the_disk(
    ssh: asyncssh.SSHClientConnection, connect: Connect, api: Api, machine: dict[str, Any]
) -> None:
    """The line drops; afterwards it is the same machine with the same host key and nothing running."""
    before = ssh.get_server_host_key()
    await run(ssh, "echo kept >file; setsid nohup sleep 300 >/dev/null 2>&1 </dev/null &")
    pids = await until(lambda: marked(machine["id"]))
    await api.ask("POST", "/instance-operations/restart", {"instance_ids": [machine["id"]]})
    await asyncio.wait_for(ssh.wait_closed(), 10)

    async def answers() -> Any:
        try:
            return await connect()
        except (OSError, asyncssh.Error):
            return None

    async with await until(answers) as again:
        assert (await run(again, "cat file")).stdout == b"kept\n"
        assert again.get_server_host_key() == before
    await until(lambda: not any(lives(pid) for pid in pids))


async def test_only_the_key_of_the_launch_may_log_in(connect: Connect) -> None:
    """And only as ubuntu; no password, no key, no other key."""
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    for changed in ({"client_keys": [stranger]}, {"username": "root"}, {"client_keys": [], "password": "ubuntu"}):
        with pytest.raises(asyncssh.PermissionDenied):
            await connect(**changed)


async def test_two_machines_have_two_host_keys(api: Api, machine: dict[str, Any], key: asyncssh.SSHKey) -> None:
    """Each has an address, a door and a home of its own."""
    other = await api.active(await api.launch())
    config = [str(api.practice.ssh_config)]
    seen = set()
    for one in (machine, other):
        async with asyncssh.connect(
            one["ip"], username="ubuntu", client_keys=[key], config=config, known_hosts=None
        ) as ssh:
            host_key = ssh.get_server_host_key()
            assert host_key
            seen.add((host_key.get_fingerprint(), (await run(ssh, "pwd")).stdout))
    assert len(seen) == 2 and machine["ip"] != other["ip"]
    assert len({fingerprint for fingerprint, _ in seen}) == 2


SECRETS = {
    "LAMBDA_API_KEY": "canary-lambda",
    "HF_TOKEN": "canary-hf",
    "VLLM_API_KEY": "canary-vllm",
    "AWS_SECRET_ACCESS_KEY": "canary-aws",
    "UV_PUBLISH_TOKEN": "canary-uv",
    "SSH_AUTH_SOCK": "/canary-agent",
    "LD_PRELOAD": "",
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_INDEX_URL", "https://wheels.example/simple")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/ca.pem")


@pytest.mark.usefixtures("secrets")
async def test_secrets_of_the_environment_do_not_leak(secrets: None, folder: Path, key: asyncssh.SSHKey) -> None:
    """Nor from the practice process itself; what pip needs for the network is there, and shared caches are."""
    from llama_tui.practice import process

    api = Api(await process.ensure(folder), key.export_public_key().decode())
    await api.add_key()
    machine = await api.active(await api.launch())
    try:
        async with asyncssh.connect(
            machine["ip"], username="ubuntu", client_keys=[key],
            config=[str(api.practice.ssh_config)], known_hosts=None,
            env={"INJECTED": "canary-client"},
        ) as ssh:  # fmt: skip
            done = await run(ssh, "env")
            above = psutil.Process(int((await run(ssh, "echo $PPID")).stdout)).environ()
        assert above and "canary" not in str(above)
        assert b"canary" not in done.stdout and b"LD_PRELOAD" not in done.stdout
        seen = dict(line.split("=", 1) for line in done.stdout.decode().splitlines() if "=" in line)
        assert seen["PIP_INDEX_URL"] == "https://wheels.example/simple"
        assert seen["https_proxy"] == "http://proxy.example:3128"
        assert seen["REQUESTS_CA_BUNDLE"] == "/etc/ssl/ca.pem"
        for name in ("XDG_CACHE_HOME", "UV_CACHE_DIR", "HF_HOME"):
            assert Path(seen[name]).is_relative_to(folder / "cache"), name
        assert seen["PIP_CACHE_DIR"] and seen["LANG"] and seen["TMPDIR"]
    finally:
        await api.terminate(machine["id"])
        await api.gone(machine["id"])
        await api.client.aclose()
