"""The words of a question for commands beside `run`: its options, and changes to a question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from genzcli.cli import run
from genzcli.cli.asking.request import LISTS, Request, Text
from genzcli.errors import PlanError


def asks(command: Callable[..., int], leave_out: tuple[str, ...] = ()) -> Callable[..., int]:
    """`command(own, **words)` with the options of `run` in the place of `words`, but for those left out."""
    own = [item for item in signature(command).parameters.values() if item.kind is not Parameter.VAR_KEYWORD]
    taken = {item.name for item in own} | set(leave_out)
    borrowed = [
        item
        for item in signature(run.command).parameters.values()
        if item.name in Request._fields and item.name not in taken and item.default is not Parameter.empty
    ]
    needed = [item for item in own if item.default is Parameter.empty]
    optional = [item for item in own if item.default is not Parameter.empty]
    parameters = [item.replace(kind=Parameter.KEYWORD_ONLY) for item in (*needed, *borrowed, *optional)]

    def asked(**words: Any) -> int:
        return command(**words)

    asked.__doc__, asked.__name__ = command.__doc__, command.__name__
    asked.__annotations__ = {item.name: item.annotation for item in parameters} | {"return": int}
    vars(asked)["asks"] = True  # its help is that of `run` but for its own
    vars(asked)["__signature__"] = signature(command).replace(parameters=parameters)
    return asked


def replaced(base: Request, words: Mapping[str, Any]) -> Request:
    """The request with some words changed."""
    return Request(**{**base._asdict(), **words})


# Short flags, and the names of the JSON contract.
_SAME = {"b": "batch", "i": "input", "o": "output", "n": "chips", "u": "usecase"}
_SAME |= {"input_tokens": "input", "output_tokens": "output", "usecase.batch": "batch"}
#: Words that may be left out: `none` does.
_ABSENT = ("draft", "draft_hardware", "offload", "attention_on", "sparsity")
_NOT_HERE = ("catalog", "places", "name")


def changed(base: Request, text: str, where: str) -> Request:
    """The request with `WORD=VALUE` in place of its own; several stand between semicolons.

    A word is a long flag of `run` (`precision=fp8`), or the path of a field (`memory.hbm.bandwidth=*2`).
    """
    seen: set[str] = set()
    for part in text.split(";"):
        word, sign, value = (piece.strip() for piece in part.partition("="))
        if not sign or not value or not word:
            cure = "write it as precision=fp8, chips=16 or memory.hbm.bandwidth=*2"
            raise PlanError(f"{text!r} changes nothing", where=where, cure=cure)
        if name_of(word) in seen:
            raise PlanError(f"{word} is changed twice", where=where, cure="keep one")
        seen |= {name_of(word)} - set(LISTS)
        base = _with(base, word, value, where)
    return base


def name_of(word: str) -> str:
    """The word of a request that a flag, a short flag or a JSON name stands for; a path as it is."""
    name = word.removeprefix("--")
    name = name if "." in name else name.replace("-", "_")
    return _SAME.get(name, name)


def _with(base: Request, word: str, value: str, where: str) -> Request:
    name = name_of(word)
    if name in _NOT_HERE:
        raise PlanError(f"{name} cannot be changed here", where=where, cure="give it to the whole command")
    if name in LISTS:
        return replaced(base, {name: (*getattr(base, name), Text(value, where))})
    if name in Request._fields:
        return replaced(base, {name: None if value == "none" and name in _ABSENT else value})
    return base._replace(set=(*base.set, Text(f"{word}={value}", where)))
