"""A part of docs/accuracy.md: server profiles fitted anew, and how far off they are where a fit saw nothing.

    GENZ_DATA=folder python benchmarks/servers.py [model] [chips] [chip]

Twenty-two numbers are fitted to all stacks, from there to each stack, from there to each chip of it, every
time held near those before: a few runs move them little. Named parts (all, if none is named) are left out in
turn. Residuals are ln(predicted / measured) of TPOT and predicted / measured - 1 of TTFT, which counts less.

Shipped profiles have the same numbers within the same bounds, from an earlier fit in the same order, with
other weights; no profile is written here. The table has both side by side. Takes some minutes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import Any, NamedTuple

import measurements
import numpy as np

from genzcli.catalog.load import Catalog
from genzcli.explore.calibrate import Errors, Runs, errors, some
from genzcli.explore.knobs import Knob
from genzcli.explore.optimum import Problem, minimise
from genzcli.explore.validate.arrays import Stack, answers
from genzcli.spec.profile import CollectiveFit, OperatorFit, Profile

#: What is fitted: how far it may go, and how far stacks and chips lie apart (in logarithms).
KNOBS = (
    Knob("compute", 0.2, 0.95, 0.2, ""),
    Knob("compute fp8", 0.15, 0.95, 0.25, ""),
    Knob("compute fp4", 0.1, 0.95, 0.3, ""),
    Knob("experts compute", 0.1, 0.95, 0.3, ""),  # of the other products'
    Knob("memory", 0.3, 0.98, 0.1, ""),
    Knob("experts memory", 0.2, 0.98, 0.15, ""),
    Knob("unpacked compute", 0.2, 1.0, 0.2, ""),  # of experts stored in 4 bits and multiplied in 16
    Knob("unpacked memory", 0.2, 1.0, 0.2, ""),
    Knob("prefill attention compute", 0.15, 0.95, 0.25, ""),
    Knob("decode attention memory", 0.15, 0.98, 0.15, ""),
    Knob("kernel", 1e-6, 2e-5, 0.3, ""),
    Knob("experts kernel", 1e-6, 1e-4, 0.7, ""),
    Knob("expert", 1e-9, 2e-6, 1.0, ""),
    Knob("per k", 2e-11, 4e-9, 0.6, ""),
    Knob("step", 5e-5, 3e-3, 0.5, ""),
    Knob("per sequence", 3e-7, 3e-5, 0.5, ""),
    Knob("per chip", 1e-6, 5e-3, 1.5, ""),
    Knob("collective efficiency", 0.3, 0.98, 0.15, ""),
    Knob("collective base", 5e-7, 5e-5, 0.6, ""),
    Knob("request", 1e-3, 0.4, 1.0, ""),
    Knob("launch", 1.4e-6, 6e-4, 1.0, ""),
    Knob("burst", 0.005, 1.0, 1.0, ""),
)
START = (
    *(0.65, 0.55, 0.4, 0.5, 0.75, 0.65, 0.7, 0.7, 0.6, 0.7, 5e-6, 1e-5, 1e-7, 4e-10),
    *(3e-4, 3e-6, 2.5e-4, 0.8, 4e-6, 1e-2, 1.1e-4, 0.2),
)
#: Relative size of a residual that is no news, and what a residual of TTFT counts.
NOISE, TTFT_COUNTS = 0.15, 0.6
#: Fits of this many runs hold their numbers within a spread of those before.
RUNS = 200
#: Share of memory that the software keeps, where it is not the tenth that vLLM and SGLang leave.
RESERVE = {("tensorrt-llm", "b200"): 0.05, ("tensorrt-llm", "h100-sxm"): 0.05, ("sglang", "h100-sxm"): 0.2}
STACKS = ("vllm", "sglang", "tensorrt-llm")
TARGETS = ("tpot_ms", "ttft_ms")

#: A stack on a chip.
Pair = tuple[str, str]
#: Logarithms of the numbers: of everything (), of a stack (stack,), of a pair.
Fits = dict[tuple[str, ...], Any]
#: Errors of runs.
Scores = list[tuple[Runs, Errors]]


class Measured(NamedTuple):
    """Runs that fits see, and those that they are judged by alone."""

    clean: list[Runs]
    spoiled: list[Runs]


def loaded() -> Measured:
    """Servers of both sources under the stacks that have profiles."""
    rows = [
        row for row in (*measurements.servers(), *measurements.inferencemax()) if row.cells["stack"] in STACKS
    ]
    clean = [row for row in rows if not spoiled(row.cells)]
    rest = [row for row in rows if spoiled(row.cells)]
    groups = (measurements.grouped(part, TARGETS).values() for part in (clean, rest))
    return Measured(*([runs for group in found for runs in group] for found in groups))


def spoiled(cells: Mapping[str, str]) -> bool:
    """Rows that no fit should see: nobody could predict them from what they say.

    SGLang's FP4 runs without a version wait seconds for a first token; of 512 users of an H100 node a hundred
    ran; TensorRT-LLM's runs of 4000 and 15000 tokens are far above what the chips can do, or far below.
    """
    if cells["stack"] == "sglang" and cells.get("stack_version") == "" and cells["hardware"] == "b200":
        return cells["precision"] == "fp4" or float(cells["ttft_ms"]) > 5000
    many = cells["hardware"] == "h100-sxm" and float(cells["concurrency"]) >= 512
    return many or cells["input_tokens"] in ("4000", "15000")


def pair_of(runs: Runs) -> Pair:
    """The stack and the chip of runs."""
    return runs.stack.key.stack, runs.stack.key.hardware


# --- the fit ---


def profile(values: Sequence[Any], pair: Pair) -> Profile:
    """A pair's profile of these numbers, or of columns of them, in the order of the knobs."""
    at = dict(zip((knob.name for knob in KNOBS), values, strict=True))
    return Profile(
        name="-".join(pair),
        stack=pair[0],
        operators=_operators(at),
        collectives={
            "default": CollectiveFit(
                efficiency=at["collective efficiency"], base_s=at["collective base"], corner=0.5
            )
        },
        step_s=at["step"],
        per_sequence_s=at["per sequence"],
        per_chip_s=at["per chip"],
        request_s=at["request"],
        launch_s=at["launch"],
        burst=at["burst"],
        held_output=1.0 if pair[0] == "tensorrt-llm" else 0.5,
        reserve=RESERVE.get(pair, 0.1),
        page_tokens=16,
        activation_tokens=16384,
    )


