"""Calibration: how well a serving stack uses a chip. The only place efficiencies live."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from genzcli.numeric import maximum
from genzcli.spec.dtype import BITS
from genzcli.spec.noun import (
    Noun,
    choice,
    count,
    flag,
    noun,
    nouns,
    other,
    quantity,
    ratio,
    text,
    texts,
)
from genzcli.spec.source import Source

if TYPE_CHECKING:
    from genzcli.numeric import Number
    from genzcli.spec.hardware import Chip


class OperatorFit(Noun):
    """Time of one operator kind: `(Tc^p + Tm^p)^(1/p) / fill + fixed + per_k * k + per_group * groups`.

    Tc = FLOP / min(peak * compute_efficiency, rate), Tm = bytes / (bandwidth * memory_efficiency), where
    rows and keys round up to whole tiles: FLOP of grouped rows, FLOP and cache bytes of keys. fill =
    min(1, items / lanes) with items = groups x ceil(rows / tile_rows) x max(1, keys / split_keys), the
    pieces a kernel is cut into.
    """

    compute_efficiency: Number = ratio("share of peak FLOP/s", above=0, most=1, default=1.0)
    memory_efficiency: Number = ratio("share of peak bandwidth", above=0, most=1, default=1.0)
    vector_efficiency: Number | None = ratio(
        "share of the vector units' peak, where their work adds to the matrix products'; left out, it hides"
        " behind them and takes no less than its time at the peak",
        above=0,
        most=1,
        default=None,
    )
    rate_flop_per_s: Number | None = quantity(
        "flop/s",
        "rate that the kernels reach at most, whatever the chip's peak: those of software not tuned for it",
        default=None,
    )
    corner: float = ratio("p of the smooth corner: 0.5, 1, 2, 4 or inf", above=0, default=math.inf)
    fixed_s: Number = quantity("s", "launch and tail of one kernel", least=0, default=0.0)
    per_k_s: Number = quantity("s", "times the reduction length of a GEMM", least=0, default=0.0)
    per_group_s: Number = quantity(
        "s", "times the problems in a grouped GEMM, the experts that are touched", least=0, default=0.0
    )
    cache_efficiency: Number | None = ratio(
        "share of the last-level cache's bandwidth, for what stays in it; left out, nothing is taken to stay",
        above=0,
        most=1,
        default=None,
    )
    tile_rows: Number | None = count("rows that a tile computes, full or not", default=None)
    tile_keys: Number | None = count("keys that a tile reads and computes, full or not", default=None)
    split_keys: Number | None = count("keys that one piece of an attention kernel takes", default=None)
    lanes: Number | None = count("pieces that keep the whole chip busy; fewer leave it idle", default=None)
    idle_rows: Number | None = ratio(
        "share of other ranks' rows that a grouped GEMM's buffers move along", least=0, most=1, default=None
    )
    kv_reuse: Number = ratio(
        "of the query heads that share a KV head, the share that reads it together in decode: bytes of the"
        " cache x (1 + (heads - 1) (1 - kv_reuse))",
        least=0,
        most=1,
        default=1.0,
    )


ALGORITHMS = ("auto", "ring", "direct", "halving-doubling", "tree", "one-shot", "in-switch")


class Way(Noun):
    """One of the ways in which a library runs a collective: an algorithm with a protocol.

    `base + latency * steps of the algorithm + bytes part / efficiency * (members / 2)^crowding`.
    """

    algorithm: str = choice("what is run; auto is the fastest the wires allow", *ALGORITHMS, default="auto")
    base_s: Number = quantity("s", "launch", least=0, default=0.0)
    latency: Number = ratio("a step's latency over that of the wires", least=0, default=1.0)
    efficiency: Number = ratio("share of the link bandwidth", above=0, most=1, default=1.0)
    crowding: float = ratio(
        "halves: the power of members / 2 by which more of them slow each other down, as through a host",
        least=0,
        most=4,
        default=0.0,
    )
    most_bytes: Number | None = quantity(
        "bytes", "largest buffer it is used for; any if left out", default=None
    )


class Exchange(Noun):
    """One of the kernels that bring tokens to their experts over several levels: base + hops + bytes part.

    A copy a member is passed on inside it: few bytes outside, but counts go ahead. Levels are busy at once.
    """

    copies: str = choice(
        "who gets a copy of a token: each member of a level that holds one of its experts, each such chip,"
        " or each expert",
        "member",
        "chip",
        "expert",
    )
    base_s: Number = quantity("s", "launch, and what precedes the first byte", least=0, default=0.0)
    efficiency: Number = ratio("share of what the levels give to all-to-alls", above=0, most=1, default=1.0)


class CollectiveFit(Noun):
    """Time of a collective: `corner(latency part + base, bytes part / efficiency)`.

    A library that chooses between ways has its times in these; the fastest one is taken.
    """

    efficiency: Number = ratio("share of the link bandwidth", above=0, most=1, default=1.0)
    base_s: Number = quantity("s", "launch of one collective", least=0, default=0.0)
    corner: float = ratio("p of the corner between latency and bandwidth", above=0, default=1.0)
    ways: Mapping[str, Way] = nouns(
        Way, "algorithms with protocols by name; the physical algorithms if there are none", default={}
    )
    exchanges: Mapping[str, Exchange] = nouns(
        Exchange,
        "of all-to-alls whose outermost level this is: kernels for tokens of a mixture of experts, by name; a"
        " plain all-to-all of a copy a chip if there are none",
        default={},
    )
    pipelined: bool = flag("pieces of a message are on several levels at once", default=False)
    shared: bool = flag(
        "of a level: all chips of one member of it share one link, as over sockets of the host", default=False
    )


class Unsplit(Noun):
    """When decode attention stops cutting long contexts into pieces: vLLM's paged attention of 2024.

    With more than `above` (sequence, query head) pairs on a chip each gets one block, which keeps a score for
    every token of the longest context in scratch memory. Time is that under `attention.decode.unsplit`, times
    max(1, min(model's longest context, longest_tokens) / score_tokens).
    """

    above: Number = count("(sequence, query head) pairs above which nothing is split")
    score_tokens: Number = count("scores a block may keep without keeping others off the chip")
    longest_tokens: Number = count("longest context the software prepares for", default=8192)


class ErrorBand(Noun):
    """How far a prediction is off: two of three predictions of what was left out of the fit were nearer."""

    ttft: Number = ratio("of TTFT, a share of it", above=0)
    tpot: Number = ratio("of TPOT", above=0)
    e2e: Number = ratio("of end-to-end time, and of rates, energy and cost", above=0)
    floor: str = other(
        "the generic profile whose band these are at least, on a chip unlike any measured", default=""
    )

    def at_least(self, other: Profile) -> ErrorBand:
        """The wider of the two bands, time by time."""
        least = other.error
        if least is None:
            return self
        return ErrorBand(
            ttft=maximum(self.ttft, least.ttft),
            tpot=maximum(self.tpot, least.tpot),
            e2e=maximum(self.e2e, least.e2e),
            floor=other.name,
        )

    def of(self, field: str) -> Number | None:
        """The band of a field of `engine.result.Metrics`; power has none."""
        match field:
            case "ttft_s":
                return self.ttft
            case "tpot_s" | "decode_tokens_per_s" | "tokens_per_s_per_user":
                return self.tpot
            case "average_w":
                return None
        return self.e2e


class Profile(Noun):
    """Calibration of a (chip, serving stack), or of a class of chips where none was measured.

    Time of a pass = max(operators + exposed collectives, layers * layer) + step + per_sequence * B
    + per_chip [tp > 1].
    `request`, `launch`, `burst` and `held_output` shape the queue of a server (`engine/serving.py`).
    """

    name: str = text("catalog id")
    stack: str = text("serving stack: ideal, generic, vllm, tensorrt-llm, …")
    applies: tuple[str, ...] = texts(
        "chips and classes it is for: h100-sxm, class:gpu, class:gpu:amd (of one vendor), class:gpu:hopper"
        " (of one generation), any",
        default=(),
    )
    measured: tuple[str, ...] = texts(
        "chips whose runs it was fitted to; left out, those of `applies`", default=()
    )
    operators: Mapping[str, OperatorFit] = nouns(
        OperatorFit,
        "by operator kind (gemm, attention, moe, elementwise, gather), optionally `.prefill`/`.decode`,"
        " `.fp8` it computes in, or `.int4.bf16` its weights are stored and it computes in; `default` for the"
        " rest",
    )
    collectives: Mapping[str, CollectiveFit] = nouns(
        CollectiveFit,
        "by level name, collective kind or both as `pcie.all-to-all`; `default` for the rest",
        default={},
    )
    step_s: Number = quantity("s", "host and scheduler, once a pass", least=0, default=0.0)
    per_sequence_s: Number = quantity("s", "host work a sequence and pass", least=0, default=0.0)
    per_chip_s: Number = quantity("s", "synchronising more than one chip, once a pass", least=0, default=0.0)
    request_s: Number = quantity(
        "s",
        "host work of a server ahead of a request's first token, HTTP and tokeniser",
        least=0,
        default=0.0,
    )
    launch_s: Number = quantity(
        "s",
        "host time of a server for an operator of a prefill, which no graph replays; delays the first token",
        least=0,
        default=0.0,
    )
    burst: Number = ratio(
        "share of a server's other requests whose prompts come together with one's own",
        most=1,
        default=0.0,
    )
    held_output: Number = ratio(
        "share of its output that a server's request has cache for: 1 set aside ahead, 0.5 as it grows",
        above=0,
        most=1,
        default=1.0,
    )
    layer_s: Number = quantity(
        "s",
        "least time of a layer in a pass: the host launches its kernels one by one, ahead of the chip",
        least=0,
        default=0.0,
    )
    unsplit: Unsplit | None = noun(
        Unsplit, "when decode attention is not split along the context", default=None
    )
    error: ErrorBand | None = noun(ErrorBand, "how far predictions are off", default=None)
    reserve: Number = ratio("share of memory the software keeps for itself", least=0, most=0.95, default=0.0)
    page_tokens: Number = count("tokens a page of KV holds", default=1)
    activation_tokens: Number | None = count(
        "most tokens the software runs through a layer at once; bounds the memory of activations",
        default=None,
    )
    evidence: str = choice(
        "what the efficiencies rest on", "ideal", "measured", "published", "generic", default="generic"
    )
    note: str = text("what a reader should know: fitted to what, expected error", default="")
    aliases: tuple[str, ...] = texts("other names", default=())
    sources: Mapping[str, Source] = other("citation of each number, by its path", default={})
    origin: str = other("the file it was read from; empty for one that is built in", default="")
    hides: bool = other("a built-in entry has this name too", default=False)

    @property
    def storages(self) -> frozenset[tuple[str, str]]:
        """(stored, computed) formats that it has kernels of their own for, as `moe.int4.bf16`."""
        parts = (key.split(".") for key in self.operators)
        return frozenset((key[1], key[2]) for key in parts if len(key) == 3 and key[1] in BITS)

    def is_for(self, chip: Chip) -> bool:
        """Whether it is for a chip: by its name, one of its classes, or any."""
        return bool({chip.name, "any", *(f"class:{name}" for name in chip.classes)} & set(self.applies))

    @property
    def chips_measured(self) -> tuple[str, ...]:
        """The chips whose runs it rests on, as far as it says."""
        named = (name for name in self.applies if name != "any" and not name.startswith("class:"))
        return self.measured or tuple(named)

    def measured_on(self, chip: Chip) -> bool:
        """Whether runs of this very chip stand behind it."""
        return chip.name in self.chips_measured
