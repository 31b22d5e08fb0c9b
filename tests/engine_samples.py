"""Small hand-made nouns with round numbers, for calculations that are done on paper.

Nothing here comes from the YAML catalogs: a corrected datasheet must not move these tests.
"""

from __future__ import annotations

import math
from typing import Any

from genzcli.engine.counts.ops import Bytes, Shard
from genzcli.engine.estimate import estimate
from genzcli.engine.result import Estimate
from genzcli.spec.dtype import Precision
from genzcli.spec.hardware import Chip, Level, Platform, Tier
from genzcli.spec.model import Attention, Block, Mlp, Model, Moe
from genzcli.spec.profile import OperatorFit, Profile
from genzcli.spec.workload import Plan, Scenario, UseCase

PEAK, BANDWIDTH = 1e14, 1e12  # of `chip()`, in bf16
IDEAL = Profile(name="ideal", stack="ideal", operators={})


def chip(**changes: Any) -> Chip:
    """100 TFLOP/s in bf16, 200 in fp8, 100 GB at 1 TB/s, 1000 W, 3.6 USD/h (0.001 USD/s)."""
    base: dict[str, Any] = {
        "name": "round",
        "kind": "gpu",
        "peaks": {"bf16": PEAK, "fp8": 2 * PEAK},
        "memory": {"hbm": Tier(capacity_bytes=100e9, bandwidth_bytes_per_s=BANDWIDTH)},
        "power_w": 1000.0,
        "price_usd_per_hour": 3.6,
    }
    return Chip(**{**base, **changes})


def level(topology: str = "switch", size: Any = 8, **changes: Any) -> Level:
    """100 GB/s a chip each way over one link, 1 us a hop."""
    base: dict[str, Any] = {
        "name": topology,
        "topology": topology,
        "size": size,
        "bandwidth_bytes_per_s": 1e11,
        "latency_s": 1e-6,
    }
    return Level(**{**base, **changes})


def platform(*levels: Level, chip: Chip | None = None, **changes: Any) -> Platform:
    return Platform(name="bench", chip=chip or globals()["chip"](), levels=levels, **changes)


def attention(**changes: Any) -> Attention:
    return Attention(**{"heads": 8, "kv_heads": 8, "head_dim": 128, **changes})


def dense(
    layers: int = 4, feedforward: Any = None, d_model: int = 1024, vocab: int = 10000, **mixer: Any
) -> Model:
    """D = 1024, 8 heads of 128, gated MLP of 4096, vocabulary 10000, 4 layers."""
    block = Block(mixer=attention(**mixer), feedforward=feedforward or Mlp(d_ff=4096))
    return Model(
        name="paper", d_model=d_model, vocab=vocab, blocks={"layer": block}, stack=(("layer", layers),)
    )


def model_of(
    blocks: dict[str, Block], stack: tuple[tuple[str, int], ...], d_model: int = 1024, vocab: int = 10000
) -> Model:
    """A stack of the given blocks."""
    return Model(name="stack", d_model=d_model, vocab=vocab, blocks=blocks, stack=stack)


def moe(layers: int = 4, **part: Any) -> Model:
    """The same with 8 experts of 2048, two a token."""
    return dense(layers, Moe(**{"experts": 8, "experts_per_token": 2, "d_expert": 2048, **part}))


def plan(precision: str = "bf16", **changes: Any) -> Plan:
    return Plan(precision=Precision.of(precision), **changes)


def shard(**cut: Any) -> Shard:
    """A layer cut so, everything in 16 bits."""
    return Shard(size=Bytes(weights=2.0, experts=2.0, kv=2.0, activations=2.0), **cut)


def usecase(inputs: Any = 100, outputs: Any = 11, beams: Any = 1) -> UseCase:
    return UseCase(input_tokens=inputs, output_tokens=outputs, beams=beams)


def scenario(
    model: Model | None = None,
    on: Platform | None = None,
    use: UseCase | None = None,
    profile: Profile = IDEAL,
    **how: Any,
) -> Scenario:
    return Scenario(
        model=model or dense(),
        platform=on or platform(level()),
        usecase=use or usecase(),
        plan=plan(**how),
        profile=profile,
    )


def answer(*args: Any, explain: bool = False, **options: Any) -> Estimate:
    return estimate(scenario(*args, **options), explain=explain)


def calibrated(**changes: Any) -> Profile:
    """Half the peak, 0.8 of the bandwidth, corner 2, 4 us a kernel."""
    fit = OperatorFit(compute_efficiency=0.5, memory_efficiency=0.8, corner=2, fixed_s=4e-6)
    return Profile(**{"name": "fit", "stack": "test", "operators": {"default": fit}, **changes})


def roof(flop: float, moved: float, peak: float = PEAK, bandwidth: float = BANDWIDTH) -> float:
    """Equation 1 of the GenZ paper."""
    return max(flop / peak, moved / bandwidth)


def gemm(
    t: float, k: float, n: float, b: float = 2, peak: float = PEAK, bandwidth: float = BANDWIDTH
) -> float:
    """[t, k] x [k, n] with b bytes a weight and bf16 activations."""
    return roof(2 * t * k * n, k * n * b + t * (k + n) * 2, peak, bandwidth)


def close(actual: Any, expected: float, relative: float = 1e-9) -> bool:
    """Equal to nine digits unless said otherwise."""
    return math.isclose(float(actual), expected, rel_tol=relative, abs_tol=0.0)
