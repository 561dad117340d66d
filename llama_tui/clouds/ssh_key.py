"""The SSH key that opens the machines we rent: llama-tui's own, or one that a person already has."""

from __future__ import annotations

import getpass
import os
import re
import socket
from pathlib import Path

from llama_tui.core.errors import CredentialMissing, CredentialRejected

LOCK_SECONDS = 30.0
"""How long to wait for another process that makes the key; making it takes some milliseconds."""

NAME_LENGTH = 64
"""Characters that a key's name in the account may have (lambda-cloud-api.md §2.4)."""


class SshKey:
    """An SSH key pair on this computer.

    Args:
        folder: where llama-tui's own ed25519 key lies, or is made on first need.
        private: the file of a key to use instead; its `.pub` is read where there is one.
    """

    def __init__(self, folder: Path, private: Path | None = None) -> None:
        self._folder = folder
        self._own = private is None
        self.private = private or folder / "id_ed25519"
        """The private key's file."""

    @property
    def name(self) -> str:
        """What the key is called in the account: `llama-tui-USER-HOST`, in letters, digits and dashes."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            user = "user"
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"llama-tui-{user}-{socket.gethostname()}")
        return name[:NAME_LENGTH].strip("-")

    def public(self) -> str:
        """The public key as one line of OpenSSH; our own pair is made on first need. Blocks on files.

        Raises:
            CredentialMissing: the person's own key is not there, or our own cannot be made.
            CredentialRejected: the file holds no private key, or one behind a passphrase without its `.pub`.
        """
        if self._own:
            self._make()
        public = self.private.with_name(self.private.name + ".pub")
        try:
            if not self.private.is_file():
                raise CredentialMissing(
                    f"there is no SSH key in {self.private}", f"make one: ssh-keygen -f {self.private}"
                )
            if public.is_file():
                return public.read_text().strip()
        except OSError as error:
            raise CredentialMissing(f"the SSH key {self.private} cannot be read: {error.strerror}") from None
        return self._derive()

    def _derive(self) -> str:
        import asyncssh

        try:
            return asyncssh.read_private_key(self.private).export_public_key().decode().strip()
        except (OSError, ValueError) as error:
            raise CredentialRejected(
                f"the SSH key {self.private} cannot be read: {error}",
                f"write its public half beside it: ssh-keygen -y -f {self.private} > {self.private}.pub",
            ) from None

    def _make(self) -> None:
        if self.private.is_file():
            return
        import asyncssh
        from filelock import FileLock

        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self._folder / "id_ed25519.lock", timeout=LOCK_SECONDS, mode=0o600):
                if self.private.is_file():
                    return
                key = asyncssh.generate_private_key("ssh-ed25519", comment=self.name)
                public = self.private.with_name(self.private.name + ".pub")
                public.write_bytes(key.export_public_key())
                # The private half appears last and whole: who sees it sees a finished pair.
                unfinished = self.private.with_name(self.private.name + ".new")
                unfinished.unlink(missing_ok=True)
                with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(key.export_private_key())
                unfinished.replace(self.private)
        except OSError as error:
            raise CredentialMissing(
                f"no SSH key can be made in {self._folder}: {error}",
                "make the folder writable, or name a key of yours",
            ) from None


def same_key(line: str) -> tuple[str, str]:
    """What two lines of the same public key share: type and blob, without the comment."""
    words = line.split()
    return (words[0], words[1]) if len(words) > 1 else (line, "")
