"""The one door that text from outside passes before a person sees it: no escape sequences, no secrets.

Servers, logs, exceptions, host names and models write what they like. `clean` takes out terminal escape
sequences, control characters and bidirectional overrides (libraries.md §1.3), and blots out secrets: those that
this process knows (`remember`) and those that look like one.
"""

from __future__ import annotations

import re

BLOT = "••••"

_SUSPECT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ESCAPE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    "|(?:\x1b\\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c|$)"  # OSC: title, clipboard
    "|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\\\|\x9c|$)"  # DCS, SOS, PM, APC
    "|\x1b[ -/]*[0-~]?"  # any other
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_LOOKS_SECRET = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|secret_[A-Za-z0-9_.-]{8,})"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?i:(?<=authorization: bearer )|(?<=authorization: basic ))\S+"
    r"|(?i:(?<=\?token=)|(?<=&token=))[^&\s'\"]+"
)
_NAMED_SECRET = re.compile(
    r"""(?ix) ( ["']? (?:api_keys?|hf_token|jupyter_token|private_key|user_data) ["']? \s* [=:] \s* \[? ["'] )"""
    r"""(?!\$[({a-z_])([^"']+)"""  # `"$(cat FILE)"` holds no secret: it says where one is
)

_remembered: set[str] = set()


def remember(secret: str) -> str:
    """Blot this value out of all text from now on; returns it. Values under 8 characters are not blotted."""
    if len(secret) >= 8:
        _remembered.add(secret)
    return secret


def clean(text: str) -> str:
    """Text that may be shown: without escape sequences and without secrets. Newlines and tabs stay."""
    if _SUSPECT.search(text):
        text = _ESCAPE.sub("", text.replace("\r\n", "\n"))
    for secret in _remembered:
        if secret in text:
            text = text.replace(secret, BLOT)
    text = _LOOKS_SECRET.sub(BLOT, text)
    return _NAMED_SECRET.sub(lambda found: found.group(1) + BLOT, text)


class Secret:
    """A value that no traceback, log or repr shows. Take it out with `reveal` at the last moment."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = remember(value)

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return f"Secret({BLOT})"
