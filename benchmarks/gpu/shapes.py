"""What is measured, what it counts, and what is written: the part that needs no PyTorch.

Counts are those of the algorithm, for one call: a GEMM [m, k] x [k, n] is 2 m n k FLOP; causal prefill
attention sees s (s + 1) / 2 keys a head, 4 head_dim FLOP each (scores and values); decode sees all of its
context. Bytes are inputs read once and outputs written once.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Shape(NamedTuple):
    """The sizes of a decoder with gated MLPs, dense or of experts, without biases."""

    name: str  # as in the catalog
    layers: int
    d_model: int
    heads: int
    kv_heads: int
    head_dim: int
    d_ff: int  # of one expert where there are experts
    vocab: int
    max_context: int
    experts: int = 0
    top_k: int = 0
    tied: bool = False

    @property
    def qkv(self) -> int:
        """Columns of the joined projection to queries, keys and values."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def parameters(self) -> int:
        """Weights of all layers, norms, the embedding and the head."""
        mixer = self.d_model * self.qkv + self.heads * self.head_dim * self.d_model
        feedforward = max(self.experts, 1) * 3 * self.d_model * self.d_ff + self.experts * self.d_model
        tables = (1 if self.tied else 2) * self.vocab * self.d_model
        return self.layers * (mixer + feedforward + 2 * self.d_model) + tables + self.d_model


LLAMA_8B = Shape("llama-3.1-8b", 32, 4096, 32, 8, 128, 14336, 128256, 131072)
LLAMA_70B = Shape("llama-3.1-70b", 80, 8192, 64, 8, 128, 28672, 128256, 131072)
LLAMA_1B = Shape("llama-3.2-1b", 16, 2048, 32, 8, 64, 8192, 128256, 131072, tied=True)
OLMOE = Shape("olmoe-1b-7b", 16, 2048, 16, 16, 128, 1024, 50304, 4096, experts=64, top_k=8)
#: Of a dry run: no catalog knows them, so nobody calibrates with them by mistake.
TINY = Shape("tiny-dense", 2, 64, 4, 2, 16, 128, 256, 64)
TINY_MOE = Shape("tiny-moe", 2, 64, 4, 4, 16, 32, 256, 64, experts=4, top_k=2)


class Gemm(NamedTuple):
    """[m, k] x [k, n], and the first model and cut that has it."""

    m: int
    n: int
    k: int
    of: str = ""

    @property
    def flop(self) -> int:
        """2 m n k."""
        return 2 * self.m * self.n * self.k

    def bytes(self, stored: int, written: int = 2) -> int:
        """Both inputs at `stored` bytes an element, and the result at `written`."""
        return stored * (self.m * self.k + self.k * self.n) + written * self.m * self.n


class Attention(NamedTuple):
    """Attention of `batch` sequences: causal over `seq` tokens, or of one token over a context of `seq`."""

    decode: bool
    batch: int
    seq: int
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def flop(self) -> int:
        """4 head_dim a query head, sequence and visible pair of a query and a key."""
        pairs = self.seq if self.decode else self.seq * (self.seq + 1) // 2
        return 4 * self.head_dim * self.heads * self.batch * pairs

    def bytes(self, stored: int = 2) -> int:
        """Queries and outputs of the query heads, keys and values of the KV heads."""
        queries = self.heads * (1 if self.decode else self.seq)
        return 2 * stored * self.batch * self.head_dim * (queries + self.kv_heads * self.seq)