def _operators(at: Mapping[str, Any]) -> dict[str, OperatorFit]:
    """Products by format, experts also by how they are stored, attention by phase."""
    share = {"": at["compute"], ".fp8": at["compute fp8"], ".fp4": at["compute fp4"]}
    rest = OperatorFit(
        compute_efficiency=share[""], memory_efficiency=at["memory"], corner=2, fixed_s=at["kernel"]
    )
    gemm = rest.replace(per_k_s=at["per k"])
    moe = gemm.replace(
        memory_efficiency=at["experts memory"], fixed_s=at["experts kernel"], per_group_s=at["expert"]
    )
    unpacked = moe.replace(
        compute_efficiency=share[""] * at["experts compute"] * at["unpacked compute"],
        memory_efficiency=at["experts memory"] * at["unpacked memory"],
    )
    attention = rest.replace(corner=1)
    prefill = at["prefill attention compute"]
    return {
        "default": rest,
        **{f"gemm{form}": gemm.replace(compute_efficiency=part) for form, part in share.items()},
        **{
            f"moe{form}": moe.replace(compute_efficiency=part * at["experts compute"])
            for form, part in share.items()
        },
        **{f"moe.{stored}.bf16": unpacked for stored in ("int4", "mxfp4")},
        # The products of attention run in 16 bits whatever the format: shares of peaks 2 and 4 times as high.
        **{
            f"attention.prefill{form}": attention.replace(compute_efficiency=prefill / faster)
            for form, faster in {"": 1, ".fp8": 2, ".fp4": 4}.items()
        },
        "attention.decode": attention.replace(memory_efficiency=at["decode attention memory"]),
    }


