"""Measure a machine: ceilings, kernels and whole passes, for `genz calibrate` and for whoever wants to know.

    python benchmarks/gpu/measure.py [--quick] [--hardware NAME] [--into FOLDER]
    genz calibrate FOLDER/passes.csv --keep > mine.yaml

Needs PyTorch 2.5 or newer and nothing else; uses the first CUDA device. README.md says what is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

try:
    import torch
except ModuleNotFoundError:
    sys.exit("measure.py needs PyTorch: see https://pytorch.org/get-started/locally/")

import decoder
import shapes
from clock import Call, Clock, Timed
from decoder import BF16, Decoder, random
from shapes import Attention, Cell, Gemm, Pass, Plan

FP8 = torch.float8_e4m3fn
Row = dict[str, Cell]


class Bench:
    """What every measurement needs: the device, its clock, the plan, and the name of the hardware."""

    def __init__(self, device: str, plan: Plan, clock: Clock, hardware: str) -> None:
        self.device, self.plan, self.clock, self.hardware = device, plan, clock, hardware

    def timed(self, one: int, make: Callable[[], Call]) -> tuple[Timed, int]:
        """A call's time over rotated inputs of `one` byte each, and how many inputs those were."""
        many = shapes.copies(one, self.clock.cache, self.clock.free())
        return self.clock.kernel([make() for _ in range(many)]), many

    def row(self, kernel: str, flop: int, moved: int, make: Callable[[], Call], **facts: Cell) -> Row:
        """A kernel's row, from what makes one call with fresh inputs."""
        found, many = self.timed(moved, make)
        cells = {"hardware": self.hardware, "copies": many, "graph": int(found.graph), **facts}
        return shapes.kernel_row(kernel, found.seconds, flop, moved, **cells)


def copied(bench: Bench) -> Call:
    """One copy from the device to itself."""
    source = torch.randint(255, (bench.plan.copy_bytes,), dtype=torch.uint8, device=bench.device)
    return partial(torch.empty_like(source).copy_, source)


def gemm(bench: Bench, item: Gemm, fp8: bool) -> Call:
    """A GEMM whose second operand is stored [n, k], as a layer's weights are."""
    x, weights = (random(rows, item.k, device=bench.device) for rows in (item.m, item.n))
    if not fp8:
        return partial(torch.mm, x, weights.t())
    one = torch.ones((), dtype=torch.float32, device=bench.device)
    scaled = partial(torch._scaled_mm, scale_a=one, scale_b=one, out_dtype=BF16, use_fast_accum=True)
    return partial(scaled, x.to(FP8), weights.to(FP8).t())


def attention(bench: Bench, item: Attention) -> Call:
    """Attention as a cache holds it: tokens before heads."""

    def tokens(count: int, heads: int) -> torch.Tensor:
        return random(item.batch, count, heads, item.head_dim, device=bench.device).transpose(1, 2)

    q = tokens(1 if item.decode else item.seq, item.heads)
    k, v = tokens(item.seq, item.kv_heads), tokens(item.seq, item.kv_heads)
    return partial(decoder.attend, q, k, v, causal=not item.decode)


def gemm_row(bench: Bench, item: Gemm, fp8: bool, kernel: str = "gemm") -> Row:
    """A GEMM in one of the formats."""
    stored, dtype = (1, "fp8") if fp8 else (2, "bf16")
    facts: Row = {"of": item.of, "dtype": dtype, "m": item.m, "n": item.n, "k": item.k}
    return bench.row(kernel, item.flop, item.bytes(stored), lambda: gemm(bench, item, fp8), **facts)


def ceilings(bench: Bench) -> Iterator[Row]:
    """The most that copies and GEMMs reach, with what they draw."""
    moved = 2 * bench.plan.copy_bytes
    yield powered(
        bench, bench.row("copy", 0, moved, lambda: copied(bench), dtype="u8"), lambda: copied(bench)
    )
    side = bench.plan.square
    for fp8 in (False, True):
        item = Gemm(side, side, side, "ceiling")
        yield from attempted(f"{'fp8' if fp8 else 'bf16'} ceiling", partial(ceiling, bench, item, fp8))


