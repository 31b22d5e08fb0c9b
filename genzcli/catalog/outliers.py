"""Chips whose balance is far from that of others of their class: oddities to look at, not mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp, log
from statistics import median
from typing import NamedTuple

from genzcli.catalog.load import Catalog
from genzcli.errors import GenzError
from genzcli.spec.hardware import Chip

#: An outlier is further from the median than these many median deviations, and than this factor.
DEVIATIONS, FACTOR = 4.0, 2.0
_FEWEST = 5  # chips of a class; smaller ones are compared with all
_DENSE = ("bf16", "fp16", "fp8", "int8")


class Outlier(NamedTuple):
    """One ratio of one chip, the median of those it is compared with, and how many these are."""

    chip: str
    ratio: str
    unit: str
    value: float
    median: float
    among: str
    chips: int

    @property
    def factor(self) -> float:
        return self.value / self.median


def ratios(chip: Chip) -> Iterator[tuple[str, str, float]]:
    """(name, unit, value) of a chip's balance: memory, watts and rent over compute and over bandwidth.

    Compute is the dense peak in 16 bit, in 8 bit where a chip has none; memory the first storage tier.
    """
    dense = next((float(chip.peaks[name]) for name in _DENSE if name in chip.peaks), None)
    storage = next(tier for tier in chip.memory.values() if tier.role == "storage")
    bandwidth = float(storage.bandwidth_bytes_per_s)
    capacity = sum(float(tier.capacity_bytes) for tier in chip.memory.values() if tier.role == "storage")
    if dense is not None:
        yield "ridge point", "FLOP/byte", dense / bandwidth
        yield "memory a TFLOP/s", "bytes", capacity / (dense / 1e12)
    yield "time to read the memory", "s", float(storage.capacity_bytes) / bandwidth
    if dense is not None and chip.power_w:
        yield "power a TFLOP/s", "W", float(chip.power_w) / (dense / 1e12)
    if chip.power_w:
        yield "power a TB/s", "W", float(chip.power_w) / (bandwidth / 1e12)
    if chip.price_usd_per_hour:
        rent = float(chip.price_usd_per_hour)
        if dense is not None:
            yield "rent a PFLOP/s", "USD/h", rent / (dense / 1e15)
        yield "rent a TB/s", "USD/h", rent / (bandwidth / 1e12)


def outliers(catalog: Catalog) -> list[Outlier]:
    """What stands out among the chips that are sold, the furthest first."""
    chips = list(_sold(catalog))
    classes: dict[str, list[Chip]] = {}
    for chip in chips:
        classes.setdefault(chip.kind, []).append(chip)
    found: list[Outlier] = []
    for chip in chips:
        own = classes[chip.kind]
        among, group = (chip.kind, own) if len(own) >= _FEWEST else ("all", chips)
        spread = _spread(group)
        for name, unit, value in ratios(chip):
            middle, deviation, number = spread[name]
            far = abs(log(value / middle))
            if far > log(FACTOR) and far > DEVIATIONS * deviation and number >= _FEWEST:
                found.append(Outlier(chip.name, name, unit, value, middle, among, number))
    return sorted(found, key=lambda item: -abs(log(item.factor)))


def _sold(catalog: Catalog) -> Iterator[Chip]:
    for name in catalog.names("chips"):
        try:
            chip = catalog.chip(name)
        except GenzError:
            continue  # lint says what is wrong with it
        if chip.status == "shipping":
            yield chip


def _spread(chips: Sequence[Chip]) -> Mapping[str, tuple[float, float, int]]:
    """Of each ratio the median, the median deviation of its logarithm, and the number of chips."""
    logs: dict[str, list[float]] = {}
    for chip in chips:
        for name, _, value in ratios(chip):
            logs.setdefault(name, []).append(log(value))
    return {
        name: (exp(median(values)), median(abs(one - median(values)) for one in values), len(values))
        for name, values in logs.items()
    }
