"""The options that every command shares, and `--format`."""

from __future__ import annotations

from typing import Annotated

import typer

from genzcli.cli.help import OUTPUT
from genzcli.errors import GenzError, nearest

FORMATS = ("table", "json", "csv", "markdown")

Format = Annotated[
    str,
    typer.Option(
        "--format", metavar="|".join(FORMATS), help="How to print the answer.", rich_help_panel=OUTPUT
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Short for --format json.", rich_help_panel=OUTPUT)]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Only the verdict, in a line or a few; errors still go to stderr.",
        rich_help_panel=OUTPUT,
    ),
]
ExitZero = Annotated[
    bool,
    typer.Option("--exit-zero", help="Exit 0 where the verdict would be 1 or 3.", rich_help_panel=OUTPUT),
]
Catalogs = Annotated[
    list[str] | None,
    typer.Option(
        "--catalog", metavar="DIR", help="Look in this catalog first; repeatable.", rich_help_panel=OUTPUT
    ),
]


def chosen(word: str, json: bool, formats: tuple[str, ...] = FORMATS) -> str:
    """The format asked for, of those that the command has."""
    if json and word not in ("table", "json"):
        raise GenzError(f"--json and --format {word} exclude each other", where="--format", cure="keep one")
    if word not in formats:
        near = nearest(word, formats, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        cure = f"{meant}choose from {', '.join(formats)}"
        raise GenzError(f"unknown format {word!r}", where="--format", cure=cure)
    return "json" if json else word