def ceiling(bench: Bench, item: Gemm, fp8: bool) -> Row:
    """A large GEMM and its power."""
    return powered(bench, gemm_row(bench, item, fp8, "ceiling"), lambda: gemm(bench, item, fp8))


def powered(bench: Bench, row: Row, make: Callable[[], Call]) -> Row:
    """A row with the watts of its call on end."""
    seconds = row["latency_us"]
    assert isinstance(seconds, float)
    return {**row, "power_w": bench.clock.watts(make(), seconds / 1e6)} if bench.clock.power else row


def attempted(what: str, make: Callable[[], Row]) -> Iterator[Row]:
    """A row, or a line that says why there is none: torch raises these where the device lacks a format."""
    try:
        yield make()
    except torch.OutOfMemoryError:
        print(f"  {what}: does not fit", flush=True)
    except (RuntimeError, NotImplementedError) as error:
        print(f"  {what}: {(str(error) or type(error).__name__).splitlines()[0]}", flush=True)


def gemms(bench: Bench) -> Iterator[Row]:
    """Every GEMM in bf16 and fp8."""
    for fp8 in (False, True):
        for item in bench.plan.gemms:
            what = f"{'fp8' if fp8 else 'bf16'} {item.m} x {item.n} x {item.k}"
            yield from attempted(what, partial(gemm_row, bench, item, fp8))


def attentions(bench: Bench) -> Iterator[Row]:
    """Every attention, prefill first."""
    for item in bench.plan.attentions:
        kernel = "attention.decode" if item.decode else "attention.prefill"
        names = ("batch", "seq", "heads", "kv_heads", "head_dim")
        facts: Row = {"dtype": "bf16", **{name: getattr(item, name) for name in names}}
        make = partial(attention, bench, item)
        flop, moved = item.flop, item.bytes()
        what = f"{kernel} {item.batch} x {item.seq}"
        yield from attempted(what, partial(bench.row, kernel, flop, moved, make, **facts))


def elementwise(bench: Bench) -> Iterator[Row]:
    """RMSNorm, SwiGLU and rotary at each number of tokens; what they read and write is all that counts."""
    shape, device = bench.plan.element, bench.device
    wide = (shape.heads + shape.kv_heads) * shape.head_dim
    scale = torch.ones(shape.d_model, dtype=BF16, device=device)
    for m in bench.plan.rows:
        turn = decoder.angles(shape, 0, m, device)

        def norm(m: int = m) -> Call:
            x = random(m, shape.d_model, device=device)
            return partial(torch.nn.functional.rms_norm, x, (shape.d_model,), scale)

        def gate(m: int = m) -> Call:
            return partial(decoder.swiglu, random(m, 2 * shape.d_ff, device=device))

        def rotate(m: int = m, turn: tuple[torch.Tensor, torch.Tensor] = turn) -> Call:
            heads = random(1, m, shape.heads + shape.kv_heads, shape.head_dim, device=device)
            return partial(decoder.rotary, heads, turn)

        facts: Row = {"of": shape.name, "dtype": "bf16", "m": m}
        yield bench.row("rms_norm", 0, 4 * m * shape.d_model, norm, width=shape.d_model, **facts)
        yield bench.row("swiglu", 0, 6 * m * shape.d_ff, gate, width=shape.d_ff, **facts)
        yield bench.row("rotary", 0, 4 * m * wide, rotate, width=wide, **facts)


