"""The command line as a whole: which command, and what becomes of its errors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from errno import ENOSPC
from typing import Annotated, Any

import typer

from genzcli.cli.exits import Exit
from genzcli.errors import GenzError

#: Command to module; only the one that is asked for is imported.
COMMANDS = {
    "run": "genzcli.cli.run",
    "check": "genzcli.cli.check",
    "compare": "genzcli.cli.compare",
    "sweep": "genzcli.cli.sweep",
    "size": "genzcli.cli.size",
    "sensitivity": "genzcli.cli.sensitivity",
    "plot": "genzcli.cli.plot",
    "validate": "genzcli.cli.validate",
    "calibrate": "genzcli.cli.calibrate",
    "list": "genzcli.cli.list",
    "show": "genzcli.cli.show",
    "lint": "genzcli.cli.lint",
    "import-hf": "genzcli.cli.import_hf",
}

_LONGEST = 1000

# typer re-exports only this one of the usage errors; its base is what they have in common.
_UsageError: Any = typer.BadParameter.__mro__[1]


def build(names: Iterable[str] = tuple(COMMANDS)) -> typer.Typer:
    """The Typer application with these commands."""
    from importlib import import_module

    from genzcli.cli.help import Asking, Sectioned

    app = typer.Typer(
        name="genz",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(root)
    for name in names:
        command = import_module(COMMANDS[name]).command
        app.command(name, cls=Asking if hasattr(command, "asks") else Sectioned)(command)
    return app


def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """What if I served this model, for this use case, on this platform?

    \b
    Start here:
      genz run llama-3.1-70b 8xh100 -u chat
      genz compare llama-3.1-70b 8xh100 4xmi300x 16xtpu-v5e -i 2000 -o 500 --fit
      genz size llama-3.1-70b h100-sxm mi300x -u chat --precision fp8

    `genz list` says what there is, `genz COMMAND --help` what a command can do, with examples.
    """
    from genzcli.cli.streams import emit

    if version:
        from genzcli.cli.version import VERSION

        emit(f"genz {VERSION}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        emit(context.get_help())
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error becomes one line on stderr."""
    from genzcli.cli.streams import finish, prepare

    prepare()
    return finish(_guarded(list(arguments)))


def _guarded(arguments: list[str]) -> int:
    from genzcli.cli.streams import ClosedPipe

    try:
        return _invoke(arguments)
    except GenzError as error:
        return complain(str(error))
    except _UsageError as error:
        return complain(_usage(error, arguments))
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except (ClosedPipe, BrokenPipeError):
        return Exit.CLOSED_PIPE
    except Exception as error:
        if isinstance(error, OSError) and error.errno == ENOSPC:  # typer's own help, on a full disk
            return complain(f"stdout: cannot be written ({error.strerror}); free some space")
        import traceback

        traceback.print_exc()
        return Exit.INTERNAL


def _invoke(arguments: list[str]) -> int:
    arguments = _plain(arguments)
    named = arguments[:1] if arguments[:1] and arguments[0] in COMMANDS else list(COMMANDS)
    command: Any = typer.main.get_command(build(named))
    try:
        # Not command.main(): it takes a closed pipe for a failure of its own, with exit code 1.
        with command.make_context("genz", arguments) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as stop:
        return int(stop.exit_code)


def _plain(arguments: list[str]) -> list[str]:
    """`genz help sweep` and `genz version` as the flags they stand for; `genz whatif` is compare."""
    match arguments:
        case ["whatif", *rest]:
            return ["compare", *rest]
        case ["help", "whatif"]:
            return ["compare", "--help"]
        case ["version"]:
            return ["--version"]
        case ["help", *rest]:
            return [*rest, "--help"]
    return arguments


def complain(text: str) -> Exit:
    """One line on stderr, cut where somebody's input makes it endless; exit code 2 even if nobody reads."""
    line = "genz: error: " + " ".join(text.split())
    line = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)
    return Exit.BAD_INPUT


def _usage(error: Any, arguments: Sequence[str]) -> str:
    """A usage error as `place: what; cure`."""
    from genzcli.cli.asking.hints import cure

    context = error.ctx
    path = context.command_path if context is not None else "genz"
    hint = cure(error, arguments)
    plain = hasattr(error, "option_name") or hint  # without the far-fetched options that typer may list
    message = error.message if plain and error.message else error.format_message()
    said = f"{path}: {message.rstrip('.')}"
    see = f"see `{path} --help`"
    return f"{said}; {hint}{' ' if hint.endswith('?') else '; ' if hint else ''}{see}"
