"""The command `llama-tui`: its words and options, the one place where an error becomes an exit code.

What a command does is in commands.py; it is imported when it is needed, so that `--help` stays light.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from llama_tui import __version__
from llama_tui.cli import output
from llama_tui.cli.options import (
    ACCEPT,
    CHOICES,
    CLOUD,
    ENGINE,
    ENGINE_ARGS,
    HOST,
    JSON,
    MODEL,
    PROFILE,
    choices_of,
    engine_args_of,
    seconds_of,
)
from llama_tui.core.errors import LlamaTuiError
from llama_tui.core.plan import Choices

if TYPE_CHECKING:
    from llama_tui.services import Services


def _run(work: Callable[[Services], Coroutine[Any, Any, int | None]]) -> None:
    """Run one command with its services, and leave with its exit code."""
    from llama_tui.services import Services

    async def body() -> int:
        services = Services()
        try:
            return await work(services) or 0
        finally:
            await services.aclose()

    try:
        sys.exit(asyncio.run(body()))
    except KeyboardInterrupt:  # here, as click would make an unexplained failure of it
        output.tell("interrupted; what runs is shown by: llama-tui ls")
        sys.exit(130)


class _Group(click.Group):
    """Turns errors into one sentence, the next thing to do, and an exit code: here and nowhere else."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except LlamaTuiError as error:
            output.tell_error(error)
            sys.exit(error.exit_code)
        except BrokenPipeError:
            # The reader of a pipe has gone (`| head`): not our failure. Keep Python from saying so at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


@click.group(cls=_Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="llama-tui")
@click.pass_context
def main(context: click.Context) -> None:
    r"""From "I want a Llama endpoint on a rented GPU" to an answer, to the receipt.

    Without a command the app opens. To try everything without renting anything:

    \b
        llama-tui demo
        llama-tui up --cloud practice --model smollm2-135m --name demo
        llama-tui prompt demo "The capital of France is"
        llama-tui down demo

    Exit codes: 0 done, 2 usage, 3 something is missing (nothing was spent), 4 no capacity, 5 setup failed,
    6 limit reached, 7 could not confirm that a machine is gone, 1 anything else.
    """
    if context.invoked_subcommand is None:
        _open_app("")


def _open_app(cloud: str) -> None:
    from llama_tui.core.errors import UsageError

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the app needs a terminal", "use the commands: llama-tui --help")
    from llama_tui.services import Services
    from llama_tui.tui.app import run_app

    run_app(Services, open_cloud=cloud)


@main.command()
@click.option("--headless", is_flag=True, help="The same without the app: plan, up, one prompt, down, receipt.")
def demo(headless: bool) -> None:
    """The app on the practice cloud: nothing is rented. Headless where there is no terminal."""
    if headless or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from llama_tui.cli import commands

        _run(commands.demo)
    _open_app("practice")


@main.command()
@CLOUD
@HOST
@MODEL
@ENGINE
@PROFILE
@ENGINE_ARGS
@ACCEPT
@JSON
def types(
    cloud: str, host: str, model: str, engine: str, profile: str, accept: str, as_json: bool, **given: Any
) -> None:
    """Instance types: price, regions with capacity; with --model also whether it fits, and how much context.

    JSON: name description gpus gpu_memory_gib vcpus memory_gib storage_gib price_cents_per_hour architecture
    regions compute_capability fit{fits reason tensor_parallel_size weights_gib kv_cache_gib kv_cache_tokens
    max_model_len max_concurrency} first_answer{minutes usd} guides_choice suggested
    """
    from llama_tui.cli import commands

    async def work(services: Services) -> None:
        where = cloud or ("ssh" if host else services.settings.cloud)
        choices = Choices(model, where, host, engine=engine, profile=profile, engine_args=engine_args_of(given))
        await commands.types(services, choices, accept, as_json)

    _run(work)


