"""Chips and platforms: what computes, what stores, what connects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genzcli.numeric import maximum
from genzcli.spec.noun import (
    Noun,
    choice,
    count,
    flag,
    noun,
    nouns,
    numbers,
    other,
    quantity,
    ratio,
    text,
    texts,
)
from genzcli.spec.source import Source

if TYPE_CHECKING:
    from genzcli.numeric import Number

CLASSES = ("gpu", "tpu", "neuron", "asic", "sram", "wafer", "edge", "cpu", "hypothetical")
#: A mesh is a line of members, a ring that is not closed; a torus or a mesh of several dimensions is as many
#: levels, a dragonfly a switch inside a fully connected level.
TOPOLOGIES = ("ring", "mesh", "switch", "fully-connected")


class Processor(Noun):
    """Compute that sits beside a memory: a host's CPU, or processing in memory."""

    peak_flop_per_s: Number = quantity("flop/s", "peak of matrix products, whatever the format")
    bandwidth_bytes_per_s: Number = quantity("bytes/s", "what it reads its own memory at")


class Tier(Noun):
    """One memory, as one chip sees it. Tiers are listed fastest first."""

    capacity_bytes: Number = quantity("bytes", "bytes the device reports, not the label on the box")
    bandwidth_bytes_per_s: Number = quantity("bytes/s", "peak of reads, one chip")
    role: str = choice(
        "storage holds weights and KV; a cache only speeds them up and holds nothing for good",
        "storage",
        "cache",
        default="storage",
    )
    parallel: bool = flag("streams at the same time as the tier after it, not before it", default=False)
    latency_s: Number = quantity("s", "one way over the link to it", least=0, default=0.0)
    processor: Processor | None = noun(
        Processor, "compute beside it, which attention may run on", default=None
    )


class Systolic(Noun):
    """A systolic matrix unit, where the maker publishes it.

    The engine takes cycles at the rate that the chip's peak of a format implies, so that a peak at twice
    the cells' rate (int8) takes half the cycles; at the plain rate that is `clock`.
    """

    rows: Number = count("rows of multiply-accumulate cells")
    columns: Number = count("columns of multiply-accumulate cells")
    cores: Number = count("arrays a chip", default=1)
    clock_hz: Number = quantity("Hz", "clock of the array")
    dataflow: str = choice(
        "what stays in the cells: weights, outputs or inputs", "ws", "os", "is", default="ws"
    )
    load_cycles: Number | None = count(
        "cycles to load a tile behind the one before; as many as rows if left out", default=None
    )


class Vector(Noun):
    """What is beside the matrix units: arithmetic element by element, and functions such as exp.

    GPUs call them CUDA cores (stream processors) and special function units, TPUs vector unit, Neuron vector
    and scalar engine.
    """

    peak_flop_per_s: Number = quantity("flop/s", "arithmetic in FP32; a multiply-add is two")
    functions_flop_per_s: Number | None = quantity(
        "flop/s", "exponentials and the like, one operation each; left out, none is waited for", default=None
    )


class PowerSplit(Noun):
    """Shares of peak power: static, and compute, memory and network at full use; they add to 1.

    The default is the GenZ paper's 3:4:2:1 (section VII-B).
    """

    static: Number = ratio("drawn whatever the chip does", least=0, most=1, default=0.3)
    compute: Number = ratio("matrix units at their peak", least=0, most=1, default=0.4)
    memory: Number = ratio("memory at its peak bandwidth", least=0, most=1, default=0.2)
    network: Number = ratio("links at their peak bandwidth", least=0, most=1, default=0.1)


