"""The words of a sweep as frames of equal structure and axes of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, product
from math import prod
from typing import Any, NamedTuple

from genzcli.catalog import path as paths
from genzcli.catalog.document import read
from genzcli.cli.question import changed, name_of
from genzcli.cli.request import NUMBERS, Request, from_flags
from genzcli.cli.resolve import Loaded, load
from genzcli.errors import GenzError, PlanError
from genzcli.explore import axes as ranges
from genzcli.explore.sweep import Frame, Numbers, count
from genzcli.spec.noun import Noun
from genzcli.spec.workload import Scenario

#: Words whose values are numbers that broadcast, with the field they fill.
_FIELDS = {
    "batch": "plan.batch",
    "concurrency": "plan.batch",
    "input": "usecase.input_tokens",
    "output": "usecase.output_tokens",
    "beams": "usecase.beams",
    "images": "usecase.images",
    "image_tokens": "usecase.image_tokens",
    "price": "plan.price_usd_per_hour",
    **{
        word: f"plan.{word}"
        for word in ("imbalance", "overlap", "chunk", "draft_tokens", "accept", "prefix_hit", "kv_keep")
    },
    **{word: f"plan.{word}" for word in ("weight_density", "reserve", "alpha", "lora_rank", "lora_adapters")},
}
#: What an axis is called in a row, where that is not its word.
_COLUMNS = {"input": "input_tokens", "output": "output_tokens", "concurrency": "batch"}
#: Words that count and change the structure: another plan is another computation.
AXES = ("chips", "tp", "pp", "dp", "ep")
_TRIED = 1000
_PARTS = ("model", "platform", "usecase", "plan", "profile")


class Axis(NamedTuple):
    """One `--over`: the word or path, and its values as texts."""

    word: str
    texts: tuple[str, ...]
    where: str

    @property
    def column(self) -> str:
        return _COLUMNS.get(self.word, self.word)


class Sweep(NamedTuple):
    """What is swept: every combination of the slow axes is a frame, the numbers vary inside."""

    base: Request
    slow: tuple[Axis, ...]
    fast: tuple[Axis, ...]
    shard: tuple[int, int]
    trial: Loaded  # the first point

    @property
    def size(self) -> int:
        """Points in all."""
        total = 1
        for axis in (*self.slow, *self.fast):
            total *= len(axis.texts)
        return total

    @property
    def span(self) -> tuple[int, int]:
        """First and last point of the shard."""
        index, shards = self.shard
        return (index - 1) * self.size // shards, index * self.size // shards

    @property
    def units(self) -> dict[str, str]:
        """The unit of each swept column, empty for words and counts."""
        parts = _parts(self.trial)
        found = {axis.column: paths.numeric_field(parts, axis.word) for axis in self.fast if "." in axis.word}
        return {
            axis.column: item[2].unit if (item := found.get(axis.column)) is not None else ""
            for axis in (*self.slow, *self.fast)
        }

    def frames(self, first: int, last: int) -> Iterator[tuple[Frame, tuple[Numbers, ...], int]]:
        """Combinations of the slow axes with points in a span, their axes of numbers and first points."""
        inside = prod(len(axis.texts) for axis in self.fast)
        for index, texts in enumerate(product(*(axis.texts for axis in self.slow))):
            if index * inside >= last or (index + 1) * inside <= first:
                continue
            request, labels = self.base, {}
            for axis, text in zip(self.slow, texts, strict=True):
                request = changed(request, f"{axis.word}={text}", axis.where)
                labels[axis.column] = int(text) if axis.word in AXES and text.isdigit() else text
            frame, numbers = self._frame(request, labels)
            yield frame, numbers, index * inside

    def _frame(self, request: Request, labels: dict[str, Any]) -> tuple[Frame, tuple[Numbers, ...]]:
        loaded, problem = self.trial, ""
        try:
            loaded = load(request)
        except PlanError as error:
            problem = str(error)
        except GenzError as error:
            said = ", ".join(f"{key} {value}" for key, value in labels.items())
            raise (error.at(said) if said else error) from None
        labels = {**labels, "model": request.model, "hardware": request.hardware, "chip": None}
        if not problem:
            chip = loaded.parts.platform.chip.name
            labels |= {"model": loaded.parts.model.name, "hardware": loaded.hardware, "chip": chip}
        frame = Frame(loaded.scenario, loaded.chips, loaded.fixed, labels, problem)
        return frame, tuple(_numbers(axis, loaded) for axis in self.fast)


def plan_of(
    model: str, hardware: str | None, over: tuple[str, ...], words: dict[str, Any], shard: str | None
) -> Sweep:
    """The sweep that the command line, or a scenario file, asks for."""
    found = [_axis(text) for text in over]
    _once(found)
    if is_scenario(model):
        return _swept(*_of_file(model, hardware, found, words), shard)
    swept = {axis.word: axis.texts[0] for axis in found}
    if found and hardware is None and "hardware" not in swept:
        raise PlanError("no hardware is named", where="HARDWARE", cure="name a chip or a platform")
    for word in swept:
        if words.get(word):
            raise PlanError(f"{word} is swept and given", where=f"--{word}", cure="keep one")
    base = from_flags({**words, "model": model, "hardware": hardware or swept.get("hardware", "")})
    return _swept(base, found, shard)


def is_scenario(path: str) -> bool:
    """Whether it is a scenario file: YAML, or stdin, that names its hardware or what it is swept over."""
    import os

    if path == "-":
        return True
    if not path.endswith((".yaml", ".yml")) or not os.path.isfile(path):
        return False
    entries = read(path).entries or {}
    return any(key in entries for key in ("hardware", "scenarios", "over"))


def _of_file(
    path: str, hardware: str | None, over: list[Axis], words: dict[str, Any]
) -> tuple[Request, list[Axis]]:
    """The question of a file and its axes; an axis of the command line stands for the file's own."""
    from genzcli.cli.scenarios import read_sweep

    given = [word for word, value in words.items() if value and word != "catalog"]
    if hardware is not None or given:
        where = f"--{given[0].replace('_', '-')}" if given else "HARDWARE"
        cure = "write it into the file, or give it as --over WORD=VALUE"
        raise PlanError("stands beside a scenario file", where=where, cure=cure)
    base, ranged = read_sweep(path, tuple(words.get("catalog") or ()))
    own = [
        Axis(name_of(word), ranges.listed(texts, ", ".join(texts), where), where)
        if is_list
        else Axis(name_of(word), ranges.values(texts[0], where), where)
        for word, texts, is_list, where in ranged
    ]
    _once(own)
    replaced = {axis.column: axis for axis in over}
    kept = [replaced.pop(axis.column, axis) for axis in own]
    return base, [*kept, *replaced.values()]