@main.command()
@CHOICES
@click.option("--script", is_flag=True, help="As one shell script that does the same without llama-tui.")
@JSON
def plan(script: bool, as_json: bool, accept: str, **given: Any) -> None:
    """What `up` with the same options would do, before a cent is spent.

    JSON: the plan's fields; `fit` as in `types`; `steps` with id, title, script.
    """
    from llama_tui.cli import commands

    _run(lambda services: commands.plan(services, choices_of(services, given), accept, script, as_json))


@main.command()
@CHOICES
@click.option("--yes", "-y", is_flag=True, help="Do not ask before a machine is rented.")
@click.option("--wait", default="", metavar="3h|30m", help="Wait so long for capacity; rings when it is ready.")
@click.option("--create-filesystem", is_flag=True, help="Make the --filesystem first, in the one --region.")
@click.option("--no-check", is_flag=True, help="Rent it although `check` finds that something is missing.")
@click.option("--verbose", "-v", is_flag=True, help="Show the setup log as it comes.")
@JSON
def up(
    yes: bool,
    wait: str,
    create_filesystem: bool,
    no_check: bool,
    verbose: bool,
    as_json: bool,
    accept: str,
    **given: Any,
) -> None:
    """Deploy, and wait until it answers.

    The machine does the work: a closed lid, a lost line or Ctrl-C does not stop it. The same command continues where
    it is, or where it failed; for an endpoint that is up it just says so.

    JSON: id name cloud state model base_url local_port price_cents_per_hour instance{…} created launched ready
    """
    from llama_tui.cli import commands

    _run(
        lambda services: commands.up(
            services,
            choices_of(services, given),
            accept,
            yes,
            verbose,
            as_json,
            wait_seconds=seconds_of(wait),
            create_filesystem=create_filesystem,
            check_first=not no_check,
        )
    )


@main.command()
@JSON
def ls(as_json: bool) -> None:
    """Endpoints and everything in the accounts: state, $/h, spent, limits. Whether one is idle, `reap` finds out.

    JSON: kind (endpoint or instance) name state cloud model machine region price_cents_per_hour spent_usd created
    limits{usd hours idle_minutes} over(dollars hours, or empty)
    """
    from llama_tui.cli import listing

    _run(lambda services: listing.ls(services, as_json))


@main.command()
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Go on as it grows.")
@click.option("--source", type=click.Choice(["setup", "server"]), default="server", show_default=True)
def logs(name: str, follow: bool, source: str) -> None:
    """A log of an endpoint, from line 1; also of one that is gone."""
    from llama_tui.cli import commands

    _run(lambda services: commands.logs(services, name, source, follow))


@main.command()
@click.argument("name")
@click.argument("text", required=False)
@click.option("--chat", is_flag=True, help="As a chat turn, with the model's chat template.")
@click.option("--system", default="", help="System message of a chat.")
@click.option("--max-tokens", type=click.IntRange(1), default=256, show_default=True)
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.7, show_default=True)
@click.option("--raw", is_flag=True, help="The server's own JSON, pretty on a terminal.")
def prompt(
    name: str, text: str | None, chat: bool, system: str, max_tokens: int, temperature: float, raw: bool
) -> None:
    r"""One completion, streamed. Without TEXT it is read from standard input.

    \b
        llama-tui prompt demo "The capital of France is" --max-tokens 1 --temperature 0
        git diff | llama-tui prompt demo --chat --system "Say what this changes."

    --raw: id object created model choices[].index/text/logprobs/finish_reason usage
    """
    from llama_tui.cli import commands

    _run(lambda services: commands.prompt(services, name, text, chat, system, max_tokens, temperature, raw))


@main.command()
@click.argument("name")
@JSON
def env(name: str, as_json: bool) -> None:
    """Shell exports for OpenAI clients: `eval "$(llama-tui env demo)"`, beside a running `llama-tui connect demo`.

    JSON: OPENAI_BASE_URL OPENAI_API_KEY OPENAI_MODEL
    """
    from llama_tui.cli import commands

    _run(lambda services: commands.env(services, name, as_json))


@main.command()
@click.argument("name")
def connect(name: str) -> None:
    """Hold the endpoint open on its local port, through lost connections, until Ctrl-C."""
    from llama_tui.cli import commands

    _run(lambda services: commands.connect(services, name))