class Pass(NamedTuple):
    """A static batch: a prefill of every prompt at once, then a step for each further token of the answer."""

    shape: Shape
    batch: int
    input_tokens: int
    output_tokens: int

    @property
    def steps(self) -> int:
        """Decode steps: the prefill made the first token."""
        return self.output_tokens - 1

    @property
    def context(self) -> int:
        """Keys that every timed step sees, its own among them: those of the middle of the answer.

        Step i sees input + i keys, i = 1 … T - 1. A graph's shapes are fixed: all steps run at the mean.
        """
        return self.input_tokens + max(self.output_tokens // 2, 1)

    @property
    def weight_bytes(self) -> int:
        """In 16 bit."""
        return 2 * self.shape.parameters

    @property
    def cache_bytes(self) -> int:
        """Keys and values of all layers, in 16 bit."""
        shape = self.shape
        each = 4 * shape.layers * shape.kv_heads * shape.head_dim
        return each * self.batch * (self.input_tokens + self.output_tokens)

    def activation_bytes(self, tokens: int) -> int:
        """About what is alive in a layer's widest place: residual, norm, and three widths of the MLP."""
        shape = self.shape
        wide = shape.d_ff * max(shape.top_k, 1)
        return (
            2 * tokens * (6 * shape.d_model + 2 * shape.qkv + 3 * wide + max(shape.top_k, 1) * shape.d_model)
        )


class Plan(NamedTuple):
    """Everything that one run of the script measures."""

    gemms: tuple[Gemm, ...]
    attentions: tuple[Attention, ...]
    rows: tuple[int, ...]  # tokens of RMSNorm, SwiGLU and rotary
    element: Shape  # whose widths these have
    layers: tuple[Pass, ...]
    passes: tuple[Pass, ...]
    copy_bytes: int
    square: int  # m = n = k of the GEMM ceilings


def projections(shape: Shape, tp: int) -> Iterator[tuple[str, int, int]]:
    """(name, n, k) of a dense layer's GEMMs and of the head on one of `tp` chips.

    Columns are cut in qkv, gate+up and the head, rows in o and down. KV heads are copied beyond their number.
    """
    columns = (shape.heads // tp + 2 * max(shape.kv_heads // tp, 1)) * shape.head_dim
    yield "qkv", columns, shape.d_model
    yield "o", shape.d_model, shape.heads // tp * shape.head_dim
    yield "gate_up", 2 * shape.d_ff // tp, shape.d_model
    yield "down", shape.d_model, shape.d_ff // tp
    yield "head", shape.vocab // tp, shape.d_model


def gemms(shapes: Sequence[Shape], cuts: Sequence[int], rows: Sequence[int]) -> tuple[Gemm, ...]:
    """Every (n, k) once, at every number of rows."""
    found: dict[tuple[int, int], str] = {}
    for shape in shapes:
        for tp in cuts:
            for name, n, k in projections(shape, tp):
                found.setdefault((n, k), f"{shape.name} {name} tp{tp}")
    return tuple(Gemm(m, n, k, of) for (n, k), of in found.items() for m in rows)


def attentions(
    shape: Shape, batches: Sequence[int], contexts: Sequence[int], most_prefill: int, most_decode: int
) -> tuple[Attention, ...]:
    """Prefill and decode, with the model's KV heads and one a query head, up to so many tokens at once."""
    return tuple(
        Attention(decode, batch, seq, shape.heads, kv_heads, shape.head_dim)
        for decode, most in ((False, most_prefill), (True, most_decode))
        for kv_heads in dict.fromkeys((shape.kv_heads, shape.heads))
        for batch in batches
        for seq in contexts
        if batch * seq <= most
    )


def passes(
    shapes: Sequence[Shape], batches: Sequence[int], contexts: Sequence[int], outputs: int
) -> tuple[Pass, ...]:
    """Every batch and prompt that the model's context holds."""
    return tuple(
        Pass(shape, batch, tokens, outputs)
        for shape in shapes
        for batch in batches
        for tokens in contexts
        if tokens + outputs <= shape.max_context
    )


def full() -> Plan:
    """Half an hour or so on a card of 80 GB."""
    powers = tuple(1 << power for power in range(14))
    return Plan(
        gemms((LLAMA_8B, LLAMA_70B), (1, 2, 4, 8), powers),
        attentions(LLAMA_8B, (1, 4, 16, 64, 256), (128, 512, 2048, 8192, 32768), 1 << 16, 1 << 20),
        powers,
        LLAMA_8B,
        tuple(Pass(LLAMA_8B, batch, 2048, 33) for batch in (1, 16, 64, 256)),
        passes((LLAMA_8B, LLAMA_1B, OLMOE), (1, 4, 16, 64, 256), (128, 512, 2048, 8192, 32700), 33),
        1 << 31,
        8192,
    )


def quick() -> Plan:
    """A few minutes."""
    return Plan(
        gemms((LLAMA_8B, LLAMA_70B), (1, 8), (1, 64, 4096)),
        attentions(LLAMA_8B, (1, 16, 64), (512, 8192), 1 << 16, 1 << 20),
        (1, 64, 4096),
        LLAMA_8B,
        tuple(Pass(LLAMA_8B, batch, 2048, 33) for batch in (1, 64)),
        passes((LLAMA_8B, LLAMA_1B, OLMOE), (1, 16, 64), (128, 2048, 8192), 17),
        1 << 31,
        8192,
    )


def tiny() -> Plan:
    """A second on a CPU: that the code runs, no more."""
    return Plan(
        gemms((TINY,), (1, 2), (1, 8)),
        attentions(TINY, (1, 2), (8, 16), 64, 64),
        (1, 8),
        TINY,
        (Pass(TINY, 2, 8, 3),),
        passes((TINY, TINY_MOE), (1, 2), (8, 16), 3),
        1 << 16,
        64,
    )


def copies(one: int, cache: int, memory: int) -> int:
    """How many inputs to go round, so that a call finds none of its own in cache: four caches full.

    At least two, at most 64, and no more than fill a quarter of the memory; one if even two do not fit there.
    """
    wanted = min(max(-(-4 * cache // max(one, 1)), 2), 64)
    return max(min(wanted, memory // 4 // max(one, 1)), 1)


#: What a driver calls a card, by a part of its name that is in no other's; the first that is found counts.
CARDS: Mapping[str, str] = {
    "GH200": "gh200",
    "H100 PCIe": "h100-pcie",
    "H100 NVL": "h100-nvl",
    "H100 80GB HBM3": "h100-sxm",
    "H200 NVL": "h200-nvl",
    "H200": "h200",
    "A100-SXM4-80GB": "a100-sxm-80gb",
    "A100-SXM4-40GB": "a100-sxm-40gb",
    "A100 80GB PCIe": "a100-pcie-80gb",
    "GB300": "gb300",
    "GB200": "gb200",
    "B300": "b300",
    "B200": "b200",
    "L40S": "l40s",
    "NVIDIA L4 ": "l4",
    "A10G": "a10g",
    "GB10": "gb10",
    "RTX PRO 6000 Blackwell": "rtx-pro-6000",
    "V100-SXM2": "v100-sxm",
    "MI300X": "mi300x",
    "MI325X": "mi325x",
}


def hardware(device: str) -> str:
    """The catalog's name of a card, or its own in small letters where none is known."""
    found = next((name for part, name in CARDS.items() if part in f"{device} "), None)
    return found or "-".join(device.lower().split())


#: The machine, in every row of both files, so that a row says by itself where it is from.
MACHINE = (
    "device", "driver", "sm_clock_mhz", "memory_clock_mhz", "power_limit_w",
    "torch_version", "cuda_version", "measured_at",
)  # fmt: skip

#: One row a static batch; up to tpot_ms these are `genz validate`'s and `genz calibrate`'s own columns.
PASS_COLUMNS = (
    "hardware", "chips", "tp", "pp", "ep", "attention_dp", "stack", "model", "precision", "batching",
    "input_tokens", "output_tokens", "batch", "e2e_s", "ttft_ms", "tpot_ms",
    "prefill_power_w", "decode_power_w", *MACHINE,
)  # fmt: skip

#: One row a kernel. `copies` inputs were rotated; `graph` says whether a CUDA graph launched them.
KERNEL_COLUMNS = (
    "kernel", "of", "dtype", "m", "n", "k", "batch", "seq", "heads", "kv_heads", "head_dim", "width",
    "flop", "bytes", "latency_us", "tflops", "gb_s", "power_w", "copies", "graph", "hardware", *MACHINE,
)  # fmt: skip

Cell = str | int | float | None


def pass_row(
    item: Pass,
    stack: str,
    name: str,
    times: tuple[float | None, float | None, float | None],
    watts: tuple[float | None, float | None] = (None, None),
) -> dict[str, Cell]:
    """A row of serving runs from (end to end, first token, one step) in seconds; none was not measured."""
    e2e_s, ttft_s, tpot_s = times
    return {
        "hardware": name,
        **dict.fromkeys(("chips", "tp", "pp", "ep", "attention_dp"), 1),
        "stack": stack,
        "model": item.shape.name,
        "precision": "bf16",
        "batching": "static",
        "input_tokens": item.input_tokens,
        "output_tokens": item.output_tokens,
        "batch": item.batch,
        "e2e_s": e2e_s,
        "ttft_ms": None if ttft_s is None else 1e3 * ttft_s,
        "tpot_ms": None if tpot_s is None else 1e3 * tpot_s,
        "prefill_power_w": watts[0],
        "decode_power_w": watts[1],
    }


def kernel_row(kernel: str, seconds: float, flop: int, moved: int, **facts: Cell) -> dict[str, Cell]:
    """A row of the kernels, with the rates that its counts give."""
    return {
        "kernel": kernel,
        "flop": flop,
        "bytes": moved,
        "latency_us": 1e6 * seconds,
        "tflops": flop / seconds / 1e12,
        "gb_s": moved / seconds / 1e9,
        **facts,
    }


def write(
    path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Cell]], machine: Mapping[str, Cell]
) -> None:
    """Rows as CSV with the machine in each; numbers to six digits, nothing where nothing was measured."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _text(value) for key, value in {**machine, **row}.items()})


def _text(value: Cell) -> Cell:
    return f"{value:.6g}" if isinstance(value, float) else value
