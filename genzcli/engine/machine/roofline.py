"""Counts and a chip to seconds: the roofline, its smooth corner and the fixed cost of a kernel."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from genzcli.engine.counts.ops import Operator
from genzcli.engine.machine.systolic import cycles
from genzcli.numeric import any_true, ceil, clip, corner, is_array, maximum, minimum, where
from genzcli.spec.hardware import Chip, Systolic, Vector
from genzcli.spec.noun import Noun, noun, ratio, text
from genzcli.spec.profile import OperatorFit, Profile

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number

_IDEAL = OperatorFit()


class Cache(Noun):
    """The last cache before memory, and how far apart two uses of the same bytes are.

    In a pass of a model, all weights and the whole cache of keys and values of the chip's stage go by
    before a layer's are used again; only a kernel that runs by itself finds its own there.
    """

    capacity_bytes: Number = ratio("bytes it holds")
    s_per_byte: Number = ratio("seconds a byte read from it")
    between_bytes: Number | None = ratio(
        "bytes that go by between two uses of weights and KV; none: the kernel's own, run over and over",
        default=None,
    )


def cache_of(chip: Chip, between_bytes: Number | None) -> Cache | None:
    """The largest of a chip's caches."""
    found: Cache | None = None
    for tier in chip.memory.values():
        if tier.role == "cache":
            found = Cache(
                capacity_bytes=tier.capacity_bytes,
                s_per_byte=1 / tier.bandwidth_bytes_per_s,
                between_bytes=between_bytes,
            )
    return found


class Rates(Noun):
    """What one chip offers one stage: seconds a FLOP and seconds a byte of each kind of tensor.

    The seconds a byte follow from where the tensors are placed: sum over tiers of share / bandwidth.
    """

    dtype: str = text("format that matrix products run in")
    stored: str = text("format of the weights, where it is another", default="")
    flop_per_s: Number = ratio("dense peak in that format")
    weights: Number = ratio("seconds a byte of weights")
    kv: Number = ratio("seconds a byte of the cache")
    states: Number | None = ratio(
        "seconds a byte of recurrent states; as the cache if left out", default=None
    )
    activations: Number = ratio("seconds a byte of activations")
    profile: Profile = noun(Profile, "calibration")
    phase: str = text("prefill or decode", default="prefill")
    longest: Number = ratio("longest context the model takes", default=math.inf)
    cache: Cache | None = noun(Cache, "the last cache before memory", default=None)
    array: Systolic | None = noun(Systolic, "shape of the matrix unit", default=None)
    vector: Vector | None = noun(Vector, "units for what is no matrix product", default=None)


