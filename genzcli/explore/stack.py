"""Questions of one structure as one question: numbers that differ become arrays, and one call answers all.

Chips with the same tiers and levels, models with the same kinds of layer, plans of equal depth differ in
numbers only, and any number may be an array. What a question has and its answer does not depend on is left
out first: peaks of other formats, caches that the profile does not count, memories that the plan leaves.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genzcli.engine.machine.energy import chip_power_w, chip_price_usd_per_hour
from genzcli.engine.machine.formats import adapter_dtype, compute_dtype, index_dtype, part_dtype
from genzcli.errors import PlanError
from genzcli.numeric import is_array
from genzcli.spec.dtype import PARTS
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.model import Model
from genzcli.spec.noun import Field, Noun
from genzcli.spec.profile import Profile
from genzcli.spec.workload import Plan, Scenario, UseCase

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: What readers are told, and the engine never asks.
_TOLD = {
    Chip: ("aliases", "home", "kind", "name", "note", "sources", "status", "vendor", "year"),
    Model: ("aliases", "name", "published", "sources"),
    Platform: ("aliases", "name", "note", "sources"),
    Profile: ("aliases", "applies", "error", "evidence", "measured", "name", "note", "sources", "stack"),
    Scenario: ("assumptions", "name"),
    UseCase: ("aliases", "batch", "name", "note", "sources"),
}
#: Numbers that say which lines run, not what these compute.
_STRUCTURE = (
    *("corner", "crowding", "experts", "experts_per_token", "groups", "groups_per_token", "number", "pp"),
)
_NUMBERS = ("quantity", "count", "ratio")
_UNKNOWN = float("nan")


class Structures:
    """What stays of questions without their magnitudes; nouns that many share are looked at once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bool], tuple[Noun, Hashable]] = {}
        self._bare: dict[Hashable, tuple[Platform, Profile, Platform]] = {}

    def essential(self, scenario: Scenario) -> Scenario:
        """The scenario less what its answer does not depend on; a price that nobody knows is NaN."""
        plan, platform, profile = scenario.plan, scenario.platform, scenario.profile
        key = id(platform), id(profile), plan.precision, plan.sparsity, _memories(plan)
        if key not in self._bare:  # both are kept with it: no others get their ids
            self._bare[key] = platform, profile, _bare(platform, plan, profile)
        rent = plan.price_usd_per_hour
        rent = chip_price_usd_per_hour(platform) if rent is None else rent
        return scenario.replace(
            plan=plan.replace(price_usd_per_hour=_UNKNOWN if rent is None else rent),
            platform=self._bare[key][2],
        )

    def of(self, scenario: Scenario) -> Hashable:
        """Equal for questions that `stacked` makes one of. Layers are counted where stages are cut."""
        return self._noun(scenario, scenario.plan.pp == 1)

    def _noun(self, noun: Noun, whole: bool) -> Hashable:
        key = id(noun), whole
        if key not in self._known:  # the noun is kept with it: no other gets its id
            self._known[key] = noun, (type(noun).__name__, *self._fields(noun, whole))
        return self._known[key][1]

    def _fields(self, noun: Noun, whole: bool) -> Iterator[Hashable]:
        for field in _asked(type(noun)):
            value = getattr(noun, field.name)
            if field.kind in _NUMBERS:
                yield value if field.name in _STRUCTURE else _magnitude(value)
            elif field.name == "stack" and whole:
                yield tuple(name for name, _ in value)
            else:
                yield self._value(value, whole)

    def _value(self, value: Any, whole: bool) -> Hashable:
        match value:
            case Noun():
                return self._noun(value, whole)
            case Mapping():
                return tuple((key, self._value(each, whole)) for key, each in value.items())
            case tuple() if value and isinstance(value[0], Noun):
                return tuple(self._noun(each, whole) for each in value)
            case float():
                return _magnitude(value)
        found: Hashable = value
        return found


def _magnitude(value: Any) -> Hashable:
    """None and nothing are structure: an adapter, a shared expert, a price that is not there."""
    return value if value is None or (not is_array(value) and value == 0) else "number"


_ASKED: dict[type[Noun], tuple[Field, ...]] = {}


def _asked(kind: type[Noun]) -> tuple[Field, ...]:
    """The fields of a noun that the engine asks."""
    if kind not in _ASKED:
        told = _TOLD.get(kind, ())
        _ASKED[kind] = tuple(field for field in kind.fields.values() if field.name not in told)
    return _ASKED[kind]


def stacked(scenarios: Sequence[Scenario], dimensions: int) -> Scenario:
    """One scenario of many with one structure: numbers that differ lie along a new first dimension.

    Arrays among them have `dimensions` already.
    """
    found: Scenario = _stacked(scenarios, dimensions)
    return found


def _stacked(values: Sequence[Any], dimensions: int) -> Any:
    first = values[0]
    if all(value is first for value in values):
        return first
    match first:
        case Noun():
            names = [field.name for field in _asked(type(first))]
            return first.replace(
                **{name: _stacked([getattr(each, name) for each in values], dimensions) for name in names}
            )
        case Mapping():
            return {key: _stacked([each[key] for each in values], dimensions) for key in first}
        case tuple():
            return tuple(_stacked(each, dimensions) for each in zip(*values, strict=True))
        case str() | bool() | None:
            return first
    return _column(values, dimensions)


def _column(values: Sequence[Any], dimensions: int) -> Any:
    """Numbers along a new first dimension; themselves where all are the same."""
    import numpy as np

    if not any(map(is_array, values)):
        if all(value == values[0] for value in values):
            return values[0]
        return np.array(values, dtype=float).reshape(-1, *[1] * dimensions)
    if all(is_array(value) and np.array_equal(value, values[0]) for value in values):
        return values[0]
    return np.stack(np.broadcast_arrays(*values))


def _bare(platform: Platform, plan: Plan, profile: Profile) -> Platform:
    """The platform as far as the plan uses it and the profile counts it; its rent is the plan's."""
    chip, power = platform.chip, chip_power_w(platform)
    cached = any(fit.cache_efficiency is not None for fit in profile.operators.values())
    chip = chip.replace(
        peaks=_used_peaks(plan, chip),
        memory={name: tier for name, tier in chip.memory.items() if tier.role == "storage" or cached},
        power_w=_UNKNOWN if power is None else power,
        sparse_speedup=chip.sparse_speedup if plan.sparsity else {},
        price_usd_per_hour=None,
    )
    memory = {name: tier for name, tier in platform.memory.items() if name in _memories(plan)}
    gone = dict.fromkeys(("power_w", "host_power_w", "price_usd_per_hour"))
    return platform.replace(chip=chip, memory=memory, **gone)


def _memories(plan: Plan) -> frozenset[str]:
    """The memories that a plan names."""
    placed = (name for shares in plan.place.values() for name in shares)
    return frozenset((*plan.offload, *placed, plan.attention_on))


def _used_peaks(plan: Plan, chip: Chip) -> Mapping[str, Number]:
    """Peaks of the formats that something computes in; all, where the chip has none of these."""
    try:
        names = {part_dtype(plan, chip, part) for part in (*PARTS, "kernel")}
        names |= {compute_dtype(plan, chip), adapter_dtype(plan, chip), index_dtype(plan, chip)}
    except PlanError:
        return chip.peaks
    return {name: chip.peaks[name] for name in sorted(names)}
