"""The practice process: one for a folder, started when needed, killed without loss, gone when nobody needs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from llama_tui.core.errors import CloudRefused
from llama_tui.practice import process
from tests.practice.conftest import marked, pid_of
from tests.practice.lambda_http import Api, until
from tests.processes import lives, processes_with

ENSURE = """
import asyncio, sys
from pathlib import Path
from llama_tui.practice.process import ensure
print(asyncio.run(ensure(Path(sys.argv[1]), linger=0.5, idle=3)).url)
"""


def practice_processes(folder: Path) -> list[int]:
    return processes_with("llama_tui.practice", str(folder))


async def connect(api: Api, instance: dict[str, Any], key: asyncssh.SSHKey) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        instance["ip"], username="ubuntu", client_keys=[key], config=[str(api.practice.ssh_config)], known_hosts=None
    )


async def test_clients_at_once_start_one(folder: Path) -> None:
    """Four commands in the same second get the same cloud."""
    clients = [
        subprocess.Popen([sys.executable, "-c", ENSURE, str(folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    urls = {(await asyncio.to_thread(client.communicate))[0] for client in clients}
    assert len(urls) == 1
    assert len(practice_processes(folder)) == 1
    pid = pid_of(folder)
    await until(lambda: not lives(pid))  # --idle


async def test_two_processes_never_serve_one_folder(api: Api, folder: Path) -> None:
    """Whoever starts a second one by hand is told that there is one."""
    command = [sys.executable, "-m", "llama_tui.practice", str(folder)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "runs already" in done.stderr
    assert "Traceback" not in done.stderr
    await api.ask("GET", "/instances")


async def test_killed_and_picked_up(api: Api, folder: Path, key: asyncssh.SSHKey) -> None:
    """After kill -9 the next client finds the same machine: address, host key, files, processes."""
    before = await api.active(await api.launch())
    async with await connect(api, before, key) as ssh:
        host_key = ssh.get_server_host_key()
        await ssh.run("setsid nohup sleep 300 >/dev/null 2>&1 </dev/null & echo here >file")
    running = await until(lambda: marked(before["id"]))
    os.kill(pid_of(folder), signal.SIGKILL)
    found = await process.ensure(folder)
    assert found.key == api.practice.key
    again = Api(found)
    after = await again.active(before["id"])
    assert after == before
    assert [one["name"] for one in await again.ask("GET", "/ssh-keys")] == ["mine"]

    async def answers() -> Any:
        try:
            return await connect(again, after, key)
        except OSError:
            return None

    async with await until(answers) as ssh:
        assert ssh.get_server_host_key() == host_key
        assert (await ssh.run("cat file")).stdout == "here\n"
    assert marked(before["id"]) == running
    await again.terminate(before["id"])
    await again.gone(before["id"])
    assert not marked(before["id"])
    await again.client.aclose()


async def test_killed_while_machines_boot_and_end(api: Api, folder: Path) -> None:
    """What was on its way goes on: one becomes active, one is gone."""
    ending = await api.active(await api.launch())
    booting = await api.launch()
    await api.terminate(ending["id"])
    os.kill(pid_of(folder), signal.SIGKILL)
    again = Api(await process.ensure(folder))
    await again.gone(ending["id"])
    await again.active(booting)
    await again.client.aclose()


async def test_terminated_by_a_signal_it_leaves_its_machines_running(
    api: Api, folder: Path, key: asyncssh.SSHKey
) -> None:
    """Commands in the foreground too: a machine does not end because its cloud's front door does."""
    machine = await api.active(await api.launch())
    ssh = await connect(api, machine, key)
    await ssh.create_process("exec sleep 300")
    running = await until(lambda: marked(machine["id"]))
    pid = pid_of(folder)
    os.kill(pid, signal.SIGTERM)
    await until(lambda: not lives(pid))
    assert all(lives(one) for one in running)
    ssh.abort()
    again = Api(await process.ensure(folder))
    await again.terminate(machine["id"])
    await again.gone(machine["id"])
    assert not any(lives(one) for one in running)
    await again.client.aclose()


async def test_it_ends_itself_when_its_last_machine_is_gone(folder: Path, key: asyncssh.SSHKey) -> None:
    """Not while there is one, and soon after; its key stays for the next."""
    api = Api(await process.ensure(folder, linger=0.5, idle=30), key.export_public_key().decode())
    pid = pid_of(folder)
    await api.add_key()
    id_ = await api.launch()
    await api.active(id_)
    await asyncio.sleep(1.5)
    assert lives(pid)
    await api.terminate(id_)
    await api.gone(id_)
    await api.client.aclose()
    await until(lambda: not lives(pid))
    assert not (folder / "practice.json").exists()
    again = await process.ensure(folder, linger=0.5, idle=0.5)
    assert again.key == api.practice.key
    await until(lambda: not (folder / "practice.json").exists())


async def test_everything_is_the_owners_alone(api: Api, folder: Path) -> None:
    """Folders 0700, files 0600, HTTP on loopback; also where the folder was there before, wide open."""
    await api.active(await api.launch())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for one in folder.rglob("*"):
        if not one.is_symlink():
            assert stat.S_IMODE(one.stat().st_mode) & 0o077 == 0, one
    assert api.practice.url.startswith("http://127.0.0.1:")


async def test_a_folder_that_was_open_is_closed(folder: Path) -> None:
    """The key in it opens machines that run as this user."""
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    await process.ensure(folder, idle=0.5)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_key_is_not_shown_to_whoever_has_the_port_now(folder: Path) -> None:
    """After a kill the port may be somebody else's: nobody is asked who does not hold the folder's lock."""
    folder.mkdir(mode=0o700)
    heard: list[bytes] = []

    async def eavesdrop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(eavesdrop, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    note = {"url": f"http://127.0.0.1:{port}", "key": "practice-key-1", "pid": os.getpid()}
    (folder / "practice.json").write_text(json.dumps(note))
    found = await process.ensure(folder, idle=0.5)
    server.close()
    assert found.url != note["url"] and heard == []


async def test_one_that_cannot_come_up_says_why(folder: Path) -> None:
    """In one sentence, with the place of its log."""
    folder.mkdir()
    (folder / "account.json").mkdir()
    with pytest.raises(CloudRefused) as refused:
        await process.ensure(folder)
    assert "account.json" in refused.value.sentence and "practice.log" in refused.value.hint


async def test_a_machine_whose_record_is_broken_is_left_aside(api: Api, folder: Path) -> None:
    """One bad file does not take the others down."""
    machine = await api.active(await api.launch())
    os.kill(pid_of(folder), signal.SIGKILL)
    broken = folder / "machines" / ("f" * 32)
    broken.mkdir()
    (broken / "machine.json").write_text('{"id": 3')
    again = Api(await process.ensure(folder))
    assert [one["id"] for one in await again.ask("GET", "/instances")] == [machine["id"]]
    await again.client.aclose()