def _once(axes: list[Axis]) -> None:
    """No column is swept twice."""
    seen: set[str] = set()
    for axis in axes:
        if axis.column in seen:
            raise PlanError(f"{axis.column} is swept twice", where=axis.where, cure="keep one")
        seen.add(axis.column)


def _swept(base: Request, found: list[Axis], shard: str | None) -> Sweep:
    """The axes parted into those that change the structure and those of numbers."""
    if not found:
        cure = "name an axis, as --over batch=1..64, or `over:` in a scenario file"
        raise PlanError("nothing is swept", where="--over", cure=cure)
    loaded = _first_legal(base, found)
    fast = tuple(axis for axis in found if _is_number(axis, loaded))
    slow = tuple(axis for axis in found if axis not in fast)
    for axis in fast:
        if axis.word in _FIELDS:
            base = changed(base, f"{axis.word}={axis.texts[0]}", axis.where)
    return Sweep(base, slow, fast, _shard(shard), loaded)


def _first_legal(base: Request, found: list[Axis]) -> Loaded:
    """The question with a value of each axis, the first ones unless no plan has these."""
    trouble: GenzError | None = None
    for texts in islice(product(*(axis.texts for axis in found)), _TRIED):
        request = base
        for axis, text in zip(found, texts, strict=True):
            request = changed(request, f"{axis.word}={text}", axis.where)
        try:
            return load(request)
        except PlanError as error:
            trouble = trouble or error
    assert trouble is not None
    raise trouble


def _axis(text: str) -> Axis:
    word, sign, rest = (piece.strip() for piece in text.partition("="))
    if not sign or not word or not rest:
        cure = "write it as batch=1..64 or memory.hbm.bandwidth=*0.5..*2/log5"
        raise PlanError(f"{text!r} is no axis", where="--over", cure=cure)
    where = f"--over {word}"
    return Axis(name_of(word), ranges.values(rest, where), where)


def _shard(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    index, sign, shards = text.partition("/")
    if not (sign and index.isdigit() and shards.isdigit() and 1 <= int(index) <= int(shards)):
        raise PlanError(f"{text!r} is no shard", where="--shard", cure="write it as 1/4, up to 4/4")
    return int(index), int(shards)


def _is_number(axis: Axis, loaded: Loaded) -> bool:
    if axis.word in _FIELDS:
        return True
    return "." in axis.word and paths.numeric_field(_parts(loaded), axis.word) is not None


def _parts(loaded: Loaded) -> dict[str, Noun]:
    return dict(loaded.parts._asdict())


def _numbers(axis: Axis, loaded: Loaded) -> Numbers:
    """An axis of numbers in one frame: changes such as *2 are taken from this frame's own value."""
    import numpy as np

    parts = _parts(loaded)
    if axis.word in _FIELDS:
        found = [_checked(axis, text) for text in axis.texts]
        path = _FIELDS[axis.word]
    else:
        found = [_value_at(parts, axis, text) for text in axis.texts]
        path = axis.word
    located = paths.numeric_field(parts, path)
    assert located is not None
    root, keys, _ = located

    def put(scenario: Scenario, value: Any) -> Scenario:
        owner: dict[str, Noun] = {name: getattr(scenario, name) for name in _PARTS}
        return scenario.replace(**paths.put(owner, root, keys, value))

    return Numbers(axis.column, np.array(found, dtype=float), put)


def _checked(axis: Axis, text: str) -> float:
    from genzcli.catalog import check

    if axis.word == "price" and text[-1:].isdigit():
        text += " USD/h"
    return float(check.number(text, NUMBERS[axis.word], axis.where))


def _value_at(parts: Mapping[str, Noun], axis: Axis, text: str) -> float:
    """What `--set PATH=TEXT` would put there."""
    new = paths.set_path(parts, axis.word, text)
    located = paths.numeric_field(new, axis.word)
    assert located is not None
    root, keys, _ = located
    return float(paths.get(new, root, keys))


def frames_in(sweep: Sweep, first: int, last: int) -> Iterator[tuple[Frame, tuple[Numbers, ...], int, int]]:
    """Frames with points in a span, and the first and last point of each that belongs to it."""
    for frame, numbers, start in sweep.frames(first, last):
        yield frame, numbers, max(first - start, 0), min(last - start, count(numbers))
