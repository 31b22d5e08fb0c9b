"""Energy and money of a pass and of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.machine.roofline import Parts
from genzcli.spec.hardware import Platform, PowerSplit
from genzcli.spec.workload import Scenario

if TYPE_CHECKING:
    from genzcli.numeric import Number


def chip_power_w(platform: Platform) -> Number | None:
    """Peak power of one chip: its share of the platform's where that is known, else its own and a share of
    the hosts' where these are."""
    if platform.power_w is not None:
        return platform.power_w / platform.chips
    own, hosts = platform.chip.power_w, platform.host_power_w
    return own if own is None or hosts is None else own + hosts / platform.chips


#: What a chip's power may stand for, the first two being all that the platform draws.
PLATFORM, CHIPS_AND_HOSTS, CHIPS = "platform", "chips and hosts", "chips"


def power_basis(platform: Platform) -> str | None:
    """Whose power `chip_power_w` shares out; None where it is unknown."""
    if platform.power_w is not None:
        return PLATFORM
    if platform.chip.power_w is None:
        return None
    return CHIPS if platform.host_power_w is None else CHIPS_AND_HOSTS


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


def energy_j(scenario: Scenario, seconds: Number, work: Parts, away: Parts) -> Number | None:
    """Energy of all chips over `seconds`: static, and that of the work; None where a power is unknown.

    `away` is the work of a draft on chips of its own, which draw static power all the time too.
    """
    plan, site = scenario.plan, scenario.plan.draft_on
    total = _chips_j(scenario.platform, plan.chips, seconds, work, plan.tp * plan.dp)
    if site is None or total is None:
        return total
    beside = _chips_j(site.platform, site.chips, seconds, away, site.chips)
    return None if beside is None else total + beside


def _chips_j(
    platform: Platform, chips: Number, seconds: Number, work: Parts, columns: Number
) -> Number | None:
    power, split = chip_power_w(platform), platform.chip.power_split
    if power is None:
        return None
    return static_w(power, split, chips) * seconds + dynamic_j(power, split, work, columns)


def rent_usd_per_hour(scenario: Scenario) -> Number | None:
    """Rent of all chips, a draft's own ones too; None where a price is unknown."""
    plan, site = scenario.plan, scenario.plan.draft_on
    each = plan.price_usd_per_hour
    if each is None:
        each = chip_price_usd_per_hour(scenario.platform)
    beside = 0 if site is None else chip_price_usd_per_hour(site.platform)
    if each is None or beside is None:
        return None
    return each * plan.chips + (0 if site is None else beside * site.chips)


def all_chips(scenario: Scenario) -> Number:
    """Chips that are powered and paid for: those of the plan, and a draft's own."""
    site = scenario.plan.draft_on
    return scenario.plan.chips + (0 if site is None else site.chips)
