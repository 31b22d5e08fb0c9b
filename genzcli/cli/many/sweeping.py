"""The words of a sweep as frames of equal structure and axes of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, islice, product
from math import prod
from typing import Any, NamedTuple

from genzcli.catalog.path import numbers as paths
from genzcli.catalog.path.change import set_path
from genzcli.cli.asking.question import changed, name_of, replaced
from genzcli.cli.asking.request import LISTS, NUMBERS, Request, from_flags, hourly
from genzcli.cli.asking.resolve import Loaded, load, precision_of
from genzcli.cli.asking.scenarios import is_scenario
from genzcli.cli.asking.synonyms import refuse_synonyms
from genzcli.errors import GenzError, PlanError
from genzcli.explore import axes as ranges
from genzcli.explore.sweep import Frame, Numbers, count
from genzcli.report.words import named
from genzcli.spec.dtype import Precision
from genzcli.spec.noun import Noun
from genzcli.spec.workload import Plan, Scenario

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
#: Combinations that are loaded ahead of the first row; of more, every pair of values.
_AHEAD = 2000
#: Columns by path: another way to say a word.
_PATHS = {path: _COLUMNS.get(word, word) for word, path in _FIELDS.items()}
_PATHS |= {f"plan.{name}": name for name in Plan.fields if name in Request._fields and name != "draft"}
_PATHS |= {"plan.price": "price", "usecase.batch": "batch"}


def column_of(word: str) -> str:
    """What a word or a path is called in a row: `plan.batch` and `concurrency` are batch."""
    return _COLUMNS.get(word) or _PATHS.get(word, word)


_PARTS = ("model", "platform", "usecase", "plan", "profile")


class Axis(NamedTuple):
    """One `--over`: the word or path, and its values as texts."""

    word: str
    texts: tuple[str, ...]
    where: str

    @property
    def column(self) -> str:
        """Where a row has its value; a concurrency under its own name, though it fills the batch."""
        return self.word if self.word == "concurrency" else self.field

    @property
    def field(self) -> str:
        """One name for all words that fill the same field."""
        return column_of(self.word)


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
            frame, numbers = self._frame(texts)
            cut = self._deciding(texts)
            behind = prod(len(axis.texts) for axis in self.fast[cut:])
            for at, places in enumerate(product(*(range(len(axis.texts)) for axis in self.fast[:cut]))):
                start = index * inside + at * behind
                if start < last and start + behind > first:
                    yield *self._part(texts, frame, numbers, places), start

    def _deciding(self, texts: tuple[str, ...]) -> int:
        """How many of the axes of numbers, from the first, the number of chips may follow from."""
        if not any(map(_decides, self.fast)):
            return 0
        try:
            picks = load(self._request(texts)[0]).picks_chips
        except GenzError:
            return 0
        return max(at for at, axis in enumerate(self.fast, start=1) if _decides(axis)) if picks else 0

    def _part(
        self, texts: tuple[str, ...], frame: Frame, numbers: tuple[Numbers, ...], places: tuple[int, ...]
    ) -> tuple[Frame, tuple[Numbers, ...]]:
        """The frame at one value of each of the first axes, with the chips that `run` would take there."""
        if not places:
            return frame, numbers
        request, _ = self._request(texts)
        for axis, place in zip(self.fast, places, strict=False):
            if _decides(axis):
                request = changed(request, f"{axis.word}={axis.texts[place]}", axis.where)
        own = load(request)
        ahead = (
            axis._replace(values=axis.values[place : place + 1])
            for axis, place in zip(numbers, places, strict=False)
        )
        return frame._replace(chips=own.chips, fixed=own.fixed), (*ahead, *numbers[len(places) :])

    def check(self) -> Sweep:
        """Make every frame once, so that a value that means nothing ends the sweep before its first row."""
        for texts in self._probes():
            self._frame(texts)
        return self

    def _probes(self) -> Iterator[tuple[str, ...]]:
        """All combinations of the slow axes; of too many, those that hold every pair of values."""
        values = [axis.texts for axis in self.slow]
        if prod(map(len, values)) <= _AHEAD:
            yield from product(*values)
            return
        for pair in combinations(range(len(values)), 2):
            yield from product(*(own if at in pair else own[:1] for at, own in enumerate(values)))

    def _request(self, texts: tuple[str, ...]) -> tuple[Request, dict[str, Any]]:
        """The question of one combination of the slow axes, and its labels."""
        request, labels = self.base, {}
        for axis, text in zip(self.slow, texts, strict=True):
            request = changed(request, f"{axis.word}={text}", axis.where)
            labels[axis.column] = _label(axis, text)
        return request, labels

    def _frame(self, texts: tuple[str, ...]) -> tuple[Frame, tuple[Numbers, ...]]:
        request, labels = self._request(texts)
        loaded, problem = self.trial, ""
        try:
            try:
                loaded = load(request)
            except PlanError as error:
                loaded, problem = _without_degrees(request) or loaded, str(error)
            numbers = tuple(_numbers(axis, loaded) for axis in self.fast)
        except GenzError as error:
            raise self._placed(error, request, labels) from None
        labels = {**labels, "model": request.model, "hardware": request.hardware, "chip": None}
        if not problem:
            chip = loaded.parts.platform.chip.name
            labels |= {"model": named(loaded.parts.model), "hardware": loaded.label, "chip": chip}
        chips = request.chips if problem and request.chips is not None else str(loaded.chips)
        frame = Frame(loaded.scenario, int(float(chips)), loaded.fixed, labels, problem)
        return frame, numbers

    def _placed(self, error: GenzError, request: Request, labels: Mapping[str, Any]) -> GenzError:
        """An error with its place: the axis whose word it is about, else the point."""
        axes = (*self.slow, *self.fast)
        said = ", ".join(f"{key} {value}" for key, value in labels.items())
        for axis in axes:
            if error.where in (request.where(axis.word), axis.where):
                return type(error)(error.message, where=axis.where, cure=error.cure)
            if error.where.startswith(f"--set {axis.word}="):  # a path that this point's hardware lacks
                error = type(error)(error.message, where=axis.where, cure=error.cure)
        return error.at(said) if said else error


def _decides(axis: Axis) -> bool:
    """Whether the number of chips, where it is not said, may follow from an axis of numbers."""
    return axis.field in ("batch", "redundant_experts")


def _label(axis: Axis, text: str) -> Any:
    """A value of a slow axis as rows have it."""
    return int(_checked(axis, text, axis.column)) if axis.column in AXES else text


def _without_degrees(request: Request) -> Loaded | None:
    """What a question that has no plan is about, its chips and degrees left out."""
    try:
        return load(replaced(request, dict.fromkeys(AXES)))
    except PlanError:
        return None


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
    names = {axis.field for axis in found}
    for word, value in words.items():
        given = value is not None and value != [] and (word != "sp" or value)
        if given and word not in LISTS and column_of(word) in names:
            flag = f"--{word.replace('_', '-')}"
            raise PlanError(f"{column_of(word)} is swept and given", where=flag, cure="keep one")
    base = from_flags({**words, "model": model, "hardware": hardware or swept.get("hardware", "")})
    return _swept(base, found, shard)


def _of_file(
    path: str, hardware: str | None, over: list[Axis], words: dict[str, Any]
) -> tuple[Request, list[Axis]]:
    """The question of a file and its axes; an axis of the command line stands for the file's own."""
    from genzcli.cli.asking.scenarios import read_sweep

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
    beside = {column_of(word) for word in base.places}
    for axis in own:
        if axis.field in beside:
            raise PlanError(f"{axis.field} is swept and given", where=axis.where, cure="keep one")
    stand_ins = {axis.field: axis for axis in over}
    kept = [stand_ins.pop(axis.field, axis) for axis in own]
    return base, [*kept, *stand_ins.values()]


