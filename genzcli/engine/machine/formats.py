"""In which format a chip computes a part of the model: the plan's, or the next wider one it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.errors import PlanError
from genzcli.spec.dtype import BITS, native, pattern
from genzcli.spec.hardware import Chip
from genzcli.spec.workload import Plan

if TYPE_CHECKING:
    from genzcli.numeric import Number


def compute_dtype(plan: Plan, chip: Chip) -> str:
    """The format matrix products run in: the plan's, or the next wider one the chip has.

    Raises PlanError when the user named a format the chip lacks, or when nothing wide enough exists.
    """
    return _native(plan, chip, plan.precision.compute)


def part_dtype(plan: Plan, chip: Chip, part: str) -> str:
    """The format in which a part's matrix products run: `Precision.computed`, or the chip's next wider."""
    return _native(plan, chip, plan.precision.computed(part))


def index_dtype(plan: Plan, chip: Chip) -> str:
    """The format of index scores over FP8 keys: FP8, or the chip's next wider (DeepSeek-V3.2, 2025)."""
    return native("fp8", chip.peaks) or compute_dtype(plan, chip)


def _native(plan: Plan, chip: Chip, wanted: str) -> str:
    found = native(wanted, chip.peaks)
    have = ", ".join(sorted(chip.peaks, key=lambda name: BITS[name]))
    if found is None:
        raise PlanError(
            f"{chip.name} has no peak for {wanted} nor for a wider format",
            where="--precision",
            cure=f"it computes in {have}",
        )
    if plan.precision.explicit_compute and found != wanted:
        raise PlanError(
            f"{chip.name} does not compute in {wanted}",
            where="--precision compute",
            cure=f"it computes in {have}; leave compute out to store in {wanted} and compute in {found}",
        )
    return found


def sparse_speedup(plan: Plan, chip: Chip, dtype: str) -> Number:
    """Peak of products with the plan's sparse weights over dense ones; 1 where the chip lacks the pattern."""
    known = plan.sparsity and pattern(plan.sparsity) == (2, 4)
    return chip.sparse_speedup.get(dtype, 1.0) if known else 1.0


def adapter_dtype(plan: Plan, chip: Chip) -> str:
    """LoRA adapters compute in 16 bits whatever the base model is, or in what the chip has."""
    return native("bf16", chip.peaks) or compute_dtype(plan, chip)
