"""Write docs/accuracy.md: how far the tool is off, from measurements.

    GENZ_DATA=folder python benchmarks/accuracy.py [docs/accuracy.md]

The folder holds `e2e/llm_inference_bench.csv`, `e2e/nvidia_agg.csv` and the others that `measurements.py`
names, `kernels/` and `collectives_measured.csv`. Fits that leave out models, counts of chips and chips take
minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import classes
import collectives
import measurements
import numpy as np
import servers

from genzcli.catalog.load import Catalog
from genzcli.explore.calibrate import Calibration, Errors, Runs, calibrate, errors, fit, structured
from genzcli.explore.validate.endtoend import KIND, calibration
from genzcli.explore.validate.kind import Row, Setting, as_number
from genzcli.spec.profile import Profile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import kernel_samples as kernels  # noqa: E402

#: Chips of one maker under one stack: what the profile of the class says of a chip left out of it.
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
measured, they are those of `plain`, which fits start from. Profiles of kernels and of the GenZ paper carry
the errors that they have on whole runs.

## Method

Times follow from counts (FLOP and bytes of every operator) through a roofline with a smooth corner. A
profile is fourteen numbers at most: efficiencies of matrix products (prefill and decode) and of memory, of
attention in prefill and decode, the share of query heads that read the cache again, a fixed time a kernel,
a least time a layer (launches from the host), a step, a sequence, more than one chip, and efficiency and
base of collectives. `genz calibrate` fits them to the logarithms of the times, within bounds, near the
plain profile of the chip's class, under a loss that lets outliers go (Cauchy's). Whether decode attention
splits long contexts is tried both ways; over several chips, so is whether matrix products run at a share of
each one's peak or all at one rate, which software sets that was tuned for none. Batches that do not fit in
memory run in waves.

"""

