"""What is asked of the machine: a use case, its service-level objectives, and the plan to serve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genzcli.numeric import maximum
from genzcli.spec.dtype import Precision
from genzcli.spec.hardware import Platform
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun, choice, count, flag, noun, other, quantity, ratio, text, texts
from genzcli.spec.profile import Profile
from genzcli.spec.source import Source

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Slo(Noun):
    """One objective: a metric and its limit, in the metric's own unit (see `spec/metric.py`)."""

    metric: str = text("ttft, tpot, e2e, throughput, …")
    limit: Number = ratio("upper limit of a time or a cost, lower limit of a rate; SI")


class UseCase(Noun):
    """Tokens in, tokens out, and what the user will wait for."""

    name: str = text("catalog id", default="custom")
    input_tokens: Number = count("prompt tokens of a request, images apart", most=1e8, default=1000)
    output_tokens: Number = count("generated tokens of a request", most=1e8, default=200)
    beams: Number = count("beam width; beams share the prompt's KV", most=1e4, default=1)
    images: Number = count("images of a request, beside its input tokens", least=0, most=1e6, default=0)
    image_tokens: Number | None = count(
        "tokens an image becomes; the model's if left out", most=1e6, default=None
    )
    batch: Number | None = count("requests in the batch, where the use case fixes it", most=1e7, default=None)
    slo: tuple[Slo, ...] = other("objectives", default=())
    note: str = text("what a reader should know", default="")
    aliases: tuple[str, ...] = texts("other names that mean exactly this use case", default=())
    sources: Mapping[str, Source] = other("citation of each number, by its path", default={})
    origin: str = other("the file it was read from; empty for one that is built in", default="")
    hides: bool = other("a built-in entry has this name too", default=False)


class DraftSite(Noun):
    """Chips of their own for the draft model, beside those of the plan."""

    platform: Platform = noun(Platform, "on what it drafts")
    profile: Profile = noun(Profile, "how well the software uses its chips")
    chips: Number = count("chips that share it, tensor parallel", most=1e5, default=1)
    latency_s: Number | None = quantity(
        "s", "one way to the plan's chips; that of the slower network if left out", least=0, default=None
    )


class Plan(Noun):
    """How the model is laid over the chips and served.

    chips = tp x pp x dp. Attention runs on tp chips in each of dp groups; experts run on all
    tp x dp chips of a stage, ep groups of tp x dp / ep chips each.
    """

    precision: Precision = other("storage and compute formats")
    batch: Number = count("requests served together, over the whole platform", most=1e7, default=1)
    tp: Number = count("tensor parallel: chips that share every layer", most=1e5, default=1)
    pp: int = count("pipeline parallel: stages", most=1e5, default=1)
    dp: Number = count("attention-DP groups of a MoE, replicas of a dense model", most=1e5, default=1)
    ep: Number = count("expert parallel: groups the experts are spread over", most=1e5, default=1)
    sp: bool = flag("sequence parallel: reduce-scatter + all-gather instead of all-reduce", default=False)
    batching: str = choice("how requests meet", "static", "continuous", default="static")
    routing: str = choice(
        "experts a batch of tokens touches", "balanced", "uniform", "power-law", "worst", default="uniform"
    )
    alpha: Number = ratio(
        "power-law routing: the r-th most popular expert draws r^-alpha", least=0, most=10, default=0.6
    )
    redundant_experts: Number = count(
        "replicas of the busiest experts, over all ranks of a layer", least=0, most=1e5, default=0
    )
    imbalance: Number = ratio("busiest expert rank over the mean", least=1, most=1e4, default=1.0)
    uneven: str = choice("heads that tp does not divide", "error", "pad", default="error")
    flash: bool = flag("attention scores stay on chip", default=True)
    fused: bool = flag("norms fused with residual adds, rotary with the KV write", default=True)
    chunk: Number | None = count(
        "chunked prefill: tokens of a pass, decode tokens first and prompt for the rest", default=None
    )
    draft: Model | str | None = other(
        "speculative decoding: the model that drafts, `mtp` for the model's own modules, or `ngram`",
        default=None,
    )
    draft_on: DraftSite | None = noun(
        DraftSite, "chips of their own for the draft model; those of the plan if left out", default=None
    )
    draft_tokens: Number = count("tokens drafted ahead of a verification", default=4)
    accept: Number = ratio("chance that a drafted token is accepted", least=0, most=1, default=0.7)
    expectation: str = choice(
        "tokens a verification yields: Leviathan et al. (2023), or the GenZ paper's accepted drafts alone",
        "leviathan",
        "genz",
        default="leviathan",
    )
    prefix_hit: Number = ratio("share of the prompt found in a prefix cache", least=0, most=1, default=0.0)
    kv_keep: Number = ratio("share of the cache's tokens kept (KV pruning)", above=0, most=1, default=1.0)
    weight_density: Number = ratio(
        "share of the weights kept (unstructured sparsity)", above=0, most=1, default=1.0
    )
    offload: tuple[str, ...] = texts(
        "memories behind a link that take what the chip's own do not hold", default=()
    )
    placement: str = choice(
        "who gets the fastest memory behind the activations; by-layer cuts weights and cache alike",
        "weights-first",
        "kv-first",
        "by-layer",
        default="weights-first",
    )
    place: Mapping[str, Mapping[str, Number]] = other(
        "stated placement: for weights, kv or activations, the share that lies in each memory", default={}
    )
    attention_on: str = text("memory whose processor runs attention, where the cache then lies", default="")
    sparsity: str = text("N:M structured sparsity of the layers' weights, as 2:4; none if empty", default="")
    lora_rank: Number = count("rank of the LoRA adapters; 0 for none", least=0, most=1e4, default=0)
    lora_adapters: Number = count("adapters that are resident, one a request", most=1e6, default=1)
    lora_on: str = choice("layers that an adapter has", "all-linear", "attention", "qv", default="all-linear")
    overlap: Number = ratio("share of a collective that compute may hide", least=0, most=1, default=0.0)
    reserve: Number | None = ratio(
        "share of memory kept free; the profile's if left out", least=0, most=0.95, default=None
    )
    price_usd_per_hour: Number | None = quantity(
        "USD/h", "rent of one chip in place of the catalog's", default=None
    )

    @property
    def chips(self) -> Number:
        return self.tp * self.pp * self.dp


class Scenario(Noun):
    """One whole question, everything resolved."""

    model: Model = noun(Model, "what is served")
    platform: Platform = noun(Platform, "on what")
    usecase: UseCase = noun(UseCase, "for what")
    plan: Plan = noun(Plan, "how")
    profile: Profile = noun(Profile, "how well the software uses the chip")
    name: str = text("label in reports", default="")
    assumptions: tuple[str, ...] = texts("what was chosen for the user, one sentence each", default=())

    @property
    def reserve(self) -> Number:
        """Share of memory kept free: the plan's, else what software and system keep, whichever is more."""
        if self.plan.reserve is not None:
            return self.plan.reserve
        return maximum(self.profile.reserve, self.platform.chip.system_share)
