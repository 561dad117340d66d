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
_MAY_HOLD = re.compile(
    r"""(?:key|token|user_data)(?:s?[\\"']*\s*[=:,]|["'\s])|private key|bearer|basic|://|hf_|secret_"""
)
"""Looked for in lower case: text without a match holds nothing that `_LOOKS_SECRET` finds, which is far slower."""
_KEY = "(?:api[-_]?keys?|(?:access|auth|hf|hub|jupyter)[-_]?token)"
_NAMED = rf"""(?:{_KEY}|private_key|user_data)\\*["']?\s*[=:]\s*"""
_SHELL = r"\$[({A-Za-z_]"
"""What only says where a secret is: `"$(cat FILE)"`, `$NAME`."""
_CHARACTER = r"""[^\s'"`$(){}\[\],;&|<>]"""
_BARE = rf"(?![-=]|(?:os|self|args)\.)(?={_CHARACTER}{{8}}|{_CHARACTER}*\d){_CHARACTER}+"
"""A value without quotes: 8 characters or more, or with a digit, so that `None` and the words of a sentence stay."""
_BEARER = r"[\w.~+/=-]"
_PEM = "[A-Z0-9 ]*PRIVATE KEY-----"

# Each alternative has at most one group: what stays before the secret.
_LOOKS_SECRET = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|secret_[A-Za-z0-9_.-]{8,})"
    rf"|-----BEGIN {_PEM}(?:(?:(?!-----)[\s\S])*-----END {_PEM}|(?:\s|\\[nr]|[A-Za-z0-9+/=]{{16,}})*)"
    # in URLs: user and password, a token as the user, a parameter
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"""|(?i:(https?://)[^/\s:@?#"'<>${]+(?=@))"""
    rf"""|(?i:([?&](?:{_KEY}|key|token)=)[^&\s'"#${{<]+)"""
    # in headers
    r"""|(?i:(authorization[\\"']*\s*[:=]\s*[\\"']*(?:bearer|basic)\s+)(?!token\b)[^\s'"\\$<{]+)"""
    rf"|\b([Bb]earer\s+)(?:(?={_BEARER}{{12}})(?={_BEARER}*(?:[\d=]|\B[A-Z])){_BEARER}+|[\w.~+-]{{20,}})"
    r"|\b([Bb]asic\s+)(?=[A-Za-z+/]*[\d=])[A-Za-z0-9+/]{12,}={0,2}(?![\w.-])"
    rf"|(?i:((?<![\w-])(?:x-)?api-key:\s*){_BARE})"
    # options and variables: with quotes (of a list up to its end), without
    rf"""|(?i:(--(?:api-key|hf-token|token)(?:["']\s*,\s*["']|\s*=\s*["']?|\s+["']?)){_BARE})"""
    rf"""|(?i:({_NAMED}\[)(?=\s*["'])(?!\s*["']{_SHELL})[^\]]+)"""
    rf"""|(?i:({_NAMED}\\*")(?!{_SHELL})[^"]+)"""
    rf"""|(?i:({_NAMED}\\*')(?!{_SHELL})[^']+)"""
    rf"|(?i:({_KEY}=){_BARE})"
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
    text = _without_known(text)
    if _MAY_HOLD.search(text.lower()):
        text = _LOOKS_SECRET.sub(lambda found: (found[found.lastindex] if found.lastindex else "") + BLOT, text)
    return text


def clean_json(text: str) -> str:
    """JSON that may be shown, and says what it said: what `clean` takes out is escaped; known secrets are blotted.

    `text` is as json.dumps makes it: of what `_SUSPECT` finds below a space it holds nothing.
    """
    return _without_known(_SUSPECT.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def _without_known(text: str) -> str:
    for secret in _remembered:
        if secret in text:
            text = text.replace(secret, BLOT)
    return text


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
