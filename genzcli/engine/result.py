"""What the engine answers. Every number may be an array over scenarios; SI throughout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genzcli.spec.noun import Noun, count, flag, noun, nouns, other, quantity, ratio, text, texts
from genzcli.spec.workload import Scenario

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number

#: What can bound an operator, a phase or an answer. Results carry the index, reports the word.
BOUNDS = ("compute", "memory", "network", "overhead")


class Content(Noun):
    """What lies in one memory, as one chip of the busiest stage sees it."""

    weights_bytes: Number = quantity("bytes", "weights", least=0)
    kv_bytes: Number = quantity("bytes", "KV cache and states", least=0)
    activations_bytes: Number = quantity("bytes", "working set of a pass", least=0)
    capacity_bytes: Number = quantity("bytes", "of the memory")
    bandwidth_bytes_per_s: Number = quantity("bytes/s", "at which the chip reads it")

    @property
    def total_bytes(self) -> Number:
        """All that lies there; what is kept free of it is not among it."""
        return self.weights_bytes + self.kv_bytes + self.activations_bytes


class Memory(Noun):
    """What one chip of the busiest stage holds at the worst moment."""

    weights_bytes: Number = quantity("bytes", "weights, idle experts included", least=0)
    kv_bytes: Number = quantity("bytes", "KV cache or state that all requests hold", least=0)
    activations_bytes: Number = quantity("bytes", "peak working set of a pass", least=0)
    reserved_bytes: Number = quantity("bytes", "kept by the serving software", least=0)
    used_bytes: Number = quantity("bytes", "the four together", least=0)
    capacity_bytes: Number = quantity("bytes", "memories in use together", least=0)
    deficit_bytes: Number = ratio("bytes short, where memory is shortest; negative when there is room")
    max_batch: Number = count(
        "largest batch of the platform that fits; 0 if the weights alone do not", least=0
    )
    tiers: Mapping[str, Number] = other("bytes used in each memory, fastest first", default={})
    contents: Mapping[str, Content] = nouns(Content, "what lies in each memory, fastest first", default={})


class OperatorTime(Noun):
    """One row of `--explain`: an operator of one kind of layer on one chip, times its count.

    flop, bytes and seconds are totals over `count` uses in one pass of one chip of one stage
    (all stages together where there are several). time = compute + memory + network + overhead:
    the roofline's time stands in the column of what bounds it.
    """

    name: str = text("qkv, attention, out, up, down, experts up, all-reduce, …")
    kind: str = text("gemm, attention, moe, elementwise, gather, collective, step")
    block: str = text("kind of layer, or embedding, head, step")
    dtype: str = text("format it computes in, or moves", default="")
    detail: str = text("algorithm and group of a collective", default="")
    count: Number = count("uses in one pass", least=0, default=1)
    flop: Number = ratio("floating-point operations", default=0.0)
    weight_bytes: Number = ratio("weights read", default=0.0)
    kv_bytes: Number = ratio("KV read and written", default=0.0)
    activation_bytes: Number = ratio("activations read and written", default=0.0)
    network_bytes: Number = ratio("payload of the collective: one chip's whole buffer", default=0.0)
    compute_s: Number = ratio("seconds, where compute bounds", default=0.0)
    memory_s: Number = ratio("seconds, where memory bounds", default=0.0)
    network_s: Number = ratio("seconds of exposed communication", default=0.0)
    overhead_s: Number = ratio("seconds of launches and host work", default=0.0)

    @property
    def bytes(self) -> Number:
        """Memory traffic in all."""
        return self.weight_bytes + self.kv_bytes + self.activation_bytes

    @property
    def time_s(self) -> Number:
        return self.compute_s + self.memory_s + self.network_s + self.overhead_s


class Phase(Noun):
    """Prefill of the whole batch, or one mean decode step.

    time = compute + memory + network + overhead, each the part of the time that this bounds.
    """

    time_s: Number = quantity("s", "prefill: until the first token; decode: mean interval of tokens", least=0)
    first_s: Number = quantity("s", "decode: the first step", least=0)
    last_s: Number = quantity("s", "decode: the last step", least=0)
    compute_s: Number = quantity("s", "time that matrix and vector units bound", least=0)
    memory_s: Number = quantity("s", "time that memory bandwidth bounds", least=0)
    network_s: Number = quantity("s", "exposed communication", least=0)
    overhead_s: Number = quantity("s", "launches, host, scheduler", least=0)
    bound: Number = other("index into BOUNDS of the largest part")
    flop: Number = ratio("FLOP of the whole platform in the phase's pass", default=0.0)
    energy_j: Number | None = quantity("J", "energy of the whole platform in the pass", default=None)
    operators: tuple[OperatorTime, ...] = other("rows of the operator table; empty unless asked", default=())


class Metrics(Noun):
    """What the user asked for. None where it does not exist (no TPOT at one output token)."""

    ttft_s: Number | None = quantity("s", "time to first token", default=None)
    tpot_s: Number | None = quantity("s", "(E2E - TTFT) / (output tokens - 1)", default=None)
    e2e_s: Number | None = quantity("s", "until the last token", default=None)
    output_tokens_per_s: Number | None = ratio("platform, whole request", default=None)
    total_tokens_per_s: Number | None = ratio("input and output", default=None)
    requests_per_s: Number | None = ratio("platform", default=None)
    decode_tokens_per_s: Number | None = ratio("batch / TPOT, the paper's throughput", default=None)
    tokens_per_s_per_user: Number | None = ratio("1 / TPOT", default=None)
    output_tokens_per_s_per_chip: Number | None = ratio("platform's over chips", default=None)
    average_w: Number | None = ratio("mean power of the platform", default=None)
    joules_per_output_token: Number | None = ratio("energy of a request over its output", default=None)
    tokens_per_kwh: Number | None = ratio("output tokens", default=None)
    usd_per_million_output_tokens: Number | None = ratio("rent over output", default=None)


class Serving(Noun):
    """Where TTFT and TPOT of a server come from: each is the sum of its parts."""

    full_s: Number = quantity("s", "of TTFT: the wait for room in memory", least=0, default=0.0)
    ahead_s: Number = quantity(
        "s", "of TTFT: other requests' prompts ahead of one's own", least=0, default=0.0
    )
    running_s: Number = quantity(
        "s", "of TTFT: rest of the pass that runs when the request comes", least=0, default=0.0
    )
    host_s: Number = quantity("s", "of TTFT: HTTP, tokeniser, launches of the prefill", least=0, default=0.0)
    prefill_s: Number = quantity("s", "of TTFT: the request's own prefill", least=0)
    step_s: Number | None = quantity(
        "s", "of TPOT: the decode step; None at one output token", least=0, default=None
    )
    between_s: Number = quantity("s", "of TPOT: other requests' prompts between steps", least=0, default=0.0)

    @property
    def ttft_s(self) -> Number:
        return self.prefill_s + self.ahead_s + self.running_s + self.host_s + self.full_s

    @property
    def tpot_s(self) -> Number | None:
        return None if self.step_s is None else self.step_s + self.between_s


class Estimate(Noun):
    """The answer to one scenario."""

    scenario: Scenario = noun(Scenario, "the question")
    legal: Flag = flag("the plan can exist; False only beside others, in an array", default=True)
    fits: Flag = flag("the model and its cache fit in memory", default=False)
    why: str | None = text("what is short, by how much, when it does not fit", default=None)
    memory: Memory = noun(Memory, "per chip, busiest stage")
    draft_memory: Memory | None = noun(
        Memory, "the same of a draft's own chips; None where it shares the target's", default=None
    )
    metrics: Metrics = noun(Metrics, "all None when it does not fit")
    phases: Mapping[str, Phase] = nouns(
        Phase, "prefill and decode (absent at one output token); none in a brief answer"
    )
    serving: Serving | None = noun(
        Serving, "what a server's TTFT and TPOT consist of; None for a static batch", default=None
    )
    bound: Number | None = other(
        "index into BOUNDS of what bounds whole requests, prefill and all steps together", default=None
    )
    concurrency: Number = count("requests running at once, at most what memory holds", default=1)
    assumptions: tuple[str, ...] = texts("what the engine took for granted", default=())