def _once(axes: list[Axis]) -> None:
    """No column is swept twice."""
    seen: set[str] = set()
    for axis in axes:
        if axis.field in seen:
            raise PlanError(f"{axis.field} is swept twice", where=axis.where, cure="keep one")
        seen.add(axis.field)


def _swept(base: Request, found: list[Axis], shard: str | None) -> Sweep:
    """The axes parted into those that change the structure and those of numbers."""
    if not found:
        cure = "name an axis, as --over batch=1..64, or `over:` in a scenario file"
        raise PlanError("nothing is swept", where="--over", cure=cure)
    loaded = _first_legal(base, found)
    fast = tuple(axis for axis in found if _is_number(axis, loaded))
    slow = tuple(axis for axis in found if axis not in fast)
    _distinct(found, base, loaded)
    for axis in fast:
        if axis.word in _FIELDS:
            base = changed(base, f"{axis.word}={axis.texts[0]}", axis.where)
    return Sweep(base, slow, fast, _shard(shard), loaded).check()


def _distinct(found: list[Axis], base: Request, loaded: Loaded) -> None:
    """No field is swept twice, nor set to a value that the sweep overwrites; no value stands twice."""
    parts, axes = _parts(loaded), dict[str, Axis]()
    for axis in found:
        name = _field_of(parts, axis.word)
        if name in axes:
            message = f"{axis.word} and {axes[name].word} are the same"
            raise PlanError(message, where=axis.where, cure="keep one")
        axes[name] = axis
        _refuse_equal(axis, loaded)
        if axis.word == "precision" and "model" not in (other.word for other in found):
            _refuse_equal_precisions(axis, base, loaded)
        refuse_synonyms(axis.word, axis.texts, base.catalog, axis.where, "keep one")
    for text, where in base.set:
        path = text.partition("=")[0].strip()
        same = axes.get(column_of(paths.canonical(parts, path)))
        if same is not None and not all(value[0] in "*+-" for value in same.texts):
            place = where if where != "--set" else f"--set {text}"
            raise PlanError(f"{same.field} is swept and set", where=place, cure="keep one")


