"""Bad input and a bad world: one sentence, the next thing to do, the right exit code, nothing left running unsaid."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.processes import processes_in
from tests.sshd import Sshd, free_port, generate_key


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence", "hint"),
    [
        (["up", "--cloud", "local", "-m", "smollm2-153m"], 2, "no model 'smollm2-153m'", "mean smollm2-135m?"),
        (["up", "--cloud", "practise"], 2, "no cloud 'practise'", "did you mean practice?"),
        (["up", "--cloud", "local", "--type", "gpu_1x_h100"], 2, "no instance type", "known: local"),
        (["up", "--cloud", "practice", "--type", "gpu_1x_a11"], 2, "no instance type", "did you mean gpu_1x_a10?"),
        (["up", "--cloud", "practice", "--region", "us-wets-1"], 2, "no region 'us-wets-1'", "us-west-1"),
        (["up", "--cloud", "practice", "--type", "gpu_2x_a6000"], 4, "nowhere to be had", "llama-tui types"),
        (["up", "--cloud", "local", "--name", "Not A Name"], 2, "cannot be the name", "small letters"),
        (["up", "--cloud", "local", "--engine", "tgi"], 2, "no engine 'tgi'", "known"),
        (["up", "--cloud", "local", "--model", "llama-3-8b", "--engine", "vllm"], 2, "fits on none", "smaller model"),
        (["up", "--cloud", "ssh"], 2, "needs a machine", "--host"),
        (["up", "--cloud", "local", "--host", "box"], 2, "--host is for the ssh cloud", "--cloud ssh"),
        (["up", "--host", "nobody@no-such-host.invalid"], 3, "no-such-host.invalid cannot be reached", "address"),
        (["up", "--cloud", "lambda"], 3, "no Lambda API key", "LAMBDA_API_KEY"),
        (["prompt", "nothing", "hello"], 2, "no endpoint 'nothing'", "known"),
        (["logs", "nothing"], 2, "no endpoint 'nothing'", "known"),
        (["down", "nothing"], 2, "no endpoint 'nothing'", "known"),
        (["down"], 2, "nothing to end was named", "--all"),
        (["attach", "http://127.0.0.1:1"], 3, "nothing answers at", "address"),
        (["attach", "http://"], 2, "is not a URL", "http://127.0.0.1:8000"),
        (["attach", "ftp://127.0.0.1"], 2, "is not a URL", "http://127.0.0.1:8000"),
        (["attach", "http://[::1"], 2, "is not a URL", "http://127.0.0.1:8000"),
        (["attach", "http://bob:s3cretpassw0rd@127.0.0.1:1"], 2, "a password in a URL", "--key-stdin"),
        ([], 2, "the app needs a terminal", "--help"),
    ],
)  # fmt: skip
def test_what_was_typed_cannot_be(
    llama_tui: Command,
    arguments: list[str],
    exit_code: int,
    sentence: str,
    hint: str,
) -> None:
    """Unknown names, missing inputs, machines that are not there."""
    done = llama_tui.run(*arguments, exit_code=exit_code)
    assert done.stdout == ""
    assert sentence in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert llama_tui("ls", "--json") == ""


def test_a_broken_settings_file_names_file_key_and_the_nearest(llama_tui: Command) -> None:
    """config.toml is checked key by key."""
    file = Path(os.environ["XDG_CONFIG_HOME"]) / "llama-tui" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[lambda]\nimage_famly = 'x'\n")
    done = llama_tui.run("types", exit_code=2)
    assert f"{file}: there is no setting lambda.image_famly" in done.stderr
    assert "lambda.image_family" in done.stderr


def test_a_port_that_is_in_use(llama_tui: Command) -> None:
    """A port that was asked for is not given away silently; without one the next free port is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = llama_tui.run("up", "--cloud", "local", "--name", "p", "--port", str(port), exit_code=3)
    assert f"port {port} is in use on this machine" in done.stderr
    assert "--port" in done.stderr
    assert "kept for the next try, remove it: llama-tui down p" in done.stderr