@main.command()
@click.argument("target", metavar="HOST|URL")
@click.option("--name", "-n", default="", help="Which of the host's endpoints; what to call the URL.")
@click.option(
    "--key-stdin", is_flag=True, help="Read the key of a URL from standard input; it goes to the OS keyring."
)
@ACCEPT
@JSON
def attach(target: str, name: str, key_stdin: bool, accept: str, as_json: bool) -> None:
    """Adopt what llama-tui set up on a host from any computer, or an OpenAI-compatible server at a URL."""
    from llama_tui.cli import commands

    _run(lambda services: commands.attach(services, target, name, key_stdin, accept, as_json))


@main.command()
@click.argument("names", nargs=-1, metavar="NAME…")
@click.option("--all", "everything", is_flag=True, help="All endpoints.")
@JSON
def down(names: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """End endpoints, prove that they are gone, print the receipts.

    JSON: name cloud instance_type region started ended minutes usd why
    """
    from llama_tui.cli import commands

    _run(lambda services: commands.down(services, names, everything, as_json))


@main.command()
@click.option("--dry-run", is_flag=True, help="Only say what it would end.")
@JSON
def reap(dry_run: bool, as_json: bool) -> None:
    r"""End every endpoint of this computer that is over a limit, prove that it is gone, print the receipts.

    Limits hold while a llama-tui runs here; this one is for cron, so that they hold while the computer is on:

    \b
        */5 * * * *  llama-tui reap

    Idle is what the server's own request counters say; where they cannot be read it ends nothing. A cron job seldom
    has a keyring: keep the key with `llama-tui login lambda --keep file`. Exit 6: something was over its limit; 0:
    nothing was; 7: it could not be proven gone.

    JSON: as `down`; with --dry-run: name cloud price_cents_per_hour spent_usd over(dollars hours idle) why
    """
    from llama_tui.cli import limits

    _run(lambda services: limits.reap(services, dry_run, as_json))


@main.command()
@JSON
def receipts(as_json: bool) -> None:
    """What was spent."""
    from llama_tui.cli import listing

    _run(lambda services: listing.receipts(services, as_json))


@main.command()
@CHOICES
@JSON
def check(as_json: bool, accept: str, **given: Any) -> None:
    """Whether `up` with the same options can succeed: at no cost, in seconds, each line with its fix.

    Key, token, this repository's licence, size against GPU and disk, capacity, ssh key, image, limits. Exit 3 when
    one has failed.

    JSON: what state(ok failed unknown note) detail fix
    """
    from llama_tui.cli import listing

    _run(lambda services: listing.check(services, choices_of(services, given), as_json))


@main.command()
@click.argument("service", type=click.Choice(["lambda", "hf"]))
@click.option("--stdin", "from_stdin", is_flag=True, help="Read it from standard input.")
@click.option(
    "--keep",
    type=click.Choice(["keyring", "file"]),
    help="Where. [default: the OS keyring; asks where there is none]",
)
def login(service: str, from_stdin: bool, keep: str | None) -> None:
    """Check a Lambda API key or a Hugging Face token, and keep it in the OS keyring.

    The environment (LAMBDA_API_KEY, HF_TOKEN) is always used first; hf's own login is found by itself.
    """
    from llama_tui.cli import tokens

    name: Any = service
    where: Any = keep or ""
    _run(lambda services: tokens.login(services, name, from_stdin, where))


@main.command()
@click.argument("service", type=click.Choice(["lambda", "hf"]))
def logout(service: str) -> None:
    """Forget a key or token that `login` has kept."""
    from llama_tui.cli import tokens

    name: Any = service
    _run(lambda services: tokens.logout(name))


@main.command()
@JSON
def doctor(as_json: bool) -> None:
    """What is missing on this computer, each with its fix. Exit 3 when something needed is.

    JSON: what ok needed detail fix
    """
    from llama_tui.cli import listing

    _run(lambda services: listing.doctor(services, as_json))