class Chip(Noun):
    """One accelerator: what the serving software sees as one device."""

    name: str = text("catalog id")
    kind: str = choice("class, which picks the generic calibration profile", *CLASSES)
    vendor: str = text("maker", default="")
    generation: str = text("the maker's architecture, which shares kernels: hopper, ada, cdna3", default="")
    year: Number | None = count("year of launch", least=1990, default=None)
    peaks: Mapping[str, Number] = numbers("flop/s", "dense peak of matrix products by format")
    sparse_speedup: Mapping[str, Number] = numbers(
        "", "peak of 2:4 sparse matrix products over the dense one, by format", default={}
    )
    memory: Mapping[str, Tier] = nouns(Tier, "memories, fastest first")
    system_share: Number = ratio(
        "share of its memory that the system keeps from programs, as on a phone",
        least=0,
        most=0.95,
        default=0.0,
    )
    power_w: Number | None = quantity("W", "peak power of one chip, with its memory", default=None)
    power_split: PowerSplit = noun(PowerSplit, "where the power goes", default=PowerSplit())
    price_usd_per_hour: Number | None = quantity("USD/h", "rent of one chip", default=None)
    array: Systolic | None = noun(Systolic, "shape of the matrix unit", default=None)
    vector: Vector | None = noun(
        Vector,
        "units for what is no matrix product; left out, memory bounds that (a recurrence, the matrix peak)",
        default=None,
    )
    home: str = text("platform that a bare chip is taken to sit in", default="")
    status: str = choice(
        "announced and hypothetical chips are marked wherever they appear",
        "shipping",
        "announced",
        "hypothetical",
        default="shipping",
    )
    note: str = text("what a reader should know", default="")
    aliases: tuple[str, ...] = texts("other names that mean exactly this chip", default=())
    sources: Mapping[str, Source] = other("citation of each number, by its path", default={})
    origin: str = other("the file it was read from; empty for one that is built in", default="")
    hides: bool = other("a built-in entry has this name too", default=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """What it is one of, closest kin first: `gpu:hopper`, `gpu:nvidia`, `gpu`."""
        kin = (self.generation, self.vendor)
        return (*(f"{self.kind}:{word.lower()}" for word in kin if word), self.kind)


class Level(Noun):
    """One level of the network: `size` members joined by one topology.

    The bandwidth of a chip at this level is links x bandwidth / oversubscription, each way at once.
    """

    name: str = text("what people call it: nvlink, infiniband, ici-x")
    size: Number = count("members a group at this level has", default=1)
    topology: str = choice("how the members are joined", *TOPOLOGIES)
    bandwidth_bytes_per_s: Number = quantity("bytes/s", "one link, one direction")
    links: Number = count("links a chip has at this level", default=1)
    latency_s: Number = quantity("s", "one hop; a switch is two hops", least=0)
    oversubscription: Number = ratio(
        "bandwidth into a tree of switches over that through its top, where all talk across",
        least=1,
        default=1.0,
    )
    efficiency: Number = ratio("share of the bandwidth that payload gets", above=0, most=1, default=1.0)
    reduces: bool = flag("the switch can add up (NVLink SHARP)", default=False)
    closes: Number | None = count(
        "a slice of a torus closes its ring at multiples of so many chips; none but the whole ring is closed",
        default=None,
    )

    @property
    def chip_bandwidth_bytes_per_s(self) -> Number:
        """Payload bytes a second a chip sends at this level, one direction, when all of them do."""
        return self.bandwidth_bytes_per_s * self.links * self.efficiency / self.oversubscription


class Platform(Noun):
    """Chips of one kind joined by levels, innermost first.

    The platform has product(level sizes) chips. `scale_out` joins as many of it as asked for.
    """

    name: str = text("catalog id")
    chip: Chip = other("what it is made of")
    levels: tuple[Level, ...] = other("network levels, innermost first", default=())
    scale_out: Level | None = noun(Level, "what joins several of these platforms", default=None)
    memory: Mapping[str, Tier] = nouns(
        Tier,
        "memories behind a link (host, cxl, flash), a chip's share of each; used only where a plan says so",
        default={},
    )
    power_w: Number | None = quantity(
        "W", "peak power of the whole platform; chips x chip power if left out", default=None
    )
    host_power_w: Number | None = quantity(
        "W",
        "hosts, fans and switches of the platform beside its chips, where the whole is not published",
        least=0,
        default=None,
    )
    price_usd_per_hour: Number | None = quantity("USD/h", "rent of the whole platform", default=None)
    note: str = text("what a reader should know", default="")
    aliases: tuple[str, ...] = texts("other names that mean exactly this platform", default=())
    sources: Mapping[str, Source] = other("citation of each number, by its path", default={})
    origin: str = other("the file it was read from; empty for one that is built in", default="")
    hides: bool = other("a built-in entry has this name too", default=False)

    @property
    def beside_chips_w(self) -> Number | None:
        """Power of all that is no chip: what the whole draws more than its chips, else as stated."""
        if self.power_w is None or self.chip.power_w is None:
            return self.host_power_w
        return maximum(self.power_w - self.chips * self.chip.power_w, 0)

    @property
    def chips(self) -> Number:
        """Chips in the whole platform."""
        total: Number = 1
        for level in self.levels:
            total = total * level.size
        return total
