"""What Hugging Face is asked before money is spent, and what its refusals mean."""

import pytest

from llama_tui import hub
from llama_tui.core.errors import CredentialRejected, PreflightFailed
from llama_tui.core.models import MODELS, model_of_config
from llama_tui.redact import Secret
from tests.hub_server import COMMIT, CONFIG, GATED_REPO, GOOD, GRANTED, OPEN_REPO


async def test_a_token_is_somebodys(hub_server: str) -> None:
    """A valid token has a user; another is rejected, and the page for a new one named."""
    assert await hub.whoami(Secret(GOOD)) == "lee"
    with pytest.raises(CredentialRejected) as caught:
        await hub.whoami(Secret("hf_some_other_token"))
    assert "settings/tokens" in caught.value.hint


async def test_the_licence_of_this_repository(hub_server: str) -> None:
    """Granted, not granted with the page that grants it, and no such repository."""
    await hub.check_access(GATED_REPO, Secret(GRANTED))
    await hub.check_access(OPEN_REPO, None)
    for token in (Secret(GOOD), None):
        with pytest.raises(PreflightFailed, match="licence of meta-llama/Meta-Llama-3-8B is not granted") as caught:
            await hub.check_access(GATED_REPO, token)
        assert f"{hub_server}/{GATED_REPO}" in caught.value.hint
    with pytest.raises(PreflightFailed, match="there is no repository org/nothing"):
        await hub.check_access("org/nothing", Secret(GOOD))


async def test_a_revision_is_a_commit(hub_server: str) -> None:
    """The main branch has one; one that is not there is said."""
    assert await hub.commit(OPEN_REPO, None) == COMMIT
    with pytest.raises(PreflightFailed, match="has no revision v9"):
        await hub.commit(OPEN_REPO, None, revision="v9")


async def test_any_repository_becomes_a_model(hub_server: str) -> None:
    """Its config.json and sizes are read; `original/` does not count."""
    repo = await hub.look_at(OPEN_REPO, None)
    assert (repo.commit, repo.weights_bytes, repo.parameters, repo.gated) == (
        COMMIT,
        16_060_522_496,
        8_030_261_248,
        False,
    )
    model = model_of_config(repo.repo_id, repo.config, parameters=repo.parameters)
    assert model.shape == MODELS["llama-3-8b"].shape
    assert (model.max_model_len, model.chat, model.repo_id) == (8192, True, OPEN_REPO)
    gated = await hub.look_at(GATED_REPO, Secret(GOOD))
    assert gated.gated and gated.config == {}
    assert (await hub.look_at(GATED_REPO, Secret(GRANTED))).config == CONFIG


async def test_silence_is_not_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub that does not answer: nothing is known, and that is said."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(hub.HubUnreachable, match="does not answer"):
        await hub.whoami(Secret(GOOD))
