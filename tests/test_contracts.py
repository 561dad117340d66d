"""One test body over every host: over SSH, through a jump host, over practice SSH's likeness, as a subprocess."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llama_tui.core.errors import HostKeyUnknown, HostUnreachable, UsageError
from llama_tui.core.interfaces import Address, Host
from llama_tui.hosts.host_keys import HostKeys
from llama_tui.hosts.local import LocalHost
from llama_tui.hosts.ssh import SshHost
from tests.sshd import Sshd, free_port

HOSTS = [
    "local",
    pytest.param("ssh", marks=pytest.mark.sshd),
    pytest.param("jump", marks=pytest.mark.sshd),
    "practice",
]


class Reached:
    """A host under test, and its home as this computer sees it."""

    def __init__(self, host: Host, home: Path) -> None:
        self.host = host
        self.home = home


@pytest.fixture(params=HOSTS)
async def reached(request: pytest.FixtureRequest, tmp_path: Path, away_from_home: Path) -> AsyncIterator[Reached]:
    if request.param == "local":
        async with LocalHost() as host:
            yield Reached(host, away_from_home)
        return
    if request.param == "practice":
        async for found in practice_machine(tmp_path):
            yield found
        return
    sshd: Sshd = request.getfixturevalue("sshd")
    if request.param == "jump":
        request.getfixturevalue("jump")
    target = "box" if request.param == "jump" else sshd.target
    keys = HostKeys(tmp_path / "known_hosts")
    for _ in range(3):
        try:
            async with SshHost(target, host_keys=keys) as host:
                yield Reached(host, sshd.home)
                return
        except HostKeyUnknown as error:
            keys.pin(error.known_hosts_line)


async def practice_machine(tmp_path: Path) -> AsyncIterator[Reached]:
    """A machine of the practice cloud, launched by the Lambda client."""
    from llama_tui.core.instances import Launch
    from llama_tui.services import Services

    services = Services(state=tmp_path / "state", config=tmp_path / "config.toml")
    cloud = services.cloud("practice")
    id_ = await cloud.launch(Launch("contract", "cpu_4x_general", "us-west-1"))
    try:
        while not (instance := await cloud.instance(id_)) or not instance.ip:
            await asyncio.sleep(0.05)
        for _ in range(100):
            try:
                async with cloud.connect(instance) as host:
                    home = (await host.run("pwd")).stdout.decode().strip()
                    yield Reached(host, Path(home))
                    return
            except HostUnreachable:
                await asyncio.sleep(0.05)
    finally:
        await cloud.terminate(id_)
        while await cloud.instance(id_):
            await asyncio.sleep(0.05)
        await services.aclose()


async def test_run_tells_status_output_and_input(reached: Reached) -> None:
    """Exit status, both outputs apart, standard input to its end, bytes that are no text."""
    done = await reached.host.run("cat; printf '\\377' >&2; exit 3", input=b"in\x00\xfe")
    assert (done.exit_status, done.stdout, done.stderr) == (3, b"in\x00\xfe", b"\xff")
    assert (await reached.host.run("cat")).stdout == b""


async def test_run_brings_all_of_a_large_output(reached: Reached) -> None:
    """A megabyte arrives whole."""
    done = await reached.host.run(f"{sys.executable} -c 'print(\"x\" * 10**6)'")
    assert len(done.stdout) == 10**6 + 1


async def test_a_command_that_takes_too_long_is_given_up(reached: Reached) -> None:
    """The wait has a limit, and the host can be used afterwards."""
    with pytest.raises(HostUnreachable):
        await reached.host.run("sleep 5", timeout=0.3)
    assert (await reached.host.run("echo still here")).stdout == b"still here\n"


async def test_many_commands_at_once(reached: Reached) -> None:
    """More than an SSH server's sessions: they wait for each other."""
    done = await asyncio.gather(*(reached.host.run(f"echo {n}") for n in range(20)))
    assert [int(one.stdout) for one in done] == list(range(20))


async def test_a_growing_file_is_read_from_where_it_was_left(reached: Reached) -> None:
    """Byte exact by offsets; nothing at the end, nothing where there is no file."""
    assert await reached.host.read("log") == b""
    file = reached.home / "log"
    file.write_bytes(b"first\n\xff\xfe")
    assert await reached.host.read("log") == b"first\n\xff\xfe"
    with file.open("ab") as log:
        log.write(b"second\n")
    assert await reached.host.read("log", 8) == b"second\n"
    assert await reached.host.read("log", 15) == b""
    big = os.urandom(700_000)
    file.write_bytes(big)
    got = b""
    while chunk := await reached.host.read("log", len(got)):
        got += chunk
    assert got == big


async def test_what_is_detached_lives_on(reached: Reached) -> None:
    """A command with its outputs redirected does not hold the one that started it."""
    await reached.host.run("nohup sh -c 'sleep 1; echo done >late' >/dev/null 2>&1 </dev/null &", timeout=5)
    limit = asyncio.get_running_loop().time() + 15
    while await reached.host.read("late") != b"done\n":
        assert asyncio.get_running_loop().time() < limit
        await asyncio.sleep(0.05)


async def ask(address: Address) -> str:
    import httpx2

    transport = httpx2.AsyncHTTPTransport(uds=address.uds) if address.uds else None
    async with httpx2.AsyncClient(base_url=address.base_url, transport=transport, trust_env=False) as client:
        return (await client.get("/x")).text


async def test_a_port_of_the_machine_is_reached_from_here(reached: Reached) -> None:
    """By a private socket, by a TCP port of one's choice; a taken port is said."""

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        async with reached.host.forward(server.server_port) as address:
            assert await ask(address) == "hello"
            if address.uds:
                assert Path(address.uds).parent.stat().st_mode & 0o777 == 0o700
        assert not address.uds or not Path(address.uds).exists()
        local = free_port()
        async with reached.host.forward(server.server_port, local) as address:
            assert address == Address(f"http://127.0.0.1:{local}")
            assert await ask(address) == "hello"
            with pytest.raises(UsageError, match=f"port {local} is taken"):
                async with reached.host.forward(server.server_port, local):
                    pass
    finally:
        server.shutdown()