WRONG = """## Where it is wrong, and why

- **Waves.** A batch that does not fit runs in waves of what fits when it is done; vLLM admits more at
  first, preempts and computes prompts again. Where prefill is slow (MI300X under vLLM of 2024) waves are 20
  to 30 % too fast.
- **Experts.** Uniform routing is assumed. DeepSpeed-MII on Mixtral hardly slows down from batch 1 to 16, as
  if every request took the same experts; those rows are 50 % off, and left out they cannot be foreseen.
- **MI300X on several chips.** Costs that grow with both the batch and the chips are larger than collectives
  and the constants of a step explain: 15 % too fast at batch 256 on 8 chips, 15 % too slow on one.
- **AMD GPUs of 2024.** vLLM ran matrix products at some 90 TFLOP/s on MI300X and on MI250, a fourteenth of
  one's peak and a quarter of the other's. As shares of the peak neither foretells the other (35 and 89 %
  off); as one rate of the software each does (table above). That it is a rate was seen on both: of a single
  chip it is an assumption. `generic` is software of 2025, two to three times faster, and no forecast of
  these runs: its times are 64 % (MI300X), 49 % (MI250) and 70 % (Max 1550) too short.
- **One set of overheads** does not know the stack: TensorRT-LLM steps through gpt-oss on B200 in two thirds
  of the time that Hopper's kernels at 5.6 µs each take, SGLang of 2025 through DeepSeek-R1 on MI300X in 1.8
  times.
- **Experts** in MXFP4 under Triton jump by a quarter (H100) to a half (L40S) where the kernel changes its
  tiles, at 64 rows an expert; no smooth law follows that. Of the other chip's constants alone they are 40
  to 50 % off. Under EP 8 the A100's kernels computed the rows of all ranks, which the constants of EP 1 do
  not say: 49 % off there, 10 % at EP 1.
- **Prefill attention on the L40S.** For 1 to 4 prompts of 256 to 1536 tokens FlashInfer takes a kernel that
  is up to three times slower than the one for longer prompts: four times the FLOP cost 18 % more time from
  512 to 1024 tokens. Those 119 rows are 71 % off, many prompts of at most 256 tokens 22 %, the other 928
  rows 12 %. A cubic through each series of lengths, four constants for every batch and shape, is still 15 %
  off.
- **CUTLASS experts** of FlashInfer on H100 (22 of 512 experts) reach a third of the bandwidth that Triton's
  do: 138 % off; two shapes, not fitted.
- **SN40L.** Two models; times at batch 16 are not monotonic in length, and repeat within 40 %.
- **Spoiled rows** stay in: one TensorRT-LLM row says 1 ms a token where its neighbours say 8.
- **Pipelines** of TensorRT-LLM of 2024 overlap less than the schedule allows.
- **Servers, left out.** Without the row's model TTFT is 44 % off, without the chip 51 % (table above). Time
  before a first token is mostly the host's, and that of one model says little of the next. SGLang's fits to
  H100, H200, MI300X and MI355X saw one model each: without it they have nothing of the chip either.
- **One row** of TensorRT-LLM (15000 tokens in, 416 users of 2 GPUs, 0.7 s to a first token) would compute
  prompts at three times the chips' FP4 peak. It stays in, and adds 9 points to the mean error of TTFT, 1.4 to
  that of TPOT of dense models.
- **DeepSeek under TensorRT-LLM on B200** was measured at several speeds under one plan, up to a factor of 3
  apart: drafts are not recorded. Three quarters of that pair's error in TPOT are there.
- **SGLang on H100** under a fit to its other chips is some 40 % off: prompts of equal length stay in step
  there, so that they wait before the first token; on B200 lengths were varied. No column says which.
- **SGLang on MI300X** took 16 ms a step more than its class, whatever the batch; MI355X up to 5.
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
    pairs = measurements.grouped(measurements.static(), ("e2e_s",))
    with ProcessPoolExecutor() as pool:
        done = list(pool.map(fitted, pairs.items()))
        kin = [unseen for found in pool.map(left_chips, CLASSES) for unseen in found]
    text = HEAD + "".join(static(sorted(done, key=lambda item: (item.hardware, item.stack))))
    text += "".join(generic(list(classes.unseen(classes.cards())))) + "".join(chips(kin))
    text += "".join(steady(measurements.servers()))
    text += "".join(servers.section(servers.study())) + "".join(single())
    text += "".join(collectives.section(measurements.rows(measurements.table("../collectives_measured.csv"))))
    output.write_text(text + "\n" + WRONG, encoding="utf-8")


def fitted(item: tuple[tuple[str, str], list[Runs]]) -> Pair:
    """The shipped profile's errors on a pair, and those of fits that leave out."""
    (hardware, stack), runs = item
    library = Setting(Catalog())
    profile, _ = calibration(runs[0].stack, library)
    base = library.profile("plain", runs[0].stack.nouns.platform.chip)
    band = None if profile.error is None else float(profile.error.e2e)
    return Pair(hardware, stack, errors(runs, profile), band, calibrate(runs, base))


def left_chips(kin: tuple[str, tuple[str, ...]]) -> list[tuple[str, str, Errors]]:
    """Errors on each chip of a class under a fit to the others.

    What is no number (split attention, rates) is chosen over the whole class: one chip cannot show it.
    """
    stack, names = kin
    pairs = measurements.grouped(measurements.static(), ("e2e_s",))
    every = [runs for chip in names for runs in pairs[chip, stack]]
    shape = structured(every, Catalog().profile("plain", every[0].stack.nouns.platform.chip)).base
    found = []
    for chip in names:
        others = [runs for other in names if other != chip for runs in pairs[other, stack]]
        found.append((stack, chip, errors(pairs[chip, stack], fit(others, shape).profile)))
    return found


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


_GENERIC = """
## A chip never measured: `generic`

Kernels of the chip's generation as they were measured one by one (Blackwell: Hopper's; AMD: the class's), but
for experts in MXFP4, which no row here computes in 16 bits, and six overheads: those fitted to other chips of
the maker alone, to all of them, and as shipped. Static batches in end-to-end time, servers in TPOT.
Errors in percent: mean, median.

| chip | stack | source | rows | other chips' overheads | all chips' | shipped |
|---|---|---|---|---|---|---|
"""


