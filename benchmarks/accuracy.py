"""Write docs/accuracy.md: how far the tool is off, from measurements.

    GENZ_DATA=folder python benchmarks/accuracy.py [docs/accuracy.md]

The folder holds `e2e/llm_inference_bench.csv` and, where there is one, `e2e/nvidia_agg.csv`, with the
columns that `genz validate` reads; beside `e2e` there may be `collectives_measured.csv`. Fits that leave out
models, counts of chips and chips take minutes.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import collectives
import numpy as np

from genzcli.catalog.load import Catalog
from genzcli.explore import knobs
from genzcli.explore.calibrate import Calibration, Errors, Runs, calibrate, errors
from genzcli.explore.validate.endtoend import KIND, calibration, stacks
from genzcli.explore.validate.kind import Row, Setting, as_number
from genzcli.explore.validate.servings import measured

ROOT = Path(__file__).resolve().parents[1]
STATIC, SERVERS = "llm_inference_bench.csv", "nvidia_agg.csv"
#: Chips of one vendor under one stack: what the profile of the class says of a chip left out of it.
CLASSES = (
    ("vllm", ("h100-sxm", "a100-sxm-40gb", "gh200")),
    ("tensorrt-llm", ("h100-sxm", "a100-sxm-40gb")),
    ("vllm", ("mi300x", "mi250")),
)

HEAD = """# Accuracy

How far predictions are off, written by `benchmarks/accuracy.py` from the measurements named below. Every
error is predicted / measured - 1; means and medians are of absolute values; bias is the mean with its sign.

"In sample" is under the shipped profiles, which were fitted to these rows. "Model left out" and "chips left
out" are under fits that never saw the row's model, or its count of chips, on that chip and stack: what to
expect of a model or machine that was not measured. Error bands in reports are the 68th percentile of the
errors with a model left out; of profiles of a class, of those with a chip left out; of a time that nobody
measured, they are the generic profile's.

## Method

Times follow from counts (FLOP and bytes of every operator) through a roofline with a smooth corner. A
profile is fourteen numbers at most: efficiencies of matrix products (prefill and decode) and of memory, of
attention in prefill and decode, the share of query heads that read the cache again, a fixed time a kernel,
a least time a layer (launches from the host), a step, a sequence, more than one chip, and efficiency and
base of collectives. `genz calibrate` fits them to the logarithms of the times, within bounds, near the
generic profile of the chip's class, under a loss that lets outliers go (Cauchy's). Whether decode attention
splits long contexts is tried both ways. Batches that do not fit in memory run in waves.

"""

WRONG = """## Where it is wrong, and why

- **Waves.** A batch that does not fit runs in waves of what fits when it is done; vLLM admits more at
  first, preempts and computes prompts again. Where prefill is slow (MI300X under vLLM of 2024) waves are 20
  to 30 % too fast.
- **Experts.** Uniform routing is assumed. DeepSpeed-MII on Mixtral hardly slows down from batch 1 to 16, as
  if every request took the same experts; those rows are 50 % off, and left out they cannot be foreseen.
- **MI300X on several chips.** Costs that grow with both the batch and the chips are larger than collectives
  and the constants of a step explain: 15 % too fast at batch 256 on 8 chips, 15 % too slow on one.
- **AMD GPUs of 2024** do not foretell one another: MI300X ran matrix products at a twentieth of its peak,
  MI250 at half. A chip of the class that was not measured is known to a factor of two.
- **SN40L.** Two models; times at batch 16 are not monotonic in length, and repeat within 40 %.
- **Spoiled rows** stay in: one TensorRT-LLM row says 1 ms a token where its neighbours say 8.
- **Pipelines** of TensorRT-LLM of 2024 overlap less than the schedule allows.
"""


class Pair(NamedTuple):
    """One chip under one stack: what was fitted and how it fared."""

    hardware: str
    stack: str
    shipped: Errors
    band: float | None
    fit: Calibration


def main(output: Path) -> None:
    """The whole document."""
    folder = Path(os.environ.get("GENZ_DATA", "")) / "e2e"
    rows = read(folder / STATIC)
    pairs = grouped(rows, ("e2e_s",))
    with ProcessPoolExecutor() as pool:
        done = list(pool.map(fitted, pairs.items()))
        unseen = list(pool.map(left_chip, [(*one, chip) for one in CLASSES for chip in one[1]]))
    text = HEAD + "".join(static(sorted(done, key=lambda item: (item.hardware, item.stack))))
    text += "".join(chips(unseen))
    if (folder / SERVERS).exists():
        text += "".join(servers(read(folder / SERVERS)))
    if (measured_collectives := folder.parent / "collectives_measured.csv").exists():
        text += "".join(collectives.section(read(measured_collectives)))
    output.write_text(text + "\n" + WRONG, encoding="utf-8")


def read(path: Path) -> list[Row]:
    """Rows of a file of measurements."""
    with path.open(encoding="utf-8") as file:
        return [Row(number, cells) for number, cells in enumerate(csv.DictReader(file), start=2)]


def grouped(rows: Sequence[Row], targets: Sequence[str]) -> dict[tuple[str, str], list[Runs]]:
    """Runs by hardware and stack."""
    found: dict[tuple[str, str], list[Runs]] = {}
    for group in stacks(rows, Setting(Catalog()))[0]:
        columns = {t: np.array([measured(rows[place], t) for place in group.places], float) for t in targets}
        found.setdefault((group.key.hardware, group.key.stack), []).append(Runs(group, columns))
    return found


def fitted(item: tuple[tuple[str, str], list[Runs]]) -> Pair:
    """The shipped profile's errors on a pair, and those of fits that leave out."""
    (hardware, stack), runs = item
    library = Setting(Catalog())
    profile, _ = calibration(runs[0].stack, library)
    base = library.profile("plain", runs[0].stack.nouns.platform.chip)
    band = None if profile.error is None else float(profile.error.e2e)
    return Pair(hardware, stack, errors(runs, profile), band, calibrate(runs, base))


