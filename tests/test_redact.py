"""Whatever a server writes: no escape sequence and no secret reaches a person's terminal."""

import pytest

from llama_tui.redact import Secret, clean, remember


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b]52;c;ZXZpbA==\x07b", "ab"),
        ("a\x1b]0;title\x1b\\b", "ab"),
        ("a\x1bP+q544e\x1b\\b", "ab"),
        ("a\x9b31mb", "ab"),
        ("a\x9d52;c;x\x9cb", "ab"),
        ("bell\x07 nul\x00", "bell nul"),
        ("safe\u202etxt.exe", "safetxt.exe"),
        ("half a sequence \x1b", "half a sequence "),
        ("tab\tand\nline", "tab\tand\nline"),
        ("plain [/usr/bin/x] text", "plain [/usr/bin/x] text"),
    ],
)
def test_escape_sequences_are_taken_out(hostile: str, shown: str) -> None:
    """Colours, titles, clipboard writes, device strings, C1 forms and bidirectional overrides."""
    assert clean(hostile) == shown


@pytest.mark.parametrize(
    "line",
    [
        "args: Namespace(host='0.0.0.0', api_key='CANARY-abcdef', port=8000)",
        'non-default args: {"api_key": "CANARY-abcdef"}',
        "token hf_CANARYabcdefgh given",
        "Authorization: Bearer CANARY-abcdef",
        "https://user:CANARY-abcdef@example.com/x",
        "https://jupyter-1.lambdaspaces.com/?token=CANARY-abcdef",
    ],
)
def test_what_looks_like_a_secret_is_blotted(line: str) -> None:
    """The key that vLLM 0.4.3 prints, Hugging Face tokens, bearer headers, URLs with credentials."""
    assert "CANARY" not in clean(line)
    assert "••••" in clean(line)


def test_a_secret_that_this_process_knows_is_blotted_everywhere() -> None:
    """A value that was given to `Secret` shows nowhere, not even in a repr."""
    secret = Secret("very-secret-value")
    assert clean("key=very-secret-value!") == "key=••••!"
    assert "very" not in repr(secret)
    assert secret.reveal() == "very-secret-value"
    remember("short")
    assert clean("short") == "short"


@pytest.mark.parametrize(
    "line", ['HF_TOKEN="$(cat "$HF_TOKEN_PATH")"', 'VLLM_API_KEY="$(cat api_key)"', "api_key='${KEY}'"]
)
def test_what_only_names_a_secret_is_left(line: str) -> None:
    """A line of shell that fetches a secret holds none, and must still work when it is copied."""
    assert clean(line) == line