def fitted(runs: Sequence[Runs], near: Any, start: Any, level: bool = False) -> Any:
    """Logarithms of the numbers that fit runs best, near (the logarithms of) those given.

    With `level`, pairs count alike however many runs they have.
    """
    sizes: dict[Pair, int] = {}
    for item in runs:
        sizes[pair_of(item)] = sizes.get(pair_of(item), 0) + len(item.stack.places)
    counts = {pair: min(math.sqrt(RUNS / size), 3) if level else 1.0 for pair, size in sizes.items()}

    def residuals(logs: Any) -> Any:
        values = np.exp(logs)
        columns = [values[:, [index]] for index in range(values.shape[1])]
        found = []
        for item in runs:
            pair = pair_of(item)
            said = answers(item.stack, profile(columns, pair), item.stack.batch).values
            tpot, ttft = (said[target] / item.measured[target] for target in TARGETS)
            found += [np.log(tpot) * counts[pair], (ttft - 1) * TTFT_COUNTS * counts[pair]]
        return np.concatenate(found, axis=1)

    problem = Problem(
        residuals=residuals,
        low=np.log([knob.low for knob in KNOBS]),
        high=np.log([knob.high for knob in KNOBS]),
        centre=near,
        width=np.array([knob.spread for knob in KNOBS]) / math.sqrt(sum(sizes.values()) / RUNS),
        noise=NOISE,
    )
    return minimise(problem, near if start is None else start).x


def chain(runs: Sequence[Runs], before: Fits | None = None) -> Fits:
    """Numbers for everything, for each stack and for each pair, each near those before it.

    MI GPUs have no say in their stack's: one model under early software. A search begins at the fits
    `before`, which saves time alone: with a model left out TPOT is 16.7 % off with it, 16.8 without.
    """
    before = before or {}
    found: Fits = {(): fitted(runs, np.log(START), before.get(()), True)}
    for stack in STACKS:
        own = [item for item in runs if pair_of(item)[0] == stack]
        level = [item for item in own if not pair_of(item)[1].startswith("mi")]
        found[stack,] = fitted(level, found[()], before.get((stack,)), True) if level else found[()]
        for pair in dict.fromkeys(map(pair_of, own)):
            here = [item for item in own if pair_of(item) == pair]
            found[pair] = fitted(here, found[stack,], before.get(pair))
    return found


# --- errors ---


def scored(runs: Sequence[Runs], fits: Fits) -> Scores:
    """Errors under the fit to the pair, or to its stack where it was not fitted."""
    found = []
    for item in runs:
        pair = pair_of(item)
        logs = fits[pair if pair in fits else pair[:1]]
        values = [float(value) for value in np.exp(logs)]
        found.append((item, errors([item], profile(values, pair))))
    return found


def shipped(runs: Sequence[Runs]) -> Scores:
    """Errors under the profiles of the catalog."""
    return [(item, errors([item], catalogued(item))) for item in runs]


@cache
def library() -> Catalog:
    """The catalog, read once."""
    return Catalog()


def catalogued(runs: Runs) -> Profile:
    """The shipped profile."""
    key = runs.stack.key
    return library().profile(key.stack, runs.stack.nouns.platform.chip, key.batching)


#: What can be left out: a model (DeepSeek's V3 and R1 are one architecture), a count of chips, a chip.
PARTS: dict[str, Callable[[Stack], list[Any]]] = {
    "model": lambda stack: [stack.key.model.replace("-v3", "-r1")] * len(stack.places),
    "chips": lambda stack: (stack.tp * stack.dp).tolist(),
    "chip": lambda stack: [stack.key.hardware] * len(stack.places),
}