def left_chip(item: tuple[str, tuple[str, ...], str]) -> tuple[str, str, Errors, Errors]:
    """Errors on a chip under a fit to the other chips of a stack, and under the generic profile."""
    from genzcli.explore.calibrate import fit

    stack, kin, chip = item
    pairs = grouped(read(Path(os.environ["GENZ_DATA"]) / "e2e" / STATIC), ("e2e_s",))
    test = pairs[chip, stack]
    others = [runs for other in kin if other != chip for runs in pairs[other, stack]]
    generic = Catalog().profile("generic", test[0].stack.nouns.platform.chip)
    found = fit(others, knobs.shaped(generic)).profile
    return stack, chip, errors(test, found), errors(test, generic)


def static(pairs: Sequence[Pair]) -> Iterator[str]:
    """Tables and plots of static batches."""
    yield "## Static batches: LLM-Inference-Bench (arXiv 2411.00136)\n\n"
    yield "End-to-end seconds, output as long as input, 16 bit. In percent: mean, median.\n\n"
    yield "| chip | stack | rows | in sample | bias | model left out | chips left out | band | inside |\n"
    yield "|---|---|---|---|---|---|---|---|---|\n"
    everything: dict[str, list[Any]] = {"shipped": [], "model": []}
    for pair in pairs:
        shipped = pair.shipped.all()
        everything["shipped"].append(shipped)
        if pair.fit.by_model is not None:
            everything["model"].append(pair.fit.by_model.all())
        inside = "" if pair.band is None else f"{np.mean(abs(shipped) <= pair.band) * 100:.0f} %"
        band = "" if pair.band is None else f"± {pair.band * 100:.0f} %"
        bias = f"{shipped.mean() * 100:+.1f}"
        yield (
            f"| {pair.hardware} | {pair.stack} | {len(shipped)} | {both(pair.shipped)} | {bias} "
            f"| {both(pair.fit.by_model)} | {both(pair.fit.by_chips)} | {band} | {inside} |\n"
        )
    shipped, model = (np.concatenate(values) for values in everything.values())
    bias = f"{shipped.mean() * 100:+.1f}"
    yield f"| all | | {len(shipped)} | {_two(shipped)} | {bias} | {_two(model)} | | | |\n\n"
    yield "Predicted over measured, shipped profiles; a # is two rows in a hundred:\n\n"
    yield plot({f"{pair.hardware} {pair.stack}": pair.shipped.all() for pair in pairs})


def chips(unseen: Sequence[tuple[str, str, Errors, Errors]]) -> Iterator[str]:
    """What profiles of a class say of a chip that they never saw."""
    yield "\n## A chip never measured\n\nThe same runs, under a fit to the stack's other chips of the maker, "
    yield "as the shipped profile of the class is, and under the generic profile of the class.\n\n"
    yield "| chip | stack | the stack's class | generic |\n|---|---|---|---|\n"
    for stack, chip, other, generic in unseen:
        yield f"| {chip} | {stack} | {both(other)} | {both(generic)} |\n"


def servers(rows: Sequence[Row]) -> Iterator[str]:
    """TTFT and TPOT of servers under the shipped profiles."""
    yield "\n## Servers: aiconfigurator-core 0.12\n\nMean TTFT and TPOT under steady concurrency, shipped "
    yield "profiles, in percent: mean, median.\n\n| chip | stack | rows | TPOT | bias | TTFT | bias |\n"
    yield "|---|---|---|---|---|---|---|\n"
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row, predicted in zip(rows, KIND.predict(rows, Setting(Catalog())), strict=True):
        for target in ("tpot_ms", "ttft_ms"):
            value = as_number(row.cells[target])
            if value and target in predicted.values:
                for key in ((row.cells["hardware"], row.cells["stack"]), ("all", "")):
                    ratios = found.setdefault(key, {}).setdefault(target, [])
                    ratios.append(predicted.values[target] / value - 1)
    for key in sorted(found, key=lambda name: (name[0] == "all", name)):
        tpot, ttft = (np.array(found[key][target]) for target in ("tpot_ms", "ttft_ms"))
        cells = f"{_two(tpot)} | {tpot.mean() * 100:+.0f} | {_two(ttft)} | {ttft.mean() * 100:+.0f}"
        yield f"| {key[0]} | {key[1]} | {len(tpot)} | {cells} |\n"


def both(found: Errors | None) -> str:
    """Mean and median in percent."""
    return "–" if found is None else _two(found.all())


def _two(values: Any) -> str:
    return f"{np.mean(abs(values)) * 100:.1f}, {np.median(abs(values)) * 100:.1f}"


_EDGES = (0.0, 0.5, 0.65, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5, 2.0, np.inf)


def plot(found: dict[str, Any]) -> str:
    """A histogram of predicted / measured for each name, as text."""
    names = ["< 0.5", *(f"{edge:g}" for edge in _EDGES[1:-1])]
    lines = ["```text", f"{'':30}" + "".join(f"{name:>7}" for name in names)]
    for name, values in found.items():
        counts, _ = np.histogram(values + 1, _EDGES)
        marks = ("#" * round(share * 50) or ("." if share else "") for share in counts / len(values))
        lines.append(f"{name:30}" + "".join(f"{_short(mark):>7}" for mark in marks))
    return "\n".join([*lines, "```", ""])


def _short(marks: str) -> str:
    """Marks that fit a column; a number of them where they do not."""
    return marks if len(marks) <= 5 else f"{len(marks)}#"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "accuracy.md")
