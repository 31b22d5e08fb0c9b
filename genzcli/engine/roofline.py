"""Counts and a chip to seconds: the roofline, its smooth corner and the fixed cost of a kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.ops import Operator
from genzcli.numeric import corner, where
from genzcli.spec.noun import Noun, noun, ratio, text
from genzcli.spec.profile import OperatorFit, Profile

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number

_IDEAL = OperatorFit()


class Rates(Noun):
    """What one chip offers one stage: seconds a FLOP and seconds a byte of each kind of tensor.

    The seconds a byte follow from where the tensors are placed: sum over tiers of share / bandwidth.
    """

    dtype: str = text("format that matrix products run in")
    flop_per_s: Number = ratio("dense peak in that format")
    weights: Number = ratio("seconds a byte of weights")
    kv: Number = ratio("seconds a byte of the cache")
    activations: Number = ratio("seconds a byte of activations")
    profile: Profile = noun(Profile, "calibration")
    phase: str = text("prefill or decode", default="prefill")


class Parts:
    """Seconds of a stretch of work, by what bounds them, and how long each resource is busy.

    compute + memory + network + overhead = time. The busy seconds overlap one another; energy
    follows from them.
    """

    __slots__ = (
        "busy_compute",
        "busy_memory",
        "busy_network",
        "compute",
        "flop",
        "memory",
        "network",
        "overhead",
    )

    def __init__(
        self,
        compute: Number = 0.0,
        memory: Number = 0.0,
        network: Number = 0.0,
        overhead: Number = 0.0,
        busy_compute: Number = 0.0,
        busy_memory: Number = 0.0,
        busy_network: Number = 0.0,
        flop: Number = 0.0,
    ) -> None:
        self.compute, self.memory, self.network, self.overhead = compute, memory, network, overhead
        self.busy_compute, self.busy_memory, self.busy_network = busy_compute, busy_memory, busy_network
        self.flop = flop

    @property
    def time(self) -> Number:
        return self.compute + self.memory + self.network + self.overhead

    def __add__(self, other: Parts) -> Parts:
        return Parts(
            self.compute + other.compute,
            self.memory + other.memory,
            self.network + other.network,
            self.overhead + other.overhead,
            self.busy_compute + other.busy_compute,
            self.busy_memory + other.busy_memory,
            self.busy_network + other.busy_network,
            self.flop + other.flop,
        )

    def __mul__(self, factor: Number) -> Parts:
        return Parts(
            self.compute * factor,
            self.memory * factor,
            self.network * factor,
            self.overhead * factor,
            self.busy_compute * factor,
            self.busy_memory * factor,
            self.busy_network * factor,
            self.flop * factor,
        )

    def where(self, condition: Flag, other: Parts) -> Parts:
        """These parts where the condition holds, the other's elsewhere."""
        if isinstance(condition, bool):
            return self if condition else other
        return Parts(*(where(condition, getattr(self, name), getattr(other, name)) for name in _PARTS))


# In the order of the constructor.
_PARTS = ("compute", "memory", "network", "overhead", "busy_compute", "busy_memory", "busy_network", "flop")


def fit_for(profile: Profile, kind: str, phase: str, dtype: str) -> OperatorFit:
    """The most specific calibration: kind.phase.dtype, kind.phase, kind.dtype, kind, default."""
    fits = profile.operators
    for key in (f"{kind}.{phase}.{dtype}", f"{kind}.{phase}", f"{kind}.{dtype}", kind, "default"):
        if key in fits:
            return fits[key]
    return _IDEAL


def time(operator: Operator, rates: Rates) -> Parts:
    """`T = (Tc^p + Tm^p)^(1/p) + t_op + c k`, all of the roofline's time booked on what bounds it.

    Tc = FLOP / (peak eff_c), Tm = sum over tensors of bytes x seconds a byte / eff_m. With p = inf
    this is the GenZ paper's equation 1.
    """
    fit = fit_for(rates.profile, operator.kind, rates.phase, rates.dtype)
    compute = operator.flop / (rates.flop_per_s * fit.compute_efficiency)
    moved = (
        operator.weight_bytes * rates.weights
        + operator.kv_bytes * rates.kv
        + operator.activation_bytes * rates.activations
    )
    memory = moved / fit.memory_efficiency
    both = corner(compute, memory, fit.corner)
    bound = compute > memory
    return Parts(
        compute=where(bound, both, 0.0),
        memory=where(bound, 0.0, both),
        overhead=fit.fixed_s + fit.per_k_s * operator.reduction,
        busy_compute=compute,
        busy_memory=memory,
        flop=operator.flop,
    )
