"""`genz import-hf`: a config.json of Hugging Face as a model file."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from genzcli.errors import CatalogError, GenzError


def command(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A config.json, a folder that holds one, or - for stdin.")
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What to call the model [its file or folder]."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file [stdout].")
    ] = None,
) -> int:
    """Turn a Hugging Face config.json into a cited model file.

    What a model file cannot say is refused, or where it is small said in a comment. `genz run` takes a
    config.json as it is.

    \b
    Examples:
      genz import-hf Qwen3-8B/config.json -o models/my-qwen3.yaml
      genz import-hf - < config.json
      genz run Qwen3-8B/config.json h100-sxm
    """
    from genzcli.cli.streams import emit

    text = document(config, name)
    if output is None or output == "-":
        emit(text)
    else:
        _write(text, output, config)
    return 0


def document(config: str, name: str | None) -> str:
    """The model file as text, proven to load."""
    from genzcli.catalog.build import build
    from genzcli.catalog.document import parse, shorten
    from genzcli.catalog.huggingface import convert, files
    from genzcli.spec.model import Model

    path = _path(config)
    if path == "-":
        import sys

        shown, text, named, beside = "stdin", _stdin(sys.stdin), ("model", ""), None
    else:
        shown = shorten(path)
        text, named, beside = files.read(path, shown), files.name_of(path), files.beside(path)
    values = files.mapping(text, shown)
    if path == "-":
        named = files.name_in(values)
    origin = named[1] or named[0]
    if name is not None:
        named = (files.folded_name(_checked(name)), named[1])
    written = convert.convert(values, shown, named, beside, origin)
    try:
        build(parse(written, shown), Model)
    except CatalogError as error:  # its line is that of the text made here
        place = error.where.removeprefix(shown).lstrip(":0123456789 ")
        raise CatalogError(error.message, where=f"{shown}: {place}", cure=error.cure) from None
    return written


#: No id is longer; a file by that name has to fit a file system.
_LONGEST_NAME = 200


def _checked(name: str) -> str:
    """A name that can be an id: one line, no path, not empty."""
    wrong = ""
    if not name.strip():
        wrong = "is empty"
    elif not name.isprintable():
        wrong = "has characters that cannot be printed"
    elif set(name) & set("/\\"):
        wrong = f"{name!r} is a path, not a name"
    elif len(name) > _LONGEST_NAME:
        wrong = f"is longer than {_LONGEST_NAME} characters"
    if wrong:
        raise GenzError(wrong, where="--name", cure="give one word, as my-model-7b")
    return name


def _path(word: str) -> str:
    """The file that the word means; a hub name is not one."""
    import os

    from genzcli.catalog.find import config_in, folder_lacks

    if word == "-" or os.path.isfile(word):
        return word
    inside = config_in(word)
    if inside is not None:
        return inside
    if os.path.isdir(word):
        raise GenzError(folder_lacks(word), where=word, cure="name the folder of a downloaded model")
    if word.count("/") == 1 and not word.endswith(".json") and word[0] not in "./~":
        cure = f"download config.json from huggingface.co/{word} and give its path"
        raise GenzError("is a name on the hub, and genz does not use the network", where=word, cure=cure)
    raise GenzError("there is no such file", where=word, cure="give a config.json, or its folder")


def _stdin(stream: object) -> str:
    read = getattr(stream, "read", None)
    if read is None:
        raise GenzError("is closed", where="stdin", cure="pipe a config.json into it")
    try:
        return str(read())
    except UnicodeDecodeError:
        raise GenzError("is not UTF-8", where="stdin", cure="pipe a config.json into it") from None


def _write(text: str, path: str, source: str) -> None:
    from genzcli.cli.asking.save import to_file

    inputs = (source, os.path.join(source, "config.json"))
    to_file(text, path, "--output", inputs)
