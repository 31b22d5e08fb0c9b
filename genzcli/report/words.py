"""Numbers as a reader wants them, with their units. A report is of one scenario: no arrays here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genzcli.slo import Judged
from genzcli.spec.dtype import Precision
from genzcli.spec.metric import METRICS, label
from genzcli.units import NONE, show, show_count


def named(noun: Any) -> str:
    """The name of an entry, and the file that it is from where a built-in one has this name too."""
    return f"{noun.name} ({noun.origin})" if noun.hides else str(noun.name)


def distinct(labels: Sequence[tuple[str, str]]) -> list[str]:
    """(name, file) as names no two of which are the same: by file, then by number."""
    files: dict[str, set[str]] = {}
    for name, file in labels:
        files.setdefault(name, set()).add(file)
    told = [f"{name} ({file})" if len(files[name]) > 1 else name for name, file in labels]
    return [
        f"{label} #{told[: place + 1].count(label)}" if told.count(label) > 1 else label
        for place, label in enumerate(told)
    ]


def quantity(value: Any, unit: str, digits: int = 3) -> str:
    """A value in SI, with the prefix that reads best."""
    return show(value, unit, digits)


def many(value: Any, digits: int = 3) -> str:
    """A count for people: 12.3k, 70.6B."""
    return show_count(value, digits)


def in_unit(metric: str, value: Any) -> str:
    """A metric's value, given in SI, with its printed unit."""
    known = METRICS[metric]
    if value is None:
        return NONE
    if known.unit == "s":
        return quantity(value, "s")
    return with_unit(value, known.output_unit)


def with_unit(value: Any, unit: str) -> str:
    """A value with a unit that people write out: tokens/s, J/token, USD/M tokens."""
    if value is None:
        return NONE
    if unit == "W":
        return quantity(value, "W")
    if unit.startswith("USD"):
        return quantity(value, "USD") + unit.removeprefix("USD").replace("/", " / ", 1)
    if unit.startswith("J"):
        return quantity(value, "J") + unit.removeprefix("J")
    return f"{many(value) if value >= 1e5 else quantity(value, '')} {unit}"


def percent(share: Any) -> str:
    """A share of one."""
    if share is None:
        return NONE
    value = share * 100
    digits = 1 if 0 < abs(value) < 9.95 else 0
    return f"{value:.{digits}f} %".replace(".0 %", " %")


def gigabytes(value: Any) -> str:
    """Bytes for a table of them."""
    return quantity(value, "bytes")


def objective(item: Judged) -> str:
    """`TTFT 110 ms ≤ 200 ms (45 % to spare)`, and whether that is less than the prediction's error."""
    name, scale = label(item.metric), METRICS[item.metric].scale
    limit = in_unit(item.metric, item.limit / scale)
    if item.actual is None:
        return f"{name} {NONE} (limit {limit})"
    actual = in_unit(item.metric, item.actual / scale)
    sign = {(True, True): "≤", (True, False): ">", (False, True): "≥", (False, False): "<"}
    said = margin(item) + ", within error" * item.within_error
    return f"{name} {actual} {sign[METRICS[item.metric].ceiling, item.passed]} {limit} ({said})"


def margin(item: Judged) -> str:
    """How far from the limit, in words."""
    if item.margin is None:
        return "none at one output token" if item.passed else "no value"
    if item.passed:
        return f"{percent(item.margin)} to spare"
    if item.actual is not None and item.margin < -1:
        return f"{quantity(item.actual / item.limit, '')} × the limit"
    over = "over" if METRICS[item.metric].ceiling else "short"
    return f"{percent(-item.margin)} {over}"


def count(value: Any) -> str:
    """A whole number in full."""
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


def formats(precision: Precision, compute: str) -> str:
    """One word where everything is stored and computed in it, else tensor by tensor."""
    words = {"weights": precision.weights, "experts": precision.experts, "attention": precision.attention}
    head = precision.stored("head")
    words |= {"embeddings": precision.embeddings, "head": head * (head != precision.stored("embeddings"))}
    words["KV"] = precision.kv
    words |= {"activations": precision.activations, "compute": compute}
    words = {name: word for name, word in words.items() if word}
    if len(set(words.values())) == 1:
        return precision.weights
    return ", ".join(f"{name} {word}" for name, word in words.items())
