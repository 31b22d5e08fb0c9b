"""Energy and money of a pass and of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.roofline import Parts
from genzcli.spec.hardware import Platform, PowerSplit

if TYPE_CHECKING:
    from genzcli.numeric import Number


def chip_power_w(platform: Platform) -> Number | None:
    """Peak power of one chip: its share of the platform's where that is known, else its own."""
    if platform.power_w is not None:
        return platform.power_w / platform.chips
    return platform.chip.power_w


def chip_price_usd_per_hour(platform: Platform) -> Number | None:
    """Rent of one chip: its share of the platform's where that is known, else its own."""
    if platform.price_usd_per_hour is not None:
        return platform.price_usd_per_hour / platform.chips
    return platform.chip.price_usd_per_hour


def static_w(peak_w: Number, split: PowerSplit, chips: Number) -> Number:
    """Power that `chips` chips draw whatever they do."""
    return peak_w * split.static * chips


def dynamic_j(peak_w: Number, split: PowerSplit, work: Parts, columns: Number) -> Number:
    """`P (c Bc + m Bm + n Bn)`: GenZ equation 2 summed over operators, without its static term.

    T U is a resource's busy time against what the kernel could reach, so `T P_c U_c` is P_c Bc.
    `work` holds the busy seconds of one chip of every stage, `columns` how many such chips a stage has.
    """
    busy = (
        split.compute * work.busy_compute
        + split.memory * work.busy_memory
        + split.network * work.busy_network
    )
    return peak_w * busy * columns