def generic(found: Sequence[classes.Unseen]) -> Iterator[str]:
    """What a chip inherits, and how far off that is."""
    yield _GENERIC
    for chip in dict.fromkeys(item.card.chip for item in found):
        own = [item for item in found if item.card.chip == chip]
        for item in own:
            yield _inherited(item, item.card.stack, item.card.source)
        if len(own) > 1:
            yield _inherited(classes.together(own), "all", "")


def _inherited(item: classes.Unseen, stack: str, source: str) -> str:
    cells = " | ".join(_two(values) for values in item[1:])
    return f"| {item.card.chip} | {stack} | {source} | {len(item.left_out)} | {cells} |\n"


_KNOWN = """
## A chip never measured: a known stack

Static batches of 2024 under a fit to the stack's other chips of the maker, as the shipped profile of the
class is.

| chip | stack | mean, median | bias |
|---|---|---|---|
"""


def chips(unseen: Sequence[tuple[str, str, Errors]]) -> Iterator[str]:
    """What profiles of a stack's class say of a chip that they never saw."""
    yield _KNOWN
    for stack, chip, other in unseen:
        yield f"| {chip} | {stack} | {both(other)} | {other.all().mean() * 100:+.1f} |\n"


#: Kinds of kernels by their files, the column of their format, and formats in words.
_KINDS = {
    "gemm": ("GEMM", "dtype"),
    "attn_context": ("prefill attention", "kv_cache_dtype"),
    "attn_generation": ("decode attention", "kv_cache_dtype"),
    "moe": ("experts", "dtype"),
}
_FORMATS = {
    "bfloat16": "bf16",
    "fp8_block": "fp8, blocks",
    "int4_wo": "int4 → bf16",
    "w4a16_mxfp4": "mxfp4 → bf16",
}
_SINGLE = """
## Kernels

Kernels published with aiconfigurator-core 0.12, run over and over, each asked of the engine as one operator
(experts: their two products and the activation between). Geometric-mean error exp(mean |ln(predicted /
measured)|) - 1, bias exp(mean ln) - 1, and the factor that nine of ten stay within, under
`kernels-gpu-ampere`, `-hopper` and `-ada`; the last column is under `kernels-gpu`, one set for the three
chips. A dozen numbers were fitted to thousands of rows; with a fifth of the shapes left out in turn, errors
are a point larger.

| kernel | format | chip | library | rows | error | bias | nine of ten | one set |
|---|---|---|---|---|---|---|---|---|
"""


def single() -> Iterator[str]:
    """Kernels one by one under the profile of the generation, and under one set for all."""
    yield _SINGLE
    plots: dict[str, Any] = {}
    for kind, (word, column) in _KINDS.items():
        for chip in kernels.CHIPS:
            groups = dict.fromkeys((row[column], row["kernel_source"]) for row in kernels.rows(kind, chip))
            for form, library in groups:
                logs = _logs(kind, chip, column, form, library, kernels.profile("kernels", chip))
                shared = _logs(kind, chip, column, form, library, kernels.profile("kernels-gpu", chip))
                name = kernels.CHIPS[chip]
                plots.setdefault(f"{name} {word}", []).append(np.expm1(logs))
                yield (
                    f"| {word} | {_FORMATS.get(form, form)} | {name} | {library.removeprefix('sglang_')} "
                    f"| {len(logs)} | {_geometric(logs)} | {np.expm1(logs.mean()) * 100:+.0f} "
                    f"| {np.exp(np.quantile(abs(logs), 0.9)):.2f} | {_geometric(shared)} |\n"
                )
    yield "\nPredicted over measured, all formats; a # is two rows in a hundred:\n\n"
    yield plot({name: np.concatenate(values) for name, values in plots.items()})


def _logs(kind: str, chip: str, column: str, form: str, library: str, profile: Profile) -> Any:
    wanted = {column: form, "kernel_source": library}
    return np.array(list(kernels.logs(kind, chip, profile, lambda row: wanted.items() <= row.items())))


def _geometric(logs: Any) -> str:
    return f"{np.expm1(abs(logs).mean()) * 100:.1f}"


def steady(rows: Sequence[Row]) -> Iterator[str]:
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
