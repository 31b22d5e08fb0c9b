"""What a kind of measurement is: the columns it is known by, and how its rows are predicted.

A kind is one small module that ends in `KIND = Kind(…)`, and a line in `kinds.py`. It gets rows as they
stand in the file and gives back, in their order, what the tool predicts for each; it raises nothing: a row
that cannot be predicted carries its reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from genzcli.errors import GenzError, shortened

if TYPE_CHECKING:
    from genzcli.spec.hardware import Chip, Platform
    from genzcli.spec.model import Model
    from genzcli.spec.profile import Profile


#: No quantity that anybody measures is smaller or larger, and within these nothing overflows.
_LEAST, _MOST = 1e-15, 1e18
#: Nor does anything come in larger numbers.
_MOST_COUNT = 10**9


class Row(NamedTuple):
    """One line of the file: its number there, and its cells by column, stripped; empty where missing."""

    line: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """A cell that has to be there."""
        found = self.cells.get(column, "")
        if not found:
            raise GenzError(f"{column} is empty")
        return found

    def number(self, column: str, default: float | None = None) -> float:
        """A number that is not negative, of a sane size; `default` where the cell is empty."""
        text = self.cells.get(column, "")
        if not text and default is not None:
            return default
        value = as_number(self.text(column))
        if value is None:
            raise GenzError(f"{column} is {shortened(text)}, not a number")
        if value < 0:
            raise GenzError(f"{column} is {shortened(text)}, must not be negative")
        if value and not _LEAST <= value <= _MOST:
            raise GenzError(f"{column} is {shortened(text)}, not a plausible number")
        return value

    def count(self, column: str, default: int | None = None) -> int:
        """A whole number, at least 1; `default` where the cell is empty."""
        value = self.number(column, default)
        if value != int(value) or value < 1:
            raise GenzError(f"{column} is {value:g}, not a whole number above 0")
        if value > _MOST_COUNT:
            raise GenzError(f"{column} is {value:g}, not a plausible number")
        return int(value)

    def measured(self, column: str) -> float | None:
        """What was measured: a number above 0 of a sane size; none where the cell is empty."""
        text = self.cells.get(column, "")
        if not text:
            return None
        value = as_number(text)
        if value is not None and value <= 0:
            raise GenzError(f"{column} is {shortened(text)}, must be above 0")
        if value is None or not _LEAST <= value <= _MOST:
            raise GenzError(f"{column} is {shortened(text)}, not a plausible positive number")
        return value


class Predicted(NamedTuple):
    """What the tool says of one row: a value for each target, or why it has no score, and what to know."""

    values: Mapping[str, float]
    reason: str | None = None
    flags: tuple[str, ...] = ()


class Library(Protocol):
    """Where names are looked up; the catalog is one."""

    def model(self, name: str) -> Model:
        """A model by name."""

    def hardware(self, name: str) -> tuple[Platform, bool]:
        """A platform, and whether a bare chip was named."""

    def profile(self, stack: str, chip: Chip, batching: str = "") -> Profile:
        """The most specific profile of a stack for a chip; one measured under this batching first."""


class Setting(NamedTuple):
    """What the rows are predicted with: the library, and what the user put in place of the rows' own."""

    library: Library
    stack: str | None = None  # in place of the stack that a row names
    profiles: tuple[Profile, ...] = ()  # tried before those of the library

    def profile(self, stack: str, chip: Chip, batching: str = "") -> Profile:
        """The profile for a row's stack and chip: a given one that applies, else the library's."""
        given = (item for item in self.profiles if applies(item, chip))
        how = (batching,) if batching else ()
        return next(given, None) or self.library.profile(self.stack or stack, chip, *how)


class Kind(NamedTuple):
    """A kind of measurement."""

    name: str
    needs: tuple[str, ...]  # columns that say it is this kind
    targets: tuple[str, ...]  # measured columns that are predicted and scored; any of them may be absent
    by: tuple[str, ...]  # what the parts of a group's key are called
    group: Callable[[Row], tuple[str, ...]]  # the key of a row
    predict: Callable[[Sequence[Row], Setting], Iterator[Predicted]]
    extra: tuple[str, ...] = ()  # further columns that are predicted, not scored
    calibrated: bool = True  # whether a stack and its profile have a say


def one_by_one(
    predict: Callable[[Row, Setting], Predicted],
) -> Callable[[Sequence[Row], Setting], Iterator[Predicted]]:
    """A kind's `predict` from one that takes a single row and may raise a GenzError."""

    def rows(given: Iterable[Row], setting: Setting) -> Iterator[Predicted]:
        for row in given:
            yield guarded(lambda row=row: predict(row, setting))  # type: ignore[misc]

    return rows


def guarded(predict: Callable[[], Predicted]) -> Predicted:
    """A prediction, or the reason why there is none."""
    try:
        return predict()
    except GenzError as error:
        return Predicted({}, str(error))
    except ArithmeticError:  # each number sane, all of them together not
        return Predicted({}, "its numbers together are beyond what can be computed")


def applies(profile: Profile, chip: Chip) -> bool:
    """Whether a profile is for this chip: by its name, its class, or any."""
    return not profile.applies or profile.is_for(chip)


def as_number(text: str) -> float | None:
    """A finite number, or none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None
