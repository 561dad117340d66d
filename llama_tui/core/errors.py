"""What can go wrong, in the words of the person who reads it.

LlamaTuiError                     1   anything else
├── UsageError                    2   what was typed cannot be meant
├── PreflightFailed               3   something needed is missing; nothing was spent for it
│   ├── CredentialMissing             a key or token is not there
│   ├── CredentialRejected            a key or token was refused
│   ├── HostUnreachable               no answer from a machine
│   ├── HostKeyUnknown                a machine that nobody has vouched for yet
│   └── HostKeyChanged                a machine that is not the one it was
├── CloudRefused                  1   the cloud said no (its code is kept)
│   └── NoCapacity                4   the cloud has none of these machines now
│       └── TooLate                   the time in which a launch was allowed is over
├── SetupFailed                   5   a step, the server, or the machine failed on the way to ready
│   └── TooDear                       the machine costs more than was allowed
├── LimitReached                  6   a limit of money or time ended it
├── StillThere                    7   it could not be shown that a machine is gone
└── PromptRefused                 1   the model server refused a request or broke off

The number is the exit code of the command (design §6).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LlamaTuiError(Exception):
    """One sentence of what went wrong, and one of what to do next.

    Both may hold text from outside; the faces clean it before showing.
    """

    exit_code = 1

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class UsageError(LlamaTuiError):
    """What was typed cannot be meant: an unknown name, a value out of range, a missing input."""

    exit_code = 2


class PreflightFailed(LlamaTuiError):
    """Something that a deploy needs is missing, found before anything was set up."""

    exit_code = 3


class CredentialMissing(PreflightFailed):
    """A key or token is needed and there is none."""


class CredentialRejected(PreflightFailed):
    """A key or token was refused by the service it is for."""


class HostUnreachable(PreflightFailed):
    """A machine does not answer, or its connection was lost."""


class HostKeyUnknown(PreflightFailed):
    """A machine shows a host key that is in no known_hosts file.

    `known_hosts_line` is what `HostKeys.pin` writes once a person says yes.
    """

    def __init__(self, host: str, fingerprint: str, known_hosts_line: str) -> None:
        super().__init__(
            f"{host} is not known yet: its host key is {fingerprint}",
            f"compare it on the machine, then repeat with --accept-host-key {fingerprint}",
        )
        self.host = host
        self.fingerprint = fingerprint
        self.known_hosts_line = known_hosts_line


class HostKeyChanged(PreflightFailed):
    """A machine shows another host key than the one that is pinned."""


class CloudRefused(LlamaTuiError):
    """The cloud refused or failed a request.

    `code` is the vendor's code (`global/invalid-parameters`), or `http/STATUS` for an answer without one
    (lambda-cloud-api.md §3).
    """

    def __init__(self, sentence: str, hint: str = "", *, code: str = "", status: int = 0) -> None:
        super().__init__(sentence, hint)
        self.code = code
        self.status = status

    @property
    def passes(self) -> bool:
        """It may be otherwise in a minute: the cloud was not reached, was asked too often, or has a fault."""
        return self.code == "http/unreachable" or self.status == 429 or self.status >= 500


class NoCapacity(CloudRefused):
    """The cloud has no such machine to give now."""

    exit_code = 4


class TooLate(NoCapacity):
    """A launch whose deadline came before its turn: it was not sent."""


class SetupFailed(LlamaTuiError):
    """A step failed, the server died, or nothing moved any more before the endpoint was ready."""

    exit_code = 5


class TooDear(SetupFailed):
    """A machine came at a higher price than was allowed: it is ended, whatever is to become of failed ones."""


class LimitReached(LlamaTuiError):
    """A limit of dollars, hours or idle minutes ended it."""

    exit_code = 6


class StillThere(LlamaTuiError):
    """It could not be confirmed that a machine is gone: it may still cost money."""

    exit_code = 7


class PromptRefused(LlamaTuiError):
    """The model server refused a request, or the answer broke off."""

    def __init__(self, sentence: str, hint: str = "", *, status: int = 0) -> None:
        super().__init__(sentence, hint)
        self.status = status


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not in a list, with the nearest that is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none'}"
    return UsageError(f"there is no {kind} {name!r}", meant)


def as_told(error: Exception) -> LlamaTuiError:
    """Any exception as one with a sentence for its reader: what nobody foresaw is named, not thrown at them."""
    if isinstance(error, LlamaTuiError):
        return error
    return LlamaTuiError(
        f"something unforeseen happened: {type(error).__name__}: {str(error)[:300]}",
        "this is a mistake in llama-tui: please report it; try again",
    )
