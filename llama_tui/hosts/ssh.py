"""A machine over SSH, by asyncssh: run, read, forward (libraries.md §2).

~/.ssh/config is honoured: aliases, ports, users, keys, agent, jump hosts, known_hosts files. Every connection on the
way, jump hosts too, is checked against the known host keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from llama_tui.core.errors import (
    CredentialRejected,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
    LlamaTuiError,
    UsageError,
)
from llama_tui.core.interfaces import Address, Completed
from llama_tui.hosts.host_keys import HostKeys

if TYPE_CHECKING:
    import asyncssh

READ_BYTES = 256 * 1024
"""The most that one `read` returns."""
CHANNELS = 6
"""Commands at a time on one connection; sshd's MaxSessions is 10, and SFTP and forwards want some."""
KEEPALIVE_SECONDS = 15
"""Between two signs of life on a quiet line; three unanswered ones are a lost line."""
CLOSE_SECONDS = 5.0
"""For a connection to close."""


class SshHost:
    """A machine over SSH, open while the context lasts.

    Args:
        target: `HOST`, `USER@HOST`, `USER@HOST:PORT`, or an alias of ~/.ssh/config.
        config: ssh config files to read before ~/.ssh/config.
        host_keys: whom to trust.
        alias: the name under which the host key is kept, where the address is no lasting one.
        identity: private key file to log in with, before those of config and agent.
        connect_timeout: seconds for TCP and login together.
    """

    def __init__(
        self,
        target: str,
        *,
        user: str = "",
        port: int = 0,
        config: Sequence[Path] = (),
        host_keys: HostKeys,
        alias: str = "",
        identity: Path | None = None,
        connect_timeout: float = 15.0,
    ) -> None:
        self.target = target
        named_user, _, rest = target.rpartition("@")
        self._host, self._port = _split_port(rest)
        self._user = user or named_user
        self._port = port or self._port
        self._config = [str(file) for file in config]
        self._host_keys = host_keys
        self._alias = alias
        self._identity = identity
        self._timeout = connect_timeout
        self._open = AsyncExitStack()
        self._channels = asyncio.Semaphore(CHANNELS)
        self._connection: asyncssh.SSHClientConnection
        self._sftp: asyncssh.SFTPClient | None = None
        self._no_sftp = False

    async def __aenter__(self) -> SshHost:

        logging.getLogger("asyncssh").setLevel(logging.WARNING)
        try:
            self._connection = await self._connect_via_jumps()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sftp is not None:
            self._sftp.exit()
        with contextlib.suppress(Exception):
            await self._open.aclose()

    # ---- connecting

    async def _connect_via_jumps(self) -> asyncssh.SSHClientConnection:
        options = await self._resolve(self._host, self._user, self._port)
        tunnel: asyncssh.SSHClientConnection | None = None
        jumps = options.tunnel if isinstance(options.tunnel, str) else ""
        for jump in filter(None, (one.strip() for one in jumps.split(","))):
            # asyncssh would open a jump with its own idea of whom to trust, so each is opened here, checked alike.
            user, _, rest = jump.rpartition("@")
            host, port = _split_port(rest)
            tunnel = await self._connect(host, user, port, tunnel, alias="", identity=None)
        return await self._connect(
            self._host, self._user, self._port, tunnel, alias=self._alias, identity=self._identity
        )

    def _asked(self, user: str, port: int) -> dict[str, Any]:
        personal = Path.home() / ".ssh" / "config"
        files = [*self._config, *([str(personal)] if personal.exists() else [])]
        asked: dict[str, Any] = {"config": files or None}
        if user:
            asked["username"] = user
        if port:
            asked["port"] = port
        return asked

    async def _resolve(self, host: str, user: str, port: int) -> asyncssh.SSHClientConnectionOptions:
        """What the config says of a host."""
        import asyncssh

        try:
            options: asyncssh.SSHClientConnectionOptions = await asyncssh.SSHClientConnectionOptions.construct(
                host=host, **self._asked(user, port)
            )
            return options
        except (ValueError, OSError) as error:
            raise UsageError(f"the ssh config cannot be used: {error}", "mend ~/.ssh/config") from error

    async def _connect(
        self,
        host: str,
        user: str,
        port: int,
        tunnel: asyncssh.SSHClientConnection | None,
        *,
        alias: str,
        identity: Path | None,
    ) -> asyncssh.SSHClientConnection:
        import asyncssh

        options = await self._resolve(host, user, port)
        seen = _Seen(_known_hosts_files(options))
        keys = {"client_keys": [str(identity)]} if identity else {}
        try:
            connection = await asyncssh.connect(
                host,
                tunnel=tunnel,
                known_hosts=(),
                client_factory=lambda: _client(self._host_keys, seen, alias),
                server_host_key_algs="default",
                keepalive_interval=KEEPALIVE_SECONDS,
                connect_timeout=self._timeout,
                **self._asked(user, port),
                **keys,
            )
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
            raise self._host_key_error(seen, host, error) from error
        except asyncssh.PermissionDenied as error:
            raise _refused(f"{options.username}@{host}", options, identity) from error
        except asyncssh.KeyImportError as error:
            raise _unusable_key(identity, error) from error
        except TimeoutError as error:
            raise HostUnreachable(
                f"{host} does not answer within {self._timeout:g} s", "is it up, and reachable from here?"
            ) from error
        except (asyncssh.Error, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise HostUnreachable(
                f"{host} cannot be reached: {reason}", "is it up, and is the address right?"
            ) from error
        await self._open.enter_async_context(_closing(connection))
        return connection

    def _host_key_error(self, seen: _Seen, host: str, error: Exception) -> LlamaTuiError:
        if seen.key is None:
            return HostKeyChanged(
                f"{host} offers no host key of the kind that is known: {error}",
                "if it was set up anew, remove its line from known_hosts, and only then try again",
            )
        if seen.changed:
            return HostKeyChanged(
                f"{host} is not the machine it was: its host key has changed to {seen.key.get_fingerprint()}",
                f"somebody may be listening in. If you know why, remove its line from {self._host_keys.own} "
                "or ~/.ssh/known_hosts",
            )
        return HostKeyUnknown(host, seen.key.get_fingerprint(), seen.line)

    # ---- the verbs

    async def run(self, command: str, *, input: bytes = b"", timeout: float = 60.0) -> Completed:  # noqa: A002
        """Run a line of sh there; what it has left in the background with output redirected lives on."""
        with self._mapped():
            async with asyncio.timeout(timeout), self._channels:
                process = await self._connection.create_process(command, encoding=None)
                try:
                    if not input:
                        process.stdin.write_eof()
                    stdout, stderr = await process.communicate(input or None)
                finally:
                    process.close()
        if process.returncode is None:
            raise HostUnreachable(f"the connection to {self.target} was lost", "it is tried again")
        return Completed(process.returncode, bytes(stdout), bytes(stderr))

    async def read(self, path: str, offset: int = 0) -> bytes:
        """Bytes of a file from an offset, by SFTP; where there is no SFTP, by tail."""
        import asyncssh

        if self._no_sftp:
            return await self._read_by_tail(path, offset)
        with self._mapped():
            try:
                if self._sftp is None:
                    self._sftp = await self._connection.start_sftp_client()
            except asyncssh.ChannelOpenError:
                self._no_sftp = True
                return await self._read_by_tail(path, offset)
            try:
                async with await self._sftp.open(path, "rb", encoding=None) as file:
                    chunk: bytes = await file.read(READ_BYTES, offset)
                return chunk
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPPermissionDenied):
                return b""
            except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
                raise HostUnreachable(f"the connection to {self.target} was lost", "it is tried again") from error

    async def _read_by_tail(self, path: str, offset: int) -> bytes:
        quoted = shlex.quote(path)
        done = await self.run(f"[ -f {quoted} ] && tail -c +{offset + 1} {quoted} | head -c {READ_BYTES}")
        return done.stdout

    @asynccontextmanager
    async def forward(self, port: int, local_port: int = 0) -> AsyncIterator[Address]:
        """A port there as a private Unix socket here, or as a TCP port of 127.0.0.1."""
        if local_port:
            try:
                with self._mapped(pass_on=(OSError,)):
                    listener = await self._connection.forward_local_port("127.0.0.1", local_port, "127.0.0.1", port)
            except OSError as error:
                raise UsageError(f"port {local_port} is taken on this computer", "end what listens there") from error
            try:
                yield Address(f"http://127.0.0.1:{local_port}")
            finally:
                listener.close()
            return
        # A socket path may be some hundred bytes long at most, so it does not go where the state lies.
        with tempfile.TemporaryDirectory(prefix="llama-tui-") as folder:
            socket = f"{folder}/s"
            with self._mapped():
                listener = await self._connection.forward_local_path_to_port(socket, "127.0.0.1", port)
            try:
                yield Address(f"http://127.0.0.1:{port}", socket)
            finally:
                listener.close()

    @contextlib.contextmanager
    def _mapped(self, pass_on: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """What goes wrong on an open connection, in our words."""
        import asyncssh

        try:
            yield
        except LlamaTuiError:
            raise
        except pass_on:
            raise
        except TimeoutError as error:
            raise HostUnreachable(
                f"{self.target} did not answer in time", "is the line slow, or the machine busy?"
            ) from error
        except (asyncssh.Error, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise HostUnreachable(
                f"the connection to {self.target} was lost: {reason}", "it is tried again"
            ) from error


class _Seen:
    """What one attempt to connect saw of the host key; `files` are the person's known_hosts files."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.key: asyncssh.SSHKey | None = None
        self.changed = False
        self.line = ""


def _client(host_keys: HostKeys, seen: _Seen, alias: str) -> asyncssh.SSHClient:
    """A client that asks our record about the host key. It cannot ask a person: the caller does, and tries again."""
    import asyncssh

    class Client(asyncssh.SSHClient):
        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            seen.key = key
            name = alias or (host if port == 22 else f"[{host}]:{port}")
            public = key.export_public_key().decode().split()
            seen.line = f"{name} {public[0]} {public[1]}"
            known = host_keys.matching(
                [] if alias else seen.files, alias or host, "" if alias else addr, 22 if alias else port
            )
            if any(one.public_data == key.public_data for one in known):
                return True
            seen.changed = bool(known)
            if known or not host_keys.trust_new:
                return False
            host_keys.pin(seen.line)
            return True

    return Client()


def _known_hosts_files(options: asyncssh.SSHClientConnectionOptions) -> list[Path]:
    """The person's own known_hosts files: of the config, else the usual ones."""
    named = options.known_hosts if isinstance(options.known_hosts, list) else []
    usual = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts"]
    return [Path(str(one)).expanduser() for one in named or usual]


def _refused(who: str, options: asyncssh.SSHClientConnectionOptions, identity: Path | None) -> CredentialRejected:
    """The error of a refused login. A key behind a passphrase is skipped without a word, so it is looked for."""
    configured = [Path(str(one)).expanduser() for one in _named_keys(options)]
    usual = [Path.home() / ".ssh" / name for name in ("id_ed25519", "id_ecdsa", "id_rsa")]
    for file in [identity] if identity else configured or usual:
        if error := _import_error(file):
            return _unusable_key(file, error)
    return CredentialRejected(f"{who} refused our keys", f"put your public key there, once: ssh-copy-id {who}")


def _named_keys(options: asyncssh.SSHClientConnectionOptions) -> list[str]:
    named: Any = options.config.get("IdentityFile") if options.config else None
    return [str(one) for one in named or []]


def _import_error(file: Path) -> Exception | None:
    import asyncssh

    try:
        asyncssh.read_private_key(str(file))
    except asyncssh.KeyImportError as error:
        return error
    except (OSError, ValueError):
        return None
    return None


def _unusable_key(file: Path | None, error: Exception) -> CredentialRejected:
    if "passphrase" in str(error).lower():
        return CredentialRejected(
            f"the key {file} needs a passphrase", f"give it to the agent: eval $(ssh-agent); ssh-add {file}"
        )
    return CredentialRejected(f"the key {file} cannot be used: {error}", "is it an OpenSSH private key?")


def _split_port(host: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` into both; port 0 where there is none."""
    if host.startswith("["):
        inner, _, port = host[1:].partition("]")
        return inner, int(port[1:]) if port[1:].isdigit() else 0
    name, _, port = host.rpartition(":")
    return (name, int(port)) if name and ":" not in name and port.isdigit() else (host, 0)


@asynccontextmanager
async def _closing(connection: asyncssh.SSHClientConnection) -> AsyncIterator[None]:
    try:
        yield
    finally:
        connection.close()
        try:
            await asyncio.wait_for(connection.wait_closed(), CLOSE_SECONDS)
        except (TimeoutError, OSError):
            connection.abort()
