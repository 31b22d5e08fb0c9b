"""Speculative decoding: who drafts, how many passes a round of drafts takes, how many tokens it yields.

A round is N drafts and one verification of N + 1 tokens. What drafts is a model of its own, the model's
multi-token-prediction modules, or a look-up of n-grams in the prompt, which computes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from genzcli.engine.counts.prompts import read_tokens
from genzcli.numeric import floor, is_array, maximum, minimum, where
from genzcli.spec.model import Model, Mtp
from genzcli.spec.workload import DraftSite, Plan, Scenario, UseCase

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: Words for what drafts without a model of its own.
MTP, NGRAM = "mtp", "ngram"


# --- what a round yields ---


def expected_tokens(plan: Plan) -> Number:
    """Tokens a verification of N drafts yields when each is accepted with chance g, independently.

    leviathan  1 + g + … + g^N: the accepted drafts and the one token that the verification itself gives
               (Leviathan, Kalman, Matias, ICML 2023, equation 1)
    genz       g + … + g^N: accepted drafts alone, as the GenZ paper prints it,
               sum of i g^i (1 - g) over i < N, and N g^N
    """
    if plan.expectation == "genz":
        return plan.accept * _powers(plan.accept, plan.draft_tokens)
    return _powers(plan.accept, plan.draft_tokens + 1)


def round_tokens(plan: Plan, usecase: UseCase) -> Number:
    """Tokens of one request that a round yields, one without speculation.

    A request of few tokens still takes a whole round: at most td - 1 of them count.
    """
    if plan.draft is None:
        return 1
    return minimum(expected_tokens(plan), maximum(usecase.output_tokens - 1, 1))


def verified(plan: Plan) -> Number:
    """Tokens of a beam in one pass of the target: its drafts and one."""
    return 1 if plan.draft is None else plan.draft_tokens + 1


def _powers(base: Number, terms: Number) -> Number:
    """1 + base + … + base^(terms - 1) by doubling: products only, so a float equals an array's element.

    From the leading bit of `terms` down: S(2k) = S(k) (1 + base^k), S(k + 1) = S(k) + base^k.
    """
    most = int(terms.max() if is_array(terms) else terms)  # type: ignore[union-attr]
    total: Number = 0.0
    power: Number = 1.0
    for bit in reversed(range(most.bit_length())):
        total, power = total * (1 + power), power * power
        odd = floor(terms / 2**bit) % 2 == 1
        total, power = where(odd, total + power, total), where(odd, power * base, power)
    return total


# --- who drafts ---


def predictor(model: Model, mtp: Mtp, modules: Number = 1) -> Model:
    """The multi-token-prediction modules as a model of their own, with the target's embedding and head.

    Norms of both inputs and ahead of the head; the projection of 2 D to D stands ahead of the layer.
    """
    layer = model.blocks[mtp.block]
    block = layer.replace(joins=2, norms=layer.norms + 3)
    stack: tuple[tuple[str, Number], ...] = (("mtp", modules),)
    name = f"{model.name} mtp"
    return model.replace(
        name=name,
        blocks={"mtp": block},
        stack=stack,
        positions=0,
        vision=None,
        mtp=None,
        published=None,
    )


def modules_used(plan: Plan, mtp: Mtp) -> Number:
    """Distinct modules that draft: one a token, as many as there are."""
    return minimum(plan.draft_tokens, mtp.modules)


def drafter(scenario: Scenario) -> Scenario | None:
    """The scenario of what drafts, as if it were asked alone; None where nothing is computed.

    A model on the same chips is cut like the attention of the target; a module lies on the last stage.
    """
    plan, model = scenario.plan, scenario.model
    alone = plan.replace(draft=None, draft_on=None, lora_rank=0)
    match plan.draft:
        case Model() as draft if plan.draft_on is not None:
            return _away(scenario, draft, plan.draft_on, alone)
        case Model() as draft:
            pp = min(plan.pp, draft.layers)
            cut = alone.replace(ep=1, pp=pp, redundant_experts=0)
            return scenario.replace(model=draft, usecase=_drafted(scenario, draft), plan=cut)
        case "mtp" if model.mtp is not None:
            modules = predictor(model, model.mtp)
            ep = plan.ep if modules.has_experts else 1
            cut = alone.replace(pp=1, ep=ep)
            return scenario.replace(model=modules, usecase=_drafted(scenario, modules), plan=cut)
    return None


def _drafted(scenario: Scenario, draft: Model) -> UseCase:
    """What a draft reads: of images the tokens alone, where it has no tower of its own."""
    model, usecase = scenario.model, scenario.usecase
    if model.vision is None or draft.vision is not None:
        return usecase
    return usecase.replace(input_tokens=read_tokens(model, usecase), images=0)


def _away(scenario: Scenario, draft: Model, site: DraftSite, alone: Plan) -> Scenario:
    """All requests of the platform on the draft's own chips, one tensor-parallel group."""
    formats = alone.precision.replace(explicit_compute=False)
    plan = alone.replace(precision=formats, tp=site.chips, dp=1, pp=1, ep=1, sp=False)
    plan = plan.replace(offload=(), place={}, attention_on="")  # memories of the other chips
    usecase = _drafted(scenario, draft)
    return scenario.replace(
        model=draft, usecase=usecase, platform=site.platform, profile=site.profile, plan=plan
    )


class Passes(NamedTuple):
    """Equal passes of what drafts."""

    times: Number
    width: Number  # tokens of a beam


def draft_passes(scenario: Scenario) -> tuple[Passes, Passes]:
    """The passes of a round that also take in what was verified before, and those behind them.

    A model runs N steps of one token. A module needs the stream of every verified token, so its first
    pass takes the tokens that the round before yielded; distinct modules do so each, and the last one is
    reused for tokens further ahead.
    """
    plan, mtp = scenario.plan, scenario.model.mtp
    if plan.draft == MTP and mtp is not None:
        first = modules_used(plan, mtp)
        caught_up = maximum(round_tokens(plan, scenario.usecase), 1)
        return Passes(first, caught_up), Passes(plan.draft_tokens - first, 1)
    return Passes(1, 1), Passes(plan.draft_tokens - 1, 1)
