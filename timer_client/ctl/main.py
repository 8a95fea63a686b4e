"""`timerctl`: the Timer System from the command line. It speaks HTTP, and nothing else."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Annotated

import typer
import typer.completion

from timer_client.ctl import dev, keys, named, others, timers
from timer_client.ctl.config import config_path, target_of
from timer_client.ctl.faults import Fault, exit_of, in_words
from timer_client.errors import TimerClientError

_EPILOG = (
    "Exit codes: 0 well, 1 failed, 2 wrong usage, 3 not found, 4 conflict, 5 not allowed, 6 not reached,"
    " 7 a field is wrong."
)

app = typer.Typer(
    name="timerctl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Timers that call a URL at a time.",
    epilog=_EPILOG,
)
for noun, group in {
    "timer": timers.app,
    "collection": named.collections,
    "route": named.routes,
    "schedule": named.schedules,
    "event": others.events,
    "controller": others.controllers,
    "key": keys.app,
}.items():
    app.add_typer(group, name=noun)
    app.add_typer(group, name=f"{noun}s", hidden=True)
app.command("watch")(timers.watch)
app.command("doctor")(others.doctor)
app.add_typer(dev.app, name="dev")


def _version(is_asked: bool) -> None:
    if is_asked:
        sys.stdout.write(f"timerctl {metadata.version('timer-client')}\n")
        raise typer.Exit


@app.callback()
def choose(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="The service; else TIMER_URL, or the profile's.")] = None,
    key: Annotated[str | None, typer.Option(help="The API key; else that of the same place as the URL.")] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="One of the configuration file, instead of the environment's; else TIMERCTL_PROFILE."),
    ] = None,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Timers that call a URL at a time."""
    if context.invoked_subcommand not in ("completion",) and not context.resilient_parsing:
        context.obj = target_of(url, key, profile)


@app.command()
def config(context: typer.Context) -> None:
    """Show which service is spoken to, and where that is written."""
    path = config_path()
    sys.stdout.write(f"file: {path}{'' if path.exists() else ' (does not exist)'}\n")
    sys.stdout.write(f"profile: {context.obj.profile or '–'}\nurl: {context.obj.url}\n")
    sys.stdout.write(f"key: {'given' if context.obj.key else 'none'}\n")


@app.command()
def completion(shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the script that completes commands: source <(timerctl completion bash)"""
    if shell not in ("bash", "zsh", "fish"):
        raise Fault(f"{shell}: bash, zsh and fish can be completed")
    script = typer.completion.get_completion_script(  # type: ignore[attr-defined]
        prog_name="timerctl", complete_var="_TIMERCTL_COMPLETE", shell=shell
    )
    sys.stdout.write(f"{script}\n")


def main() -> None:
    """The entry point: one line for each fault, and an exit code."""
    # Without its own options for that, typer knows no shells by itself.
    typer.completion.completion_init()  # type: ignore[attr-defined]
    try:
        sys.exit(app(prog_name="timerctl", standalone_mode=False))
    except (Fault, TimerClientError) as error:
        sys.stderr.write(f"timerctl: {in_words(error)}\n")
        sys.exit(exit_of(error))
    except typer.TyperException as error:
        # The command line is wrong. Without any command the help was shown instead, and there is nothing to say.
        context = getattr(error, "ctx", None)
        if said := error.format_message():
            hint = f" (see {context.command_path} --help)" if context else ""
            sys.stderr.write(f"timerctl: {said.rstrip('.')}{hint}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader has enough, as `head` has; nothing more may be flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