@pytest.mark.sshd
@pytest.mark.parametrize(
    ("command", "script", "sentence", "hint"),
    [
        ("python3", "exit 127", "cannot make virtual environments", "python3-venv"),
        ("uname", "echo OpenBSD", "runs OpenBSD, not Linux", "a machine with Linux"),
        ("df", "printf 'Filesystem\\nx 100 100 1024 100%% /\\n'", "1 MiB of its disk are free", "free some there"),
    ],
)
def test_a_machine_that_cannot_do_it(
    llama_tui: Command,
    sshd: Sshd,
    tmp_path: Path,
    command: str,
    script: str,
    sentence: str,
    hint: str,
) -> None:
    """No usable python3, another system, no disk: said before anything is installed."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / command).write_text(f"#!/bin/sh\n{script}\n")
    (tools / command).chmod(0o755)
    sshd.stop()
    sshd.path = f"{tools}:{sshd.path}"
    sshd.start()
    (Path.home() / ".ssh" / "known_hosts").write_text(sshd.known_hosts_line() + "\n")
    done = llama_tui.run("up", "--host", sshd.target, "--name", "bad", exit_code=3)
    assert sentence in done.stderr
    assert hint in done.stderr
    assert not processes_in(str(sshd.home))


@pytest.mark.sshd
def test_no_python3_at_all(llama_tui: Command, sshd: Sshd, tmp_path: Path) -> None:
    """A bare machine: the sentence names what to install."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "mkdir", "tar", "cat", "rm", "mv", "ln", "ps", "date", "basename", "tail", "sed", "tr", "grep",
                 "uname", "df", "awk", "nohup", "setsid", "getconf", "env", "sleep"):  # fmt: skip
        found = subprocess.run(["which", name], capture_output=True, text=True).stdout.strip()
        if found:
            (tools / name).symlink_to(found)
    sshd.stop()
    sshd.path = str(tools)
    sshd.start()
    (Path.home() / ".ssh" / "known_hosts").write_text(sshd.known_hosts_line() + "\n")
    done = llama_tui.run("up", "--host", sshd.target, "--name", "bare", exit_code=3)
    assert "there is no python3 on this machine" in done.stderr
    assert "apt-get install -y python3 python3-venv" in done.stderr


@pytest.mark.sshd
def test_an_unknown_machine_is_asked_about_or_named_by_its_fingerprint(llama_tui: Command, sshd: Sshd) -> None:
    """Without a terminal nothing is asked: the option says yes, and only to the key that was compared."""
    refused = llama_tui.run("types", "--host", sshd.target, exit_code=3)
    assert "is not known yet: its host key is SHA256:" in refused.stderr
    fingerprint = refused.stderr.split("its host key is ")[1].split()[0]
    llama_tui.run("types", "--host", sshd.target, "--accept-host-key", "SHA256:wrong", exit_code=3)
    assert sshd.target in llama_tui("types", "--host", sshd.target, "--accept-host-key", fingerprint)
    assert sshd.target in llama_tui("types", "--host", sshd.target)


@pytest.mark.sshd
def test_a_key_with_a_passphrase(llama_tui: Command, sshd: Sshd, ssh_key: Path) -> None:
    """The key is named, and what opens it."""
    ssh_key.unlink()
    Path(f"{ssh_key}.pub").unlink()
    generate_key(ssh_key, "secret words")
    (Path.home() / ".ssh" / "known_hosts").write_text(sshd.known_hosts_line() + "\n")
    done = llama_tui.run("up", "--host", sshd.target, exit_code=3)
    assert f"the key {ssh_key} needs a passphrase" in done.stderr
    assert "ssh-add" in done.stderr


def test_a_machine_that_nobody_answers_on(llama_tui: Command) -> None:
    """A closed port is an answer at once, and nothing is recorded."""
    done = llama_tui.run("up", "--host", f"me@127.0.0.1:{free_port()}", exit_code=3)
    assert "127.0.0.1 cannot be reached" in done.stderr
    assert llama_tui("ls", "--json") == ""


@pytest.mark.timeout(300)
def test_a_server_that_dies_at_start(llama_tui: Command, away_from_home: Path) -> None:
    """Weights that are none: the wait ends with the server, and the cause is the sentence."""
    script = textwrap.dedent(
        """
        import sys
        from llama_tui.engines import llama_cpp
        llama_cpp._from_hub = lambda repo, gguf: "echo this is no model >weights.gguf"
        from llama_tui.cli.main import main
        main(["up", "--cloud", "local", "--model", "org/repo/broken.gguf", "--name", "dies"])
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 5, done.stderr
    assert "the server died: the weights cannot be loaded" in done.stderr
    assert "llama-tui down dies" in done.stderr
    assert not [line for line in processes_in(str(away_from_home / ".llama-tui")) if "server.py" in line]