class Parts:
    """Seconds of a stretch of work, by what bounds them, and how long each resource is busy.

    compute + memory + network + overhead = time. The busy seconds overlap one another; energy
    follows from them.
    """

    __slots__ = (
        "_time",
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
        self._time: Number | None = None

    @property
    def time(self) -> Number:
        if self._time is None:
            self._time = self.compute + self.memory + self.network + self.overhead
        return self._time

    def sending(self, network: Number, busy: Number) -> Parts:
        """These parts, and a network that was not in use before."""
        return Parts(
            self.compute,
            self.memory,
            network,
            self.overhead,
            self.busy_compute,
            self.busy_memory,
            busy,
            self.flop,
        )

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
        if isinstance(factor, int) and factor == 1:
            return self
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


def joined(stretches: Iterable[Parts]) -> Parts:
    """One after the other."""
    total: Parts | None = None
    for parts in stretches:
        total = parts if total is None else total + parts
    return Parts() if total is None else total


# In the order of the constructor.
_PARTS = ("compute", "memory", "network", "overhead", "busy_compute", "busy_memory", "busy_network", "flop")


def fit_for(profile: Profile, kind: str, phase: str, dtype: str, stored: str = "") -> OperatorFit:
    """The most specific calibration: kind.stored.dtype where weights are stored in a format of their own,
    then kind.phase.dtype, kind.phase, kind.dtype, kind, default."""
    fits = profile.operators
    if stored and (own := fits.get(f"{kind}.{stored}.{dtype}")) is not None:
        return own
    for key in (f"{kind}.{phase}.{dtype}", f"{kind}.{phase}", f"{kind}.{dtype}", kind, "default"):
        if key in fits:
            return fits[key]
    return fits.get("default", _IDEAL)


# Smaller than any count: what is empty takes no tile.
_NONE = 1e-30


def _tiles(size: Number, tile: Number) -> Number:
    """Whole tiles of a size, which may carry the rounding of a division."""
    return ceil(size / tile - 1e-9)


def _padding(size: Number, tile: Number) -> Number:
    """Work of whole tiles over the work asked for."""
    return _tiles(size, tile) * tile / maximum(size, _NONE)


def _height(rows: Number, tile: Number) -> Number:
    """Rows of a tile: for few rows libraries have kernels of half and of a quarter of the height."""
    return where(rows <= tile / 4, tile / 4, where(rows <= tile / 2, tile / 2, tile))


def _group_rows(operator: Operator) -> Number:
    """Rows of one group."""
    return operator.rows / maximum(1.0 if operator.groups is None else operator.groups, _NONE)


def _whole_tiles(operator: Operator, fit: OperatorFit) -> tuple[Number, Number]:
    """FLOP and KV bytes when rows and keys that are read round up to tiles.

    As they are where the kernel has no shape.
    """
    flop, kv = operator.flop, operator.kv_bytes
    if operator.groups is None:
        return flop, kv
    if fit.tile_rows is not None:
        rows = _group_rows(operator)
        tile = _height(rows, fit.tile_rows) if operator.kind == "gemm" else fit.tile_rows
        flop = flop * _padding(rows, tile)
    if fit.tile_keys is not None:
        keys = _padding(operator.keys, fit.tile_keys)
        flop, kv = flop * keys, (kv - operator.kv_written_bytes) * keys + operator.kv_written_bytes
    return flop, kv


def _fill(operator: Operator, fit: OperatorFit, lanes: Number) -> Number:
    """Share of the chip that a kernel's pieces keep busy: min(1, groups x tiles of rows x splits / lanes).

    Splits are not rounded, and are of whole tiles: one key more never makes a kernel faster.
    """
    if operator.groups is None:
        return 1.0
    items = operator.groups
    if fit.tile_rows is not None:
        items = items * _tiles(_group_rows(operator), fit.tile_rows)
    if fit.split_keys is not None:
        keys = operator.keys
        if fit.tile_keys is not None:
            keys = _tiles(keys, fit.tile_keys) * fit.tile_keys
        items = items * maximum(keys / fit.split_keys, 1)
    return minimum(1.0, maximum(items, 1) / lanes)


def array_s(operator: Operator, array: Systolic, flop_per_s: Number) -> Number:
    """Seconds that a (grouped) GEMM takes on systolic arrays at least; 0 for all else.

    Cycles at the rate that the format's peak implies, 2 R C FLOP a cycle and core.
    """
    if operator.groups is None or operator.kind not in ("gemm", "moe"):
        return 0.0
    m, k = _group_rows(operator), operator.reduction
    n = operator.flop / (2 * maximum(operator.rows, _NONE) * k)
    per_cycle = 2 * array.rows * array.columns * array.cores
    return cycles(array, m, n, k, operator.groups) * per_cycle / flop_per_s


def vector_s(operator: Operator, vector: Vector) -> Number:
    """Seconds that vector units take at their peaks: elements x max(FLOP / peak, functions / their rate).

    Arithmetic and functions have pipes of their own.
    """
    if operator.elements is None:
        return 0.0
    number, flop, functions = operator.elements
    each = flop / vector.peak_flop_per_s
    if vector.functions_flop_per_s is not None:
        each = maximum(each, functions / vector.functions_flop_per_s)
    return number * each


def _stays(between: Number, cache: Cache) -> Number:
    """Share of what was used that is still there: all up to 3/4 of the capacity, nothing from 3/2 on.

    A cyclic walk leaves nothing in a cache that strictly evicts the oldest; measured ones fade out.
    """
    return clip((1.5 - between / cache.capacity_bytes) / 0.75, 0.0, 1.0)


def _memory_s(operator: Operator, kv: Number, rates: Rates, fit: OperatorFit) -> Number:
    """Bytes times seconds a byte over the efficiency; what stays in the cache, at the cache's speed.

    What goes by between two uses of weights and KV decides how much of them stays; activations were written
    just before, so for them it is the kernel's own bytes.
    """
    weights, activations = operator.weight_bytes, operator.activation_bytes
    if fit.idle_rows is not None:
        activations = activations + operator.idle_bytes * fit.idle_rows
    cache = rates.cache
    kv_s = rates.states if operator.kind == "scan" and rates.states is not None else rates.kv
    if cache is None or fit.cache_efficiency is None:
        share = fit.memory_efficiency
        fixed = weights * (rates.weights / share) + activations * (rates.activations / share)
        return fixed + kv * (kv_s / share)
    fast = cache.s_per_byte / fit.cache_efficiency
    own = weights + operator.kv_bytes + activations
    at_hand = _stays(own, cache)
    stays = at_hand if cache.between_bytes is None else _stays(cache.between_bytes, cache)

    def moved(size: Number, s_per_byte: Number, near: Number) -> Number:
        slow = s_per_byte / fit.memory_efficiency
        return size * (near * minimum(fast, slow) + (1 - near) * slow)

    return (
        moved(weights, rates.weights, stays)
        + moved(kv, kv_s, stays)
        + moved(activations, rates.activations, at_hand)
    )


def time(operator: Operator, rates: Rates) -> Parts:
    """`T = (Tc^p + Tm^p)^(1/p) / fill + t_op + c k + g groups`, all of the roofline's time on what bounds it.

    Tc = FLOP / min(peak eff_c, rate), Tm = sum over tensors of bytes x seconds a byte / eff_m. With p = inf
    this is the GenZ paper's equation 1. `OperatorFit` says what tiles, fill and cache add. On a systolic
    chip a GEMM takes no less than its array's cycles, and nothing less than its work on vector units, where
    these are known. Decode attention that is not split (`Unsplit`) has constants of its own.
    """
    fit = fit_for(rates.profile, operator.kind, rates.phase, rates.dtype, rates.stored)
    usual = _under(operator, rates, fit)
    rule = rates.profile.unsplit
    if rule is None or operator.kind != "attention" or rates.phase != "decode":
        return usual
    fit = fit_for(rates.profile, operator.kind, "decode.unsplit", rates.dtype)
    crowded = maximum(minimum(rates.longest, rule.longest_tokens) / rule.score_tokens, 1.0)
    return _under(operator, rates, fit, crowded).where(operator.rows > rule.above, usual)


def _compute_s(operator: Operator, flop: Number, vector: Number, rates: Rates, fit: OperatorFit) -> Number:
    """Seconds of matrix products, and of vector units where their work does not hide behind these.

    A recurrence takes the matrix peak where nothing is known of vector units, and none of it where it is.
    """
    compute: Number = 0.0
    if operator.products or rates.vector is None:
        speed = rates.flop_per_s * fit.compute_efficiency
        compute = flop / (speed if fit.rate_flop_per_s is None else minimum(speed, fit.rate_flop_per_s))
    return compute if fit.vector_efficiency is None else compute + vector / fit.vector_efficiency


def _longer(compute: Number, vector: Number) -> Number:
    """The larger of two times, of which one is often a plain 0: no pass over the other's array then."""
    if not is_array(vector) and vector == 0:
        return compute
    return vector if not is_array(compute) and compute == 0 else maximum(compute, vector)


def _under(operator: Operator, rates: Rates, fit: OperatorFit, slower: Number = 1.0) -> Parts:
    """The time under one set of constants, where the cache is read `slower` times as slowly."""
    flop, kv = _whole_tiles(operator, fit)
    if rates.phase == "decode":
        # A block of its own for each query head reads keys and values again.
        kv = kv * (1.0 + (operator.sharing - 1.0) * (1.0 - fit.kv_reuse)) * slower
    vector = 0.0 if rates.vector is None else vector_s(operator, rates.vector)
    compute = _compute_s(operator, flop, vector, rates, fit)
    memory = _memory_s(operator, kv, rates, fit)
    moves = not is_array(compute) and compute == 0  # corner(0, Tm) is Tm, to the last bit
    both = memory if moves else corner(compute, memory, fit.corner)
    if fit.lanes is not None:
        both = both / _fill(operator, fit, fit.lanes)
    bound = False if moves else compute > memory
    least = vector
    if rates.array is not None:
        least = maximum(vector, array_s(operator, rates.array, rates.flop_per_s))
    if any_true(least > memory):  # mostly it is not, and nothing changes
        bound = maximum(compute, least) > memory
        both = maximum(both, least)
    overhead = fit.fixed_s + fit.per_k_s * operator.reduction
    if operator.groups is not None:
        overhead = overhead + fit.per_group_s * operator.groups
    return Parts(
        compute=where(bound, both, 0.0),
        memory=where(bound, 0.0, both),
        overhead=overhead,
        busy_compute=_longer(compute, vector),
        busy_memory=memory,
        flop=operator.flop,
    )
