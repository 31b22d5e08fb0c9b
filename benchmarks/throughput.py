"""Full scenarios (memory, prefill, decode, energy, cost, verdict) a second on one core.

    python benchmarks/throughput.py [--model llama-3.1-70b] [--hardware h100-sxm] [--chips 8] [--quick]

Seconds are those of the processor, so that other work on the machine counts for little; medians of
several rounds are printed. Parallelism is given, rows are not written. Beside them stands a plain loop over
what `run` calls for each of the same points. Exit code 1 when a rate is below its target.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genzcli.cli.asking.evaluate import evaluate
from genzcli.cli.asking.request import from_flags
from genzcli.cli.asking.resolve import Resolved, load, resolve
from genzcli.errors import GenzError
from genzcli.explore.sweep import Block, Frame, Numbers, blocks, listed, together
from genzcli.spec.workload import Scenario

#: Objectives that everything meets: `run` would look for cures of what fails.
SLOS = ("ttft=1000s", "tpot=100s")
#: Points, and how many values each axis of the grid has: batch, input, output, bandwidth.
SIZES = {
    10**3: (5, 5, 5, 8),
    10**4: (10, 10, 10, 10),
    10**5: (10, 10, 20, 50),
    10**6: (20, 25, 40, 50),
    10**7: (40, 50, 50, 100),
}
MODELS = (
    "llama-3.1-8b",
    "llama-3.1-70b",
    "qwen3-32b",
    "gemma-2-27b",
    "mixtral-8x7b",
    "gpt-oss-120b",
    "deepseek-v3",
    "falcon-mamba-7b",
)
PLATFORMS = (
    "hgx-a100",
    "hgx-h100",
    "hgx-h200",
    "hgx-b200",
    "mi300x-x8",
    "mi355x-x8",
    "gaudi3-x8",
    "tpu-v5e-8",
)
#: Points of each pair of a model and a platform: values of batch, input and output.
INSIDE = {16: (4, 2, 2), 64: (4, 4, 4), 256: (8, 8, 4), 1024: (8, 8, 16)}
TARGETS = {"grid": 1e6, "list": 2e5, "catalog": 5e4}
#: Peak memory of a process that answered 10^7 points.
MOST_BYTES = 500e6

Axes = tuple[Numbers, ...]


def main() -> int:
    """Time every case, print it beside its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="llama-3.1-70b")
    parser.add_argument("--hardware", default="h100-sxm")
    parser.add_argument("--chips", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="up to 10^5 points")
    given = parser.parse_args()
    words = {"model": given.model, "hardware": given.hardware, "chips": str(given.chips), "slo": SLOS}
    resolved = resolve(from_flags(words))
    fixed = {axis: getattr(resolved.scenario.plan, axis) for axis in ("tp", "pp", "dp", "ep")}
    frame = Frame(resolved.scenario, given.chips, fixed, {})
    alone = loop(resolved, listing(frame.scenario, 200))
    print(f"{given.model} on {given.chips} x {given.hardware}, {fixed}")
    say("run's function, one by one", 200, alone, alone, None)
    held = [] if given.quick else [10**6, 10**7]
    missed, rates = False, {}
    for size in (10**3, 10**4, 10**5, *held):
        axes = grid(frame.scenario, SIZES[size])
        rates[size] = measured(lambda axes=axes: blocks(frame, axes), 9 if size < 10**6 else 3)
        missed |= say("grid of 4 axes", size, rates[size], alone, TARGETS["grid"] if size >= 10**5 else None)
    few, many = min(rates), max(rates)
    block = few / rates[few] - few / rates[many]
    print(f"{'so a block costs':28} {block * 1e3:9.2f} ms, and a point {1e6 / rates[many]:.2f} us")
    peak = peak_bytes()
    if peak is not None:
        print(f"{'peak memory so far':28} {peak / 1e6:9.0f} MB   (target {MOST_BYTES / 1e6:.0f} MB)")
        missed |= peak > MOST_BYTES
    for size in (10**3, 10**5, *held[:1]):
        axes = listing(frame.scenario, size)
        rate = measured(lambda axes=axes: listed(frame, axes), 5)
        missed |= say("list, all independent", size, rate, alone, TARGETS["list"] if size >= 10**5 else None)
    frames = list(pairs())
    for inside, sizes in INSIDE.items():
        rate = measured(lambda sizes=sizes: everywhere(frames, sizes), 3)
        target = TARGETS["catalog"] if inside >= 256 else None
        missed |= say(f"{len(frames)} pairs x {inside} points", len(frames) * inside, rate, alone, target)
    return int(missed)


