"""Which plans can exist. Scalars raise an error with the legal values; arrays give a mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from genzcli.engine.counts import lora, mixers
from genzcli.engine.counts.speculation import MTP, drafter, expected_tokens, verified
from genzcli.errors import PlanError
from genzcli.numeric import any_true, both, is_array, negate
from genzcli.spec.dtype import pattern
from genzcli.spec.hardware import Tier
from genzcli.spec.model import Mixer, Model, Moe
from genzcli.spec.workload import Plan, Scenario

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number

#: Legal values are listed up to here.
_MOST_LISTED = 1024

Problem = tuple["Flag", Callable[[], PlanError]]


def problems(scenario: Scenario) -> Iterator[Problem]:
    """(condition, error) of everything that would make the plan impossible."""
    model, plan = scenario.model, scenario.plan
    for block in model.blocks.values():
        if plan.uneven == "error" and block.mixer is not None:
            yield from _head_problems(block.mixer, plan)
        if plan.uneven == "error" and block.cross_attention is not None:
            yield _divides(block.cross_attention.heads, plan.tp, "heads of cross-attention", "--tp")
        if isinstance(block.feedforward, Moe) and plan.uneven == "error":
            extra = plan.redundant_experts
            what = "experts, redundant ones included" if any_true(extra > 0) else "experts"
            whole = block.feedforward.experts + extra
            yield _divides(whole, plan.ep, what, "--ep", more=partial(_replicas, whole, plan))
    yield from _expert_problems(model, plan)
    yield (
        plan.dp > plan.batch,
        lambda: PlanError(
            f"dp {plan.dp:g} is more than the batch {plan.batch:g}",
            where="--dp",
            cure="give every data-parallel group at least one request: a larger --batch or a smaller --dp",
        ),
    )
    yield from _room_problems(scenario)
    yield from _memory_problems(scenario)
    yield from _sparsity_problems(plan)
    yield from _adapter_problems(model, plan)
    yield from _draft_problems(model, plan)
    yield from _input_problems(scenario)
    yield from _chunk_problems(scenario)


def _chunk_problems(scenario: Scenario) -> Iterator[Problem]:
    """A server's pass has room for the tokens that one request decodes."""
    plan = scenario.plan
    if plan.chunk is None or plan.batching != "continuous":
        return
    least = verified(plan) * scenario.usecase.beams
    yield (
        least > plan.chunk,
        lambda: PlanError(
            f"a pass of {plan.chunk:g} tokens has no room for the {least:g} that one request decodes in it",
            where="--chunk",
            cure=f"give at least {least:g}, or fewer beams or drafted tokens",
        ),
    )


def _input_problems(scenario: Scenario) -> Iterator[Problem]:
    """Images need a tower; an encoder reads its input whole."""
    model, plan, usecase = scenario.model, scenario.plan, scenario.usecase
    if model.vision is None:
        yield (
            usecase.images > 0,
            lambda: PlanError(
                f"{model.name} has no vision tower to read {usecase.images:g} images with",
                where="--images",
                cure="leave out --images, or choose a model whose `genz show` has a vision tower",
            ),
        )
    if model.encoder is None:
        return
    yield (
        plan.chunk is not None,
        lambda: PlanError(
            f"{model.name} reads its input in one pass: each token of an encoder sees all others",
            where="--chunk",
            cure="leave out --chunk",
        ),
    )
    yield (
        plan.prefix_hit > 0,
        lambda: PlanError(
            f"{model.name} cannot reuse a prefix: an encoder's tokens depend on what follows them",
            where="--prefix-hit",
            cure="leave out --prefix-hit",
        ),
    )
    for block in model.encoder.blocks.values():
        if plan.uneven == "error" and block.mixer is not None:
            yield from _head_problems(block.mixer, plan)


def _draft_problems(model: Model, plan: Plan) -> Iterator[Problem]:
    if plan.draft is None:
        return
    yield (
        plan.draft == MTP and model.mtp is None,
        lambda: PlanError(
            f"{model.name} has no multi-token-prediction modules",
            where="--draft",
            cure="name a model that drafts, or ngram; or give the model's file `mtp: {modules: 1}`",
        ),
    )
    yield (
        plan.draft_on is not None and not isinstance(plan.draft, Model),
        lambda: PlanError(
            f"{plan.draft} drafts on the chips of the model itself",
            where="--draft-hardware",
            cure="leave it out, or name a model that drafts: --draft MODEL",
        ),
    )
    yield (
        expected_tokens(plan) < 1e-3,
        lambda: PlanError(
            f"accept {plan.accept:g} yields no token by the genz expectation",
            where="--accept",
            cure="give a chance above 0, or --expectation leviathan",
        ),
    )


def _memory_problems(scenario: Scenario) -> Iterator[Problem]:
    """Memories that the plan names and the machine lacks; shares that do not add up."""
    plan, far = scenario.plan, scenario.platform.memory
    near = {name: tier for name, tier in scenario.platform.chip.memory.items() if tier.role == "storage"}
    for name in plan.offload:
        yield name not in far, partial(_no_memory, name, far, "--offload", scenario.platform.name)
    for kind, shares in plan.place.items():
        for name in shares:
            missing = name not in near and name not in far
            yield missing, partial(_no_memory, name, {**near, **far}, "--place", scenario.platform.name)
        total = _sum(shares)
        whole = both(total > 1 - 1e-6, total < 1 + 1e-6)
        yield negate(whole), partial(_uneven_shares, kind, shares)
    if not plan.attention_on:
        return
    able = {name: tier for name, tier in {**near, **far}.items() if tier.processor is not None}
    yield (
        plan.attention_on not in able,
        partial(
            _no_memory, plan.attention_on, able, "--attention-on", scenario.platform.name, " with a processor"
        ),
    )
    yield (
        "kv" in plan.place,
        lambda: PlanError(
            f"the cache lies where attention runs, in {plan.attention_on}",
            where="--place",
            cure="leave out kv, or --attention-on",
        ),
    )