def left_out(part: str, runs: Measured, fits: Fits, value: Any) -> Scores:
    """Errors on the runs of which a part is this, under fits to the others."""

    def chosen(of: Sequence[Runs], same: bool) -> list[Runs]:
        cut = [some(item, [(name == value) == same for name in PARTS[part](item.stack)]) for item in of]
        return [item for item in cut if item.stack.places]

    return scored(chosen(runs.clean + runs.spoiled, True), chain(chosen(runs.clean, False), fits))


def study(parts: Sequence[str] = tuple(PARTS)) -> dict[str, Scores]:
    """Errors of the shipped profiles, of the fits to everything, and with each part left out."""
    runs = loaded()
    every = runs.clean + runs.spoiled
    fits = chain(runs.clean)
    found = {"shipped": shipped(every), "fitted": scored(every, fits)}
    with ProcessPoolExecutor() as pool:
        for part in parts:
            values = dict.fromkeys(value for item in every for value in PARTS[part](item.stack))
            folds = pool.map(partial(left_out, part, runs, fits), sorted(values))
            found[f"{part} left out"] = [score for fold in folds for score in fold]
    return found


HEAD = """
## Servers: fitted anew, and left out

Those servers and InferenceMAX's without drafts, under the shipped profiles, and under profiles fitted anew by
`benchmarks/servers.py`: to everything, and without the row's model, its count of chips, its chip. A chip left
out has its stack's profile. Shipped numbers are of an earlier fit of the same form, and so are their bands of
error: "inside" is the percentage of the errors in the first column left out that lie in them. Sixty-four runs
that say too little of themselves are in no fit, and in every error. Mean and median, in percent.

"""


def section(found: Mapping[str, Scores]) -> Iterator[str]:
    """The table, in Markdown."""
    unseen = list(found.values())[2]
    yield f"{HEAD}| | chip | stack | runs | {' | '.join(found)} | inside |\n"
    yield f"|---|---|---|---{'|---' * len(found)}|---|\n"
    lines = {line for item, _ in found["fitted"] for line in lines_of(item)}
    for target in TARGETS:
        for line in sorted(lines, key=lambda line: (line[0] == "all", line[1] == "", line)):
            columns = [together(scores, target, line) for scores in found.values()]
            cells = " | ".join(f"{e.mean() * 100:.1f}, {np.median(e) * 100:.1f}" for e in columns)
            word = target.removesuffix("_ms").upper()
            yield f"| {word} | {' | '.join(line)} | {len(columns[0])} | {cells} "
            yield f"| {inside(unseen, target, line) * 100:.0f} |\n"


def lines_of(item: Runs) -> tuple[tuple[str, str], ...]:
    """Lines of the table that runs count in: their chip and stack, their kind of model, all."""
    kind = "mixtures of experts" if item.stack.nouns.model.has_experts else "dense models"
    return (item.stack.key.hardware, item.stack.key.stack), ("all", kind), ("all", "")


def together(scores: Scores, target: str, line: tuple[str, str] = ("all", "")) -> Any:
    """Sizes of the errors on a line."""
    return np.concatenate([abs(found.values[target]) for item, found in scores if line in lines_of(item)])


def inside(scores: Scores, target: str, line: tuple[str, str]) -> float:
    """Share of the errors on a line within the bands of the shipped profiles."""
    held = []
    for item, found in scores:
        band = catalogued(item).error
        if band is not None and line in lines_of(item):
            held.append(abs(found.values[target]) <= getattr(band, target.removesuffix("_ms")))
    return float(np.concatenate(held).mean())


def main(parts: Sequence[str]) -> None:
    """Print the section."""
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        sys.exit(f"{unknown[0]}: left out can be {', '.join(PARTS)}")
    print("".join(section(study(parts or tuple(PARTS)))))


if __name__ == "__main__":
    main(sys.argv[1:])
