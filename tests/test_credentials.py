"""Where keys and tokens come from, where they are kept, and that a real keyring keeps them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llama_tui import credentials
from llama_tui.redact import Secret
from tests.hub_server import GOOD


def found() -> tuple[str, str]:
    looked = credentials.look("hf")
    assert looked
    return looked[0].reveal(), looked[1]


def test_the_environment_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then this session's, the keyring, one's own file, hf's own login."""
    hf = Path(os.environ["XDG_CACHE_HOME"]) / "huggingface"
    hf.mkdir(parents=True)
    (hf / "token").write_text("hf_of_its_own_login\n")
    assert found() == ("hf_of_its_own_login", "hf's login")
    file = credentials.to_file("hf", Secret("hf_in_a_file"))
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert found() == ("hf_in_a_file", "file")
    credentials.for_this_session("hf", Secret("hf_of_this_session"))
    assert found() == ("hf_of_this_session", "session")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    assert found() == ("hf_of_the_environment", "environment")
    assert credentials.forget("hf") == ["session", "file"]
    monkeypatch.delenv("HF_TOKEN")
    assert found() == ("hf_of_its_own_login", "hf's login")


def test_skypilots_key_is_found() -> None:
    """`api_key = KEY` in ~/.lambda_cloud/lambda_keys (lambda-cloud-api.md §1.2)."""
    assert credentials.of_skypilot() is None
    folder = Path.home() / ".lambda_cloud"
    folder.mkdir()
    (folder / "lambda_keys").write_text("# mine\napi_key = secret_sky_1234\n")
    key = credentials.of_skypilot()
    assert key and key.reveal() == "secret_sky_1234"


def test_without_a_keyring_nothing_is_kept_silently() -> None:
    """It is said, and not written anywhere."""
    with pytest.raises(credentials.KeyringUnavailable, match="no keyring that can be trusted"):
        credentials.to_keyring("hf", Secret("hf_nowhere_to_go"))
    assert not credentials.own_file("hf").exists()


SESSION = """
printf '\\n' | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
set -x
echo "$TOKEN" | "$PYTHON" -m llama_tui login hf --stdin
"$PYTHON" -m llama_tui doctor
echo hf_some_other_token | "$PYTHON" -m llama_tui login hf --stdin || echo "refused with $?"
"$PYTHON" -c "from llama_tui import credentials as c; print('look:', c.look('hf')[1])"
"$PYTHON" -m llama_tui logout hf
"$PYTHON" -c "from llama_tui import credentials as c; print('look:', c.look('hf'))"
"""


@pytest.mark.secret_service
def test_a_real_keyring_keeps_and_forgets(hub_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Login checks and keeps, doctor finds, a wrong one changes nothing, logout forgets; on no screen."""
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "PYTHON": sys.executable, "TOKEN": GOOD}
    done = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", SESSION], env=environment, capture_output=True, text=True, timeout=100
    )
    said = done.stdout + done.stderr
    assert "valid; it is lee's" in said, said
    assert "kept in the keyring" in said
    assert "✓ Hugging Face token: from the keyring" in said
    assert "Hugging Face does not accept the token" in said and "refused with 3" in said
    assert "look: keyring" in said
    assert "forgotten: keyring" in said
    assert "look: None" in said
    assert GOOD not in said.replace(f"echo {GOOD}", "")
    assert not credentials.own_file("hf").exists()