def _field_of(parts: Mapping[str, Noun], word: str) -> str:
    """One name for all spellings of a word or a path."""
    return column_of(word if word in Request._fields else paths.canonical(parts, word))


def _refuse_equal(axis: Axis, loaded: Loaded) -> None:
    """1 and 1.0 are one value."""
    if axis.column in AXES:
        values = [_label(axis, text) for text in axis.texts]
    elif _is_number(axis, loaded):
        values = _numbers(axis, loaded).values.tolist()
    else:
        return
    seen: dict[float, str] = {}
    for value, text in zip(values, axis.texts, strict=True):
        if value in seen:
            message = f"{seen[value]} and {text} are the same value"
            raise PlanError(message, where=axis.where, cure="keep one")
        seen[value] = text


def _refuse_equal_precisions(axis: Axis, base: Request, loaded: Loaded) -> None:
    """bf16 and BF16 are one format; what means nothing is said where it is used."""
    seen: list[tuple[Precision, str]] = []
    for text in axis.texts:
        try:
            meant = precision_of(base._replace(precision=text), loaded.parts.model.precision)
        except GenzError:
            continue
        same = next((other for found, other in seen if found == meant), None)
        if same is not None:
            raise PlanError(f"{same} and {text} are the same formats", where=axis.where, cure="keep one")
        seen.append((meant, text))


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
    if not (
        sign and text.isascii() and index.isdigit() and shards.isdigit() and 1 <= int(index) <= int(shards)
    ):
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
        found = [_checked(axis, text, axis.word) for text in axis.texts]
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


def _checked(axis: Axis, text: str, word: str) -> float:
    from genzcli.catalog import check

    return float(check.number(hourly(text) if word == "price" else text, NUMBERS[word], axis.where))


def _value_at(parts: Mapping[str, Noun], axis: Axis, text: str) -> float:
    """What `--set PATH=TEXT` would put there."""
    new = set_path(parts, axis.word, text)
    located = paths.numeric_field(new, axis.word)
    assert located is not None
    root, keys, _ = located
    return float(paths.get(new, root, keys))


def frames_in(sweep: Sweep, first: int, last: int) -> Iterator[tuple[Frame, tuple[Numbers, ...], int, int]]:
    """Frames with points in a span, and the first and last point of each that belongs to it."""
    for frame, numbers, start in sweep.frames(first, last):
        yield frame, numbers, max(first - start, 0), min(last - start, count(numbers))
