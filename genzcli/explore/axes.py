"""The values of an axis as people write them: lists, ranges that double, even and geometric steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from genzcli.errors import PlanError

_MOST = 10_000_000


def values(text: str, where: str) -> tuple[str, ...]:
    """The values that a text stands for, as texts.

    `1,2,4` these; `1..256` doubling, the end with it; `1..10/4` four even steps; `1..256/log9` nine
    geometric ones; `0..100/+20` steps of 20. Ends may have units or be changes: `1TB/s..8TB/s/log4`,
    `*0.5..*4/log7`. Parts may be joined: `1..64,100`. Where a value has commas, semicolons part them.
    """
    return listed(text.split(";" if ";" in text else ","), text, where)


def listed(parts: Iterable[str], text: str, where: str) -> tuple[str, ...]:
    """The values of parts, each a value or a range; `text` is what an error quotes."""
    found = [value for part in parts for value in _part(part.strip(), where)]
    if not found or not all(found):
        cure = "write it as batch=1,2,4 or batch=1..64"
        raise PlanError(f"{text!r} holds an empty value", where=where, cure=cure)
    if len(set(found)) < len(found):
        twice = next(value for index, value in enumerate(found) if value in found[:index])
        raise PlanError(f"{twice} is given twice", where=where, cure="keep one")
    return tuple(found)


def _part(text: str, where: str) -> Iterator[str]:
    first, dots, rest = text.partition("..")
    if not dots:
        yield text
        return
    last, _, how = rest.rpartition("/")
    if not last or not _is_step(how):
        if last and (how[:1] in (*"+-.0123456789", "") or how.startswith("log")):
            cure = "a step is /N for N even values, /logN for geometric ones, or /+S for steps of S: digits"
            raise PlanError(f"{text!r}: {'/' + how!r} is no step", where=where, cure=cure)
        last, how = rest, ""
    start, head, tail = _number(first.strip(), where)
    stop, other_head, other_tail = _number(last.strip(), where)
    if head != other_head or (tail and other_tail and tail != other_tail):
        cure = "write both ends alike, as 1TB/s..8TB/s or *0.5..*4"
        raise PlanError(f"the ends of {text!r} differ in kind", where=where, cure=cure)
    for value in _steps(start, stop, how, text, where):
        yield (
            f"{head}{value!r}{tail or other_tail}"
            if value != int(value)
            else f"{head}{int(value)}{tail or other_tail}"
        )


def _is_step(how: str) -> bool:
    digits = how.removeprefix("log").removeprefix("+")
    return digits.isascii() and digits.replace(".", "", 1).isdigit()


def _number(text: str, where: str) -> tuple[float, str, str]:
    """The number in a text, what stands before it (*, +), and its unit."""
    head = text[: len(text) - len(text.lstrip("*+"))]
    rest = text[len(head) :]
    size = next((i for i in range(len(rest), 0, -1) if _is_number(rest[:i])), 0)
    if not size:
        raise PlanError(
            f"{text!r} is no end of a range", where=where, cure="write it as 1..64 or 1TB/s..4TB/s"
        )
    return float(rest[:size]), head, rest[size:]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and not text[-1:].isspace() and "_" not in text
    except ValueError:
        return False


def _steps(start: float, stop: float, how: str, text: str, where: str) -> Iterator[float]:
    if stop < start:
        raise PlanError(f"{text!r} runs backwards", where=where, cure="put the smaller end first")
    if how.startswith("+"):
        step = float(how[1:])
        if not step or (stop - start) / step > _MOST:
            raise PlanError(f"{text!r} has no end", where=where, cure="take a larger step")
        yield from (_clean(start + index * step) for index in range(int((stop - start) / step + 1e-9) + 1))
        return
    geometric = not how or how.startswith("log")
    if geometric and start <= 0:
        raise PlanError(
            f"{text!r} cannot be cut geometrically", where=where, cure="start above 0, or give /N even steps"
        )
    if not how:
        value = start
        while value < stop:
            yield value
            value *= 2
        yield stop
        return
    digits = how.removeprefix("log")
    if "." in digits:
        cure = f"take a whole number, or /+{digits} for steps of that size"
        raise PlanError(f"{text!r} has {digits} steps", where=where, cure=cure)
    count = int(digits)
    if not 1 <= count <= _MOST:
        raise PlanError(f"{text!r} has {count} steps", where=where, cure=f"take 1 to {_MOST}")
    for index in range(count):
        share = index / max(count - 1, 1)
        yield _clean(start * (stop / start) ** share if geometric else start + (stop - start) * share)


def _clean(value: float) -> float:
    """Twelve digits: 0.1 * 3 is 0.3."""
    return float(f"{value:.12g}")
