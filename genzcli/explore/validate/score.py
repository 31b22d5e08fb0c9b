"""How far predictions are off, group by group.

Of n rows with a measured value y and a predicted one x, e = x / y - 1: mean, median and 90th percentile of
|e|, the bias mean(e), and the geometric mean of how far the ratio is from 1, exp(mean |ln(x / y)|) - 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from genzcli.errors import GenzError
from genzcli.explore.validate.kind import Kind, Predicted, Row

#: The key of the group of all rows.
ALL = "all"


class Scored(NamedTuple):
    """A row with what was predicted for it."""

    row: Row
    predicted: Predicted

    def ratio(self, target: str) -> float | None:
        """Predicted over measured, where both are there."""
        try:
            measured = self.row.measured(target)
        except GenzError:
            return None
        predicted = self.predicted.values.get(target)
        return predicted / measured if predicted and measured else None


def scored(kind: Kind, row: Row, predicted: Predicted) -> Scored:
    """A row with its prediction, and with the reason where a measured cell cannot be compared."""
    values = {name: value for name, value in predicted.values.items() if math.isfinite(value)}
    reason = predicted.reason or next(filter(None, (_unscored(row, values, t) for t in kind.targets)), None)
    return Scored(row, Predicted(values, reason, predicted.flags))


def _unscored(row: Row, values: Mapping[str, float], target: str) -> str | None:
    """Why a measured cell has no error; none where it has one, or is empty."""
    try:
        if row.measured(target) is None:
            return None
    except GenzError as error:
        return str(error)
    value = values.get(target)
    if value is None:
        return f"there is no {target} to predict"
    return None if value > 0 else f"{target} is predicted as {value:g}, and has no relative error"


class Group(NamedTuple):
    """The errors of one group in one target; those are none where nothing could be compared."""

    key: Mapping[str, str]
    target: str
    rows: int
    n: int  # rows with both a measured and a predicted value
    mean: float | None
    median: float | None
    p90: float | None
    worst: float | None
    bias: float | None
    geometric: float | None
    flagged: int
    unpredicted: Mapping[str, int]  # by reason


def groups(kind: Kind, scored: Sequence[Scored], by: Sequence[str] = ()) -> list[Group]:
    """Every group in every target that the file measures, in order of appearance, and all rows at the end.

    `by` names columns to group by in place of the kind's own key.
    """
    key = _key(kind, by)
    names = tuple(by) or kind.by
    found: dict[tuple[str, ...], list[Scored]] = {}
    for item in scored:
        found.setdefault(key(item.row), []).append(item)
    result = []
    for target in measured(kind, scored):
        result += [_group(dict(zip(names, k, strict=True)), target, rows) for k, rows in found.items()]
        result.append(_group(dict.fromkeys(names[:1], ALL), target, scored))
    return result


def measured(kind: Kind, scored: Iterable[Scored]) -> list[str]:
    """The targets that any row measures; the first one of the kind where none does."""
    rows = [item.row.cells for item in scored]
    found = [name for name in kind.targets if any(cells.get(name) for cells in rows)]
    return found or list(kind.targets[:1])


def _key(kind: Kind, by: Sequence[str]) -> Callable[[Row], tuple[str, ...]]:
    if not by:
        return kind.group
    return lambda row: tuple(row.cells.get(name, "") for name in by)


def _group(key: Mapping[str, str], target: str, scored: Sequence[Scored]) -> Group:
    ratios = [ratio for item in scored if (ratio := item.ratio(target)) is not None]
    errors = sorted(abs(ratio - 1) for ratio in ratios)
    without = (item.predicted.reason for item in scored if item.ratio(target) is None)
    reasons = Counter(reason for reason in without if reason is not None)
    n = len(ratios)
    return Group(
        key=key,
        target=target,
        rows=len(scored),
        n=n,
        mean=sum(errors) / n if n else None,
        median=quantile(errors, 0.5),
        p90=quantile(errors, 0.9),
        worst=errors[-1] if n else None,
        bias=sum(ratios) / n - 1 if n else None,
        geometric=math.expm1(sum(abs(math.log(ratio)) for ratio in ratios) / n) if n else None,
        flagged=sum(1 for item in scored if item.predicted.flags),
        unpredicted=dict(reasons.most_common()),
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which a share of them lies, between neighbours in proportion; none of none."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def record(group: Group) -> dict[str, Any]:
    """A group as JSON has it; errors in percent."""
    share = {
        "mean_absolute_error_pct": group.mean,
        "median_error_pct": group.median,
        "p90_error_pct": group.p90,
        "max_error_pct": group.worst,
        "bias_pct": group.bias,
        "geometric_mean_error_pct": group.geometric,
    }
    return {
        **group.key,
        "column": group.target,
        "rows": group.rows,
        "n": group.n,
        **{name: None if value is None else value * 100 for name, value in share.items()},
        "flagged": group.flagged,
        "unpredicted": [{"reason": reason, "rows": rows} for reason, rows in group.unpredicted.items()],
    }
