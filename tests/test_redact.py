"""Whatever a server writes: no escape sequence and no secret reaches a person's terminal."""

import json

import pytest

from llama_tui.redact import Secret, clean, clean_json, remember


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
        '{"Authorization": "Bearer CANARY-abcdef"}',
        "headers={'Authorization': 'Bearer CANARY-abcdef', 'Accept': '*/*'}",
        "{'authorization': 'Basic CANARYabcdef'}",
        'curl -H "Authorization: Bearer CANARY-abcdef" http://127.0.0.1:8000/v1/models',
        "sent Bearer CANARYabcdefghij123456 to the server",
        "Bearer CANARY-abcdef",
        "Basic CANARYpwYXNzd29yZA==",
        "git clone https://CANARYabcdef@github.com/x/y",
        "https://:CANARY-abcdef@example.com/x",
        "GET /v1/models?api_key=CANARY HTTP/1.1",
        "https://example.com/x?key=CANARY",
        "https://example.com/x?a=1&access_token=CANARY#part",
        "vllm serve --api-key CANARY-abcdef --port 8000",
        "vllm serve --api-key=CANARY-abcdef",
        "['vllm', 'serve', '--api-key', 'CANARY-abcdef']",
        "hf download x --token CANARY-abcdef",
        "VLLM_API_KEY=CANARY-abcdef vllm serve",
        "Namespace(api_key=CANARY-abcdef, port=8000)",
        "HF_TOKEN=CANARY-abcdef",
        "X-Api-Key: CANARY-abcdef",
        "'x-api-key': 'CANARY-abcdef'",
        "Namespace(api_key=['first-key', 'CANARY-abcdef'], port=8000)",
        "api_key=['a','CANARY']",
        """api_key="it's CANARY-abcdef\"""",
        r'"{\"api_key\": \"CANARY-abcdef\"}"',
        "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARYabcdefghijklmnop\nCANARY==\n-----END OPENSSH PRIVATE KEY-----",
        r"-----BEGIN PRIVATE KEY-----\nCANARYabcdefghijklmnop\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nCANARYabcdefghijklmnop",
    ],
)
def test_what_looks_like_a_secret_is_blotted(line: str) -> None:
    """The key that vLLM 0.4.3 prints, Hugging Face tokens, headers, URLs, options and variables with credentials."""
    assert "CANARY" not in clean(line)
    assert "••••" in clean(line)


def test_json_says_what_it_said() -> None:
    """What a terminal would obey is escaped, not dropped: JSON stays JSON, whole."""
    said = {"text": "a \x9d b \u202e \x1b]0;x\x07 api_key=12345678 é"}
    shown = clean_json(json.dumps(said, ensure_ascii=False, indent=2))
    assert json.loads(shown) == said
    assert shown.replace("\n", "").isprintable()


def test_a_secret_that_this_process_knows_is_blotted_everywhere() -> None:
    """A value that was given to `Secret` shows nowhere, not even in a repr."""
    secret = Secret("very-secret-value")
    assert clean("key=very-secret-value!") == "key=••••!"
    assert "very" not in repr(secret)
    assert secret.reveal() == "very-secret-value"
    remember("short")
    assert clean("short") == "short"


@pytest.mark.parametrize(
    "line",
    [
        'HF_TOKEN="$(cat "$HF_TOKEN_PATH")"',
        'VLLM_API_KEY="$(cat api_key)"',
        "VLLM_API_KEY=$(cat api_key)",
        'VLLM_API_KEY="$VLLM_API_KEY"',
        "api_key='${KEY}'",
        'vllm serve --api-key "$VLLM_API_KEY"',
        "HF_TOKEN_PATH=/dev/shm/llama-tui-1a2b3c4d",
        'curl -H "Authorization: Bearer $OPENAI_API_KEY" http://127.0.0.1:8000/v1/models',
        'key = {"Authorization": "Bearer " + open("api_key").read()}',
        'OpenAI(api_key=os.environ["OPENAI_API_KEY"])',
        "[ -s api_key ] || (umask 077 && od -An -tx1 -N24 /dev/urandom | tr -d ' ' >api_key)",
    ],
)
def test_what_only_names_a_secret_is_left(line: str) -> None:
    """A line of shell that fetches a secret holds none, and must still work when it is copied."""
    assert clean(line) == line


@pytest.mark.parametrize(
    "line",
    [
        "the key is valid",
        "Bearer token",
        "a Bearer token is wanted, or Basic authentication",
        "Basic understanding of Llama-3.1-8B",
        "Basic Llama-3.1-8B-Instruct",
        "tokenizer='meta-llama/Meta-Llama-3-8B', tokenizer_mode=auto12345",
        "max_tokens=16, pad_token=128001",
        "Namespace(api_key=None, port=8000)",
        "usage: api_server.py [--api-key API_KEY [API_KEY ...]] [--port PORT]",
        "api_server.py: error: argument --api-key: expected at least one argument",
        "give it by --api-key or VLLM_API_KEY; --api-key, --port and --host are options",
        "llama-server --api-key-file /home/ubuntu/keys1",
        "Host: http://127.0.0.1:8000, ssh://ubuntu@192.0.2.1:22",
        "git@github.com:x/y, mail@example.com, https://example.com/?mail=a@example.com",
        "https://example.com/x?keyboard=1&monkey=2",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQ\n-----END PUBLIC KEY-----",
        "HF_ENDPOINT and HF_HUB_OFFLINE are set",
    ],
)
def test_ordinary_words_are_left(line: str) -> None:
    """Talk about keys and tokens, names that look like theirs, and addresses without credentials."""
    assert clean(line) == line