def _sparsity_problems(plan: Plan) -> Iterator[Problem]:
    if not plan.sparsity:
        return
    pattern(plan.sparsity, where="--sparsity")
    yield (
        plan.weight_density < 1,
        lambda: PlanError(
            f"weights are sparse twice: {plan.sparsity} and a density of {plan.weight_density:g}",
            where="--weight-density",
            cure="keep --sparsity (structured) or --weight-density (unstructured)",
        ),
    )


def _sum(shares: Mapping[str, Number]) -> Number:
    total: Number = 0.0
    for share in shares.values():
        total = total + share
    return total


def _no_memory(name: str, known: Mapping[str, Tier], where: str, platform: str, kind: str = "") -> PlanError:
    names = ", ".join(known)
    add = f"give {platform} one under `memory:`, with capacity and bandwidth as one chip sees them"
    cure = f"it has {names}" if names else add
    return PlanError(f"{platform} has no memory{kind} named {name!r}", where=where, cure=cure)


def _uneven_shares(kind: str, shares: Mapping[str, Number]) -> PlanError:
    return PlanError(
        f"the shares of {kind} add up to {_sum(shares):g}", where="--place", cure="make them add up to 1"
    )


def _adapter_problems(model: Model, plan: Plan) -> Iterator[Problem]:
    yield (
        both(plan.lora_rank > 0, not lora.adaptable(model, plan.lora_on)),
        lambda: PlanError(
            f"{model.name} has no layer with adapters on {plan.lora_on}",
            where="--lora-on",
            cure="use --lora-on all-linear",
        ),
    )


def check(scenario: Scenario) -> Flag:
    """Raise the first problem of a scalar scenario; for arrays return where the plan is legal.

    What drafts has to be possible too.
    """
    legal = _check(scenario)
    draft = drafter(scenario)
    if draft is None:
        return legal
    try:
        return both(legal, _check(draft))
    except PlanError as error:
        where = error.where
        if scenario.plan.draft_on is not None:
            where = {"--tp": "--draft-chips", "--chips": "--draft-chips"}.get(where, where)
        message = f"the draft {draft.model.name}: {error.message}"
        raise PlanError(message, where=where, cure=error.cure) from None


def _check(scenario: Scenario) -> Flag:
    legal: Flag = True
    for condition, error in problems(scenario):
        if not is_array(condition):
            if condition:
                raise error()
        elif any_true(condition):
            legal = both(legal, negate(condition))
    return legal


def _head_problems(mixer: Mixer, plan: Plan) -> Iterator[Problem]:
    for heads, kv_heads in mixers.heads(mixer):
        yield from _pair_problems(heads, kv_heads, plan.tp)


def _pair_problems(heads: Number, kv_heads: Number, tp: Number) -> Iterator[Problem]:
    yield (heads % tp != 0, lambda: _heads_error(heads, kv_heads, tp))
    yield (
        both(kv_heads % tp != 0, tp % kv_heads != 0),
        lambda: _heads_error(heads, kv_heads, tp),
    )


def _heads_error(heads: Number, kv_heads: Number, tp: Number) -> PlanError:
    legal = [
        n for n in range(1, int(heads) + 1) if heads % n == 0 and (kv_heads % n == 0 or n % kv_heads == 0)
    ]
    return PlanError(
        f"tp {tp:g} does not divide {heads:g} heads ({kv_heads:g} KV heads)",
        where="--tp",
        cure=f"legal values: {', '.join(map(str, legal))}; or --uneven pad",
    )


def _replicas(whole: Number, plan: Plan) -> str:
    """The redundant experts with which ep would divide."""
    return f"; or --redundant-experts {plan.redundant_experts + -whole % plan.ep:g}"


def _divides(whole: Number, by: Number, what: str, option: str, more: Callable[[], str] = str) -> Problem:
    def error() -> PlanError:
        legal = [str(n) for n in range(1, min(int(whole), _MOST_LISTED) + 1) if whole % n == 0]
        return PlanError(
            f"{by:g} does not divide {whole:g} {what}",
            where=option,
            cure=f"legal values: {', '.join(legal)}{more()}",
        )

    return whole % by != 0, error


def _expert_problems(model: Model, plan: Plan) -> Iterator[Problem]:
    if not model.has_experts:
        yield (
            plan.ep > 1,
            lambda: PlanError(
                f"{model.name} has no experts to spread over ep {plan.ep:g} groups",
                where="--ep",
                cure="use ep 1 for a dense model",
            ),
        )
        return
    yield (
        (plan.tp * plan.dp) % plan.ep != 0,
        lambda: PlanError(
            f"ep {plan.ep:g} does not divide tp x dp = {plan.tp * plan.dp:g} chips of a stage",
            where="--ep",
            cure="experts are spread over the chips of a stage; choose a divisor",
        ),
    )


def _room_problems(scenario: Scenario) -> Iterator[Problem]:
    platform, plan = scenario.platform, scenario.plan
    if platform.scale_out is not None:
        return
    cure = "use fewer chips, or give the platform a scale_out level"
    if not platform.levels and platform.name == platform.chip.name:  # a bare chip
        cure = (
            "give the chip a `home: PLATFORM` (as home: hgx-h100), "
            "or name a platform file with levels or a scale_out level"
        )
    yield (
        plan.chips > platform.chips,
        lambda: PlanError(
            f"{plan.chips:g} chips asked for, {platform.name} has {platform.chips:g} and no scale-out",
            where="--chips",
            cure=cure,
        ),
    )
