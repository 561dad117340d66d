"""Turns: spacing and order, within a process and between processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from llama_tui.clouds.pace import Pace, account_of
from llama_tui.redact import Secret

APART = 0.08
NEAR = 0.004
"""What a timer may be early."""

CALLER = f"""
import asyncio, sys, time
from pathlib import Path
from llama_tui.clouds.pace import Pace

async def main():
    pace = Pace(Path(sys.argv[1]), calls={APART})
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(6):
        await pace.turn("call")
        print(time.time(), flush=True)

asyncio.run(main())
"""


def early(times: list[float], started: float, apart: float) -> list[tuple[int, float]]:
    """Turns that came before their time; that one comes late, on a busy computer, proves nothing."""
    return [(number, at - started) for number, at in enumerate(sorted(times)) if at - started < number * apart - NEAR]


def test_two_processes_share_one_pace(tmp_path: Path) -> None:
    """The limit is the account's: calls of two programs are as far apart as those of one."""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", CALLER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    started = time.time()
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    outputs = [one.communicate(timeout=30)[0].splitlines() for one in both]
    times = [[float(line) for line in lines] for lines in outputs]
    assert not early(times[0] + times[1], started, APART)
    assert len(times[0] + times[1]) == 12
    assert max(times[0][0], times[1][0]) < min(times[0][-1], times[1][-1])  # they took turns


async def test_a_turn_is_noted_by_one_at_a_time(tmp_path: Path) -> None:
    """While another process writes its note, nobody reads it."""
    pace = Pace(tmp_path, calls=0.01)
    with FileLock(tmp_path / "pace-account.lock"):
        waiting = asyncio.create_task(pace.turn("call"))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
    async with asyncio.timeout(5):
        await waiting


async def test_turns_come_in_the_order_of_asking(tmp_path: Path) -> None:
    """Also when all ask at once, and from threads that overtake each other."""
    pace = Pace(tmp_path, calls=0.02)
    order: list[int] = []
    times: list[float] = []
    started = time.monotonic()

    async def one(number: int) -> None:
        await pace.turn("call")
        order.append(number)
        times.append(time.monotonic())

    await asyncio.gather(*(one(number) for number in range(8)))
    assert order == list(range(8))
    assert not early(times, started, 0.02)


async def test_waiting_costs_no_processor_time(tmp_path: Path) -> None:
    """A waiter sleeps."""
    pace = Pace(tmp_path, calls=0.5)
    await pace.turn("call")
    before = time.process_time()
    await pace.turn("call")
    assert time.process_time() - before < 0.1


async def test_a_read_need_not_wait_for_a_launch_that_waits(tmp_path: Path) -> None:
    """Launches are 13 s apart; what is shown meanwhile must stay fresh. And a launch counts as a call."""
    pace = Pace(tmp_path, calls=0.05, launches=0.5)
    started = time.monotonic()
    done: dict[str, float] = {}

    async def one(name: str, kind: str) -> None:
        await pace.turn(kind)
        done[name] = time.monotonic() - started

    await asyncio.gather(one("first", "launch"), one("second", "launch"), one("read", "call"))
    assert list(done) == ["first", "read", "second"]
    assert done["read"] > 0.05 - NEAR
    assert done["second"] > 0.5 - NEAR


async def test_accounts_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """One file for each, named by a hash: the key is nowhere on the disk."""
    folder = tmp_path / "pace"
    pace = Pace(folder, calls=30)
    key = Secret("secret_one_aaaaaaaa")
    async with asyncio.timeout(5):
        await pace.turn("call", account_of(key))
        await pace.turn("call", account_of(Secret("secret_two_bbbbbbbb")))
    assert (folder / f"pace-{account_of(key)}.json").is_file()
    assert not [file for file in folder.iterdir() if b"secret" in file.name.encode() + file.read_bytes()]


async def test_a_clock_that_was_set_back_delays_nobody(tmp_path: Path) -> None:
    """Turns noted by the old time move with the clock."""
    pace = Pace(tmp_path, calls=0.05, launches=0.1)
    ahead = time.time() + 300
    note = {"written": ahead, "calls": [ahead, ahead + 0.05], "launch": ahead}
    (tmp_path / "pace-account.json").write_text(json.dumps(note))
    async with asyncio.timeout(2):
        await pace.turn("call")
        await pace.turn("launch")


@pytest.mark.parametrize("note", ["", "{", '{"calls": "x"}', '{"calls": [1e300], "launch": 1e300}'])
async def test_a_broken_note_is_begun_anew(tmp_path: Path, note: str) -> None:
    """A crash or a full disk must not stop the next call."""
    (tmp_path / "pace-account.json").write_text(note)
    async with asyncio.timeout(2):
        await Pace(tmp_path, calls=0.01, launches=0.01).turn("launch")


async def test_a_folder_that_cannot_be_written_keeps_the_spacing(tmp_path: Path) -> None:
    """Only the sharing is lost."""
    (tmp_path / "file").write_text("")
    pace = Pace(tmp_path / "file" / "folder", calls=0.1)
    started = time.monotonic()
    await pace.turn("call")
    await pace.turn("call")
    assert time.monotonic() - started > 0.1 - NEAR


async def test_no_pace_no_files(tmp_path: Path) -> None:
    """The practice cloud has no limit to keep."""
    await Pace(tmp_path / "state", calls=0).turn("launch")
    assert not (tmp_path / "state").exists()