def launches(bench: Bench) -> Iterator[Row]:
    """One addition to one number: in a graph, and launched by the host one by one."""

    def add() -> Call:
        return partial(torch.zeros(1, device=bench.device).add_, 1)

    yield bench.row("empty", 0, 8, add, of="graph")
    calls = [add() for _ in range(256)]
    seconds = bench.clock.laps([lambda: [call() for call in calls]])[0] / len(calls)
    facts: Row = {"hardware": bench.hardware, "copies": len(calls), "graph": 0, "of": "host"}
    yield shapes.kernel_row("empty", seconds, 0, 8, **facts)


def layers(bench: Bench) -> Iterator[Row]:
    """One decode step of one layer, replayed as a graph that goes round four layers."""
    for item in bench.plan.layers:
        yield from attempted(f"layer of batch {item.batch}", partial(layer_row, bench, item))


def layer_row(bench: Bench, item: Pass) -> Row:
    """A layer's GEMMs and attention are its FLOP; weights, keys and values its bytes."""
    shape, context = item.shape, item.context
    x = random(item.batch, 1, shape.d_model, device=bench.device)
    turn = decoder.angles(shape, context - 1, 1, bench.device)

    def make() -> Call:
        size = (2, item.batch, context, shape.kv_heads, shape.head_dim)
        weights, cache = decoder.layer(shape, bench.device), random(*size, device=bench.device)
        return partial(decoder.through, shape, weights, x, cache, context - 1, turn)

    found = bench.clock.kernel([make() for _ in range(4)])
    parts = [Gemm(item.batch, n, k) for name, n, k in shapes.projections(shape, 1) if name != "head"]
    keys = Attention(True, item.batch, context, shape.heads, shape.kv_heads, shape.head_dim)
    flop = sum(part.flop for part in parts) + keys.flop
    moved = sum(2 * part.n * part.k for part in parts) + keys.bytes()
    facts: Row = {"hardware": bench.hardware, "copies": 4, "graph": int(found.graph), "of": shape.name}
    sizes: Row = {"dtype": "bf16", "batch": item.batch, "seq": context}
    return shapes.kernel_row("layer", found.seconds, flop, moved, **facts, **sizes)


def passes(bench: Bench, most_prefill: int) -> Iterator[Row]:
    """Every static batch, model by model."""
    for shape in dict.fromkeys(item.shape for item in bench.plan.passes):
        mine = [item for item in bench.plan.passes if item.shape == shape]
        if shape.experts and decoder.grouped_mm() is None:
            print(f"  {shape.name}: this PyTorch has no grouped GEMM", flush=True)
        elif mine[0].weight_bytes > 0.8 * bench.clock.free():
            print(f"  {shape.name}: its weights do not fit", flush=True)
        else:
            yield from of_model(bench, mine, most_prefill)


def of_model(bench: Bench, items: Iterable[Pass], most_prefill: int) -> Iterator[Row]:
    """The batches of one model, whose weights go when it is done."""
    model: Decoder | None = None
    for item in items:
        model = model or Decoder(item.shape, bench.device)
        what = f"{item.shape.name} batch {item.batch} of {item.input_tokens}"
        prompts = item.batch * item.input_tokens
        free = 0.9 * bench.clock.free() - item.cache_bytes
        if item.activation_bytes(item.batch) > free:
            print(f"  {what}: does not fit", flush=True)
            continue
        whole = prompts <= most_prefill and item.activation_bytes(prompts) <= free
        yield from attempted(what, partial(pass_row, bench, model, item, whole))


def pass_row(bench: Bench, model: Decoder, item: Pass, whole: bool) -> Row:
    """A static batch's row: prefill and steps in one go, or steps alone after a prefill too large to time."""
    cache = model.cache(item.batch, item.input_tokens + item.output_tokens)
    step, step_graph = bench.clock.captured(forward(model, item.batch, 1, cache, item.context - 1))
    steps = [step] * item.steps
    if not whole:
        *each, _ = bench.clock.laps(steps)
        tpot_s = sum(each) / item.steps
        alone = None, bench.clock.watts(step, tpot_s)
        return shapes.pass_row(item, stack(step_graph), bench.hardware, (None, None, tpot_s), alone)
    prefill, graph = bench.clock.captured(forward(model, item.batch, item.input_tokens, cache, 0))
    ttft_s, *each, e2e_s = bench.clock.laps([prefill, *steps])
    tpot_s = sum(each) / item.steps
    watts = bench.clock.watts(prefill, ttft_s), bench.clock.watts(step, tpot_s)
    name = stack(graph and step_graph)
    return shapes.pass_row(item, name, bench.hardware, (e2e_s, ttft_s, tpot_s), watts)


