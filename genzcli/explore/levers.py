"""Every number of a scenario that can be turned: where it is, what it is called, how another is put there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from genzcli.spec.hardware import Chip, PowerSplit
from genzcli.spec.model import Model
from genzcli.spec.noun import Field, Noun
from genzcli.spec.workload import DraftSite, Scenario

#: Numbers that stand for a structure, or say where another number applies.
_FIXED = ("corner", "crowding", "most_bytes", "closes", "year", "tp", "pp", "dp", "ep")
#: What is not there at 1. Sparsity anywhere below also stores which weights are kept: a jump, no slope.
_NONE_AT_1 = ("weight_density", "oversubscription")
#: Short words for what everyone turns; all others go by their path.
_WORDS = {
    "plan.batch": "batch",
    "usecase.input_tokens": "input_tokens",
    "usecase.output_tokens": "output_tokens",
    "usecase.beams": "beams",
}


class Lever(NamedTuple):
    """One number: `path` as `--set` takes it, the steps that lead there, its schema and its value in SI."""

    path: str
    steps: tuple[str, ...]
    field: Field
    value: float

    @property
    def name(self) -> str:
        """The JSON contract's word where it has one, else the path."""
        return _WORDS.get(self.path, self.path)

    @property
    def whole(self) -> bool:
        """Whether only whole numbers make sense."""
        return self.field.kind == "count"

    @property
    def least(self) -> float:
        """The smallest value the field takes; 0 is excluded, since it has no logarithm."""
        return max(self.field.least or 0.0, self.field.above or 0.0, 1.0 if self.whole else 0.0)

    @property
    def most(self) -> float:
        """The largest value the field takes."""
        return float("inf") if self.field.most is None else self.field.most

    @property
    def highest(self) -> bool:
        """Whether it is at the most that the field takes: only less of it can be had."""
        return self.value >= self.most

    def put(self, scenario: Scenario, value: Any) -> Scenario:
        """The scenario with another value, perhaps an array."""
        found: Scenario = _put(scenario, self.steps, value)
        return found


def levers(scenario: Scenario) -> tuple[Lever, ...]:
    """The numbers of hardware, workload, plan and profile that are not 0.

    Degrees of parallelism, counts of hardware and sizes of kernels' tiles are structure; a draft's own chips
    are another platform; shares of power add to 1, so none moves alone. A density or an oversubscription of 1
    says that there is none.
    """
    platform, chip = scenario.platform, scenario.platform.chip
    found = [*_walk(chip, ("platform", "chip"), "", counts=False)]
    own = {item.key for item in chip.fields.values()}
    for lever in _walk(platform, ("platform",), "", counts=False):
        # A bare path is looked up in the chip first.
        clash = lever.path.partition(".")[0] in own
        found.append(lever._replace(path=f"platform.{lever.path}") if clash else lever)
    found += _walk(scenario.usecase, ("usecase",), "usecase", counts=True)
    found += _walk(scenario.plan, ("plan",), "plan", counts=True)
    found += _walk(scenario.profile, ("profile",), "profile", counts=False)
    return tuple(lever for lever in found if lever.steps[-1] not in _NONE_AT_1 or lever.value != 1)


def _walk(noun: Noun, steps: tuple[str, ...], path: str, *, counts: bool) -> Iterator[Lever]:
    for item in noun.fields.values():
        value, place = getattr(noun, item.name), f"{path}.{item.key}" if path else item.key
        inner = (*steps, item.name)
        if isinstance(value, Chip | DraftSite | Model | PowerSplit):
            continue
        if isinstance(value, Noun):
            yield from _walk(value, inner, place, counts=counts)
        elif item.kind == "numbers":
            for name, number in value.items():
                yield Lever(f"{place}.{name}", (*inner, name), item, float(number))
        elif isinstance(value, Mapping | tuple):
            for name, member in _members(value).items():
                if isinstance(member, Noun):
                    yield from _walk(member, (*inner, name), f"{place}.{name}", counts=counts)
        elif item.name not in _FIXED and item.kind in ("quantity", "ratio", *(["count"] * counts)) and value:
            yield Lever(place, inner, item, float(value))


def _members(value: Mapping[str, Any] | tuple[Any, ...]) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    return {member.name: member for member in value if hasattr(member, "name")}


def _put(owner: Any, steps: tuple[str, ...], value: Any) -> Any:
    if not steps:
        return value
    first, rest = steps[0], steps[1:]
    if isinstance(owner, Noun):
        return owner.replace(**{first: _put(getattr(owner, first), rest, value)})
    members = _members(owner)
    members[first] = _put(members[first], rest, value)
    return tuple(members.values()) if isinstance(owner, tuple) else members