def say(name: str, points: int, rate: float, alone: float, target: float | None) -> bool:
    """One line; whether the target was missed."""
    words = f"  (target {target:,.0f})" if target else ""
    print(f"{name:28} {points:>10,} points  {rate:>12,.0f} /s  {rate / alone:7.0f}x{words}", flush=True)
    return target is not None and rate < target


def measured(answers: Callable[[], Iterable[Block]], rounds: int) -> float:
    """Points a second of processor time, the median of some rounds behind a first one."""
    rates = []
    for turn in range(rounds + 1):
        start = time.process_time()
        points = sum(block.size for block in answers())
        if turn:
            rates.append(points / (time.process_time() - start))
    return statistics.median(rates)


def loop(resolved: Resolved, axes: Axes) -> float:
    """Points a second when each is asked by itself, as `run` does."""
    rates = []
    for values in islice(zip(*(axis.values.tolist() for axis in axes), strict=True), 200):
        scenario = resolved.scenario
        for axis, value in zip(axes, values, strict=True):
            scenario = axis.put(scenario, value)
        start = time.process_time()
        evaluate(resolved._replace(scenario=scenario), explain=False)
        rates.append(time.process_time() - start)
    return 1 / statistics.median(rates)


# --- what is swept ---


def grid(scenario: Scenario, sizes: tuple[int, ...]) -> Axes:
    """Batch, input, output and memory bandwidth, evenly spread; as many axes as sizes."""
    steps = (
        np.round(np.linspace(low, high, size)) for (_, low, high), size in zip(RANGES, sizes, strict=False)
    )
    return _axes(scenario, list(steps))


def listing(scenario: Scenario, size: int) -> Axes:
    """`size` points whose every number is drawn by itself."""
    draw = np.random.default_rng(1)
    return _axes(scenario, [np.round(draw.uniform(low, high, size)) for _, low, high in RANGES])


RANGES = (("batch", 1, 64), ("input", 100, 4000), ("output", 2, 1000), ("bandwidth", 1e12, 8e12))


def _axes(scenario: Scenario, values: list[NDArray[np.float64]]) -> Axes:
    name = next(name for name, tier in scenario.platform.chip.memory.items() if tier.role == "storage")

    def batch(scenario: Scenario, value: Any) -> Scenario:
        return scenario.replace(plan=scenario.plan.replace(batch=value))

    def tokens(field: str) -> Callable[[Scenario, Any], Scenario]:
        return lambda scenario, value: scenario.replace(usecase=scenario.usecase.replace(**{field: value}))

    def bandwidth(scenario: Scenario, value: Any) -> Scenario:
        chip = scenario.platform.chip
        memory = {**chip.memory, name: chip.memory[name].replace(bandwidth_bytes_per_s=value)}
        return scenario.replace(platform=scenario.platform.replace(chip=chip.replace(memory=memory)))

    puts = (batch, tokens("input_tokens"), tokens("output_tokens"), bandwidth)
    return tuple(
        Numbers(name, value, put) for (name, _, _), value, put in zip(RANGES, values, puts, strict=False)
    )


def pairs() -> Iterator[Frame]:
    """Every model on every platform, 8 chips; what cannot be laid out so is left out."""
    for model, platform in product(MODELS, PLATFORMS):
        words = {"model": model, "hardware": platform, "chips": "8", "tp": "8", "slo": SLOS}
        try:
            loaded = load(from_flags(words))
            resolve(from_flags(words))
        except GenzError:
            continue
        yield Frame(loaded.scenario, loaded.chips, {"tp": 8, "pp": 1, "dp": 1, "ep": 1}, {})


def everywhere(frames: list[Frame], sizes: tuple[int, ...]) -> Iterator[Block]:
    """The same small grid on every pair."""
    axes = grid(frames[0].scenario, sizes)
    return together((frame, axes, 0, prod(sizes)) for frame in frames)


def peak_bytes() -> float | None:
    """Most memory that this process had; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)


if __name__ == "__main__":
    sys.exit(main())