def forward(model: Decoder, batch: int, tokens: int, cache: list[torch.Tensor], first: int) -> Call:
    """One pass over fresh random tokens."""
    ids = torch.randint(model.shape.vocab, (batch, tokens), device=model.device)
    turn = decoder.angles(model.shape, first, tokens, model.device)
    return partial(model.run, ids, cache, first, turn)


def stack(graph: bool) -> str:
    """What launched the pass is another stack: a profile should not mix them."""
    return "torch-graph" if graph else "torch-eager"


PARTS: Mapping[str, Callable[[Bench], Iterator[Row]]] = {
    "ceilings": ceilings,
    "launches": launches,
    "elementwise": elementwise,
    "attention": attentions,
    "layers": layers,
    "gemm": gemms,
}


def options(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few minutes in place of half an hour")
    parser.add_argument("--tiny", action="store_true", help="toy sizes: a dry run")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu only with --tiny")
    parser.add_argument("--hardware", help="the card's name in genz's catalog [from the driver's name]")
    parser.add_argument("--into", type=Path, default=Path("."), help="folder of passes.csv and kernels.csv")
    parser.add_argument(
        "--only", choices=(*PARTS, "passes"), action="append", help="these parts; may be repeated"
    )
    parser.add_argument("--repeats", type=int, default=7, help="runs that a median is of [7]")
    parser.add_argument("--no-power", action="store_true", help="do not read the driver's watts")
    parser.add_argument(
        "--prefill-tokens", type=int, default=32768, help="time no prefill of more tokens [32768]"
    )
    found = parser.parse_args(words)
    if found.device == "cpu" and not found.tiny:
        parser.error("--device cpu is for dry runs: add --tiny")
    if found.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device; --device cpu --tiny is a dry run")
    if found.repeats < 1:
        parser.error("--repeats: at least 1")
    return found


def main(words: list[str] | None = None) -> None:
    """Measure, and write after every part, so that what is there stays there."""
    given = options(words)
    if given.device == "cpu":
        torch.set_num_threads(1)  # toy sizes lose more by sharing than they win
    plan = shapes.tiny() if given.tiny else shapes.quick() if given.quick else shapes.full()
    clock = Clock(given.device, given.repeats, not given.no_power)
    name = given.hardware or shapes.hardware(str(clock.machine()["device"]))
    bench = Bench(given.device, plan, clock, name)
    given.into.mkdir(parents=True, exist_ok=True)
    wanted = given.only or (*PARTS, "passes")
    kernels: list[Row] = []
    with torch.inference_mode():
        for part in (part for part in PARTS if part in wanted):
            print(part, flush=True)
            kernels += PARTS[part](bench)
            shapes.write(given.into / "kernels.csv", shapes.KERNEL_COLUMNS, kernels, clock.machine())
        if "passes" in wanted:
            measured(bench, given)
    print(f"written to {given.into}", flush=True)


def measured(bench: Bench, given: argparse.Namespace) -> None:
    """The whole passes, each written as soon as it is there."""
    print("passes", flush=True)
    rows: list[Row] = []
    for row in passes(bench, given.prefill_tokens):
        rows.append({**bench.clock.machine(), **row})
        print(f"  {row['model']} {row['batch']} x {row['input_tokens']}", flush=True)
        shapes.write(given.into / "passes.csv", shapes.PASS_COLUMNS, rows, {})


if __name__ == "__main__":
    main()
