"""A scenario made ready: sharded, placed in memory, with the rates of every stage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from genzcli.engine.counts import prompts
from genzcli.engine.counts.blocks import Options
from genzcli.engine.counts.lora import Adapters
from genzcli.engine.counts.ops import Bytes, Shard
from genzcli.engine.counts.routing import Routing
from genzcli.engine.counts.speculation import MTP, drafter, modules_used, predictor, verified
from genzcli.engine.counts.stages import Stage, stages
from genzcli.engine.machine import formats, memory, network
from genzcli.engine.machine.memory import Demand, Slope
from genzcli.engine.machine.placement import Need, Storage, place, storage
from genzcli.engine.machine.roofline import Rates, cache_of
from genzcli.engine.result import Memory
from genzcli.engine.schedule.passes import Away, Setting, Speed
from genzcli.numeric import both, ceil, is_array, maximum, minimum
from genzcli.spec.dtype import PARTS, base
from genzcli.spec.hardware import Chip
from genzcli.spec.noun import Noun, flag, noun, other
from genzcli.spec.workload import Plan, Scenario

if TYPE_CHECKING:
    from genzcli.numeric import Flag, Number


#: Parts whose weights an N:M pattern prunes.
_SPARSE = ("weights", "experts", "attention")


class Case(Noun):
    """A scenario made ready: what is shared by its passes."""

    scenario: Scenario = noun(Scenario, "the question")
    stages: tuple[Stage, ...] = other("pipeline stages")
    settings: tuple[Setting, ...] = other("model, platform, shard and rates, for each stage")
    memory: Memory = noun(Memory, "what fits")
    requests: Number = other("running requests of one attention group")
    fits: Flag = other("it fits")
    brief: bool = flag("only metrics are asked for: first and last step are left out", default=False)
    draft: Case | None = other("the case of what drafts, on the same chips or on its own", default=None)

    @property
    def setting(self) -> Setting:
        """What does not depend on the stage can be asked of the first."""
        return self.settings[0]

    def under(self, phase: str, explain: bool = True) -> Case:
        """The case with every stage's settings in a phase, with or without operator rows."""
        seen: dict[int, Setting] = {}
        for item in self.settings:
            if id(item) not in seen:
                seen[id(item)] = in_phase(item, phase).replace(explain=item.explain and explain)
        return self.replace(settings=tuple(seen[id(item)] for item in self.settings))


def in_phase(setting: Setting, phase: str) -> Setting:
    """The setting at the rates of a phase."""
    rates, away = setting.rates.replace(phase=phase), setting.away
    if away is not None:
        away = away.replace(rates=away.rates.replace(phase=phase))
    return setting.replace(rates=rates, away=away)


def prepare(scenario: Scenario, explain: bool, brief: bool = False) -> Case:
    """Shard, memory, placement and rates, and the same of what drafts."""
    plan, model, room = scenario.plan, scenario.model, storage_of(scenario)
    shard, pipeline = _shard(scenario), stages(model, plan.pp)
    wanted, own = demand(scenario, shard), drafter(scenario)
    away = prepare(own, explain, brief) if own is not None and plan.draft_on is not None else None
    beside = _beside(scenario, own, pipeline) if away is None else {}
    held, needs = memory.fit(model, room, pipeline, wanted, beside)
    fits, requests, most = held.deficit_bytes <= 0, wanted.requests, held.max_batch
    if away is not None:
        fits, most = both(fits, away.fits), minimum(most, away.memory.max_batch)
    if plan.batching == "continuous":
        requests, fits = minimum(requests, maximum(1, most / plan.dp)), most >= plan.dp
        held, needs = memory.fit(model, room, pipeline, wanted.replace(requests=requests), beside)
    setting = _setting(scenario, shard, needs[0], room, requests, explain)
    case = Case(
        scenario=scenario,
        stages=pipeline,
        settings=_placed(setting, needs, room),
        memory=held.replace(max_batch=most),
        requests=requests,
        fits=fits,
        brief=brief,
    )
    if away is not None:
        return case.replace(draft=away.replace(requests=minimum(plan.batch, requests * plan.dp)))
    return case if own is None else case.replace(draft=_draft(own, case, needs, explain))


def _beside(scenario: Scenario, own: Scenario | None, pipeline: tuple[Stage, ...]) -> dict[int, Slope]:
    """What drafts on the same chips holds there: a model on every stage, the modules on the last one.

    The modules share embedding and head with the model; in a pipeline the embedding is far from them, and
    copied unless it is the head.
    """
    if own is None:
        return {}
    wanted = demand(own, _shard(own))
    plan, model = scenario.plan, scenario.model
    if plan.draft != MTP or model.mtp is None:
        worst = memory.heaviest(own.model, stages(own.model, own.plan.pp), wanted)
        return dict.fromkeys(range(len(pipeline)), worst)
    modules = predictor(model, model.mtp, modules_used(plan, model.mtp))
    layers = stages(modules, 1)[0]
    held = layers.replace(first=plan.pp > 1 and not model.tied_embeddings, last=False)
    return {len(pipeline) - 1: memory.slope(modules, held, wanted)}


def _draft(own: Scenario, target: Case, needs: list[Need], explain: bool) -> Case:
    """What drafts on the same chips; it reads from where both were placed."""
    shard, pipeline, room = _shard(own), stages(own.model, own.plan.pp), storage_of(own)
    held = [needs[min(i, len(needs) - 1)] for i in range(len(pipeline))] if len(pipeline) > 1 else needs[-1:]
    setting = _setting(own, shard, held[0], room, target.requests, explain)
    settings = _placed(setting, held, room)
    return target.replace(scenario=own, stages=pipeline, settings=settings)


def _shard(scenario: Scenario) -> Shard:
    """Attention groups share experts; replicas of a dense model share nothing."""
    plan = scenario.plan
    return Shard(
        tp=plan.tp,
        dp=plan.dp if scenario.model.has_experts else 1,
        ep=plan.ep,
        sp=plan.sp,
        redundant=plan.redundant_experts if scenario.model.has_experts else 0,
        size=Bytes.of(plan.precision, plan.weight_density, plan.sparsity),
    )


def storage_of(scenario: Scenario) -> Storage:
    """The memories of one chip, less what the software keeps free."""
    return storage(scenario.platform, scenario.plan, scenario.reserve)


def _setting(
    scenario: Scenario, shard: Shard, held: Need, room: Storage, requests: Number, explain: bool
) -> Setting:
    """What the passes of a stage share, with the rates of a chip that holds `held`.

    All its weights and KV go by between two uses of a layer's, as the caches see it.
    """
    plan, chip = scenario.plan, scenario.platform.chip
    dtype = formats.compute_dtype(plan, chip)
    streams = place(held, room)[1]
    return Setting(
        model=scenario.model,
        platform=network.extended(scenario.platform, plan.chips),
        shard=shard,
        rates=Rates(
            dtype=dtype,
            flop_per_s=chip.peaks[dtype],
            profile=scenario.profile,
            cache=cache_of(chip, held.weights + held.held),
            array=chip.array,
            vector=chip.vector,
            longest=math.inf if scenario.model.max_context is None else scenario.model.max_context,
            **streams._asdict(),
        ),
        options=Options(
            routing=Routing(rule=plan.routing, imbalance=plan.imbalance, alpha=plan.alpha),
            evenness=minimum(plan.batch / (plan.dp * requests), 1),
            adapters=_adapters(plan),
            flash=plan.flash,
            fused=plan.fused,
        ),
        speeds=_speeds(scenario, chip, dtype),
        overlap=plan.overlap,
        away=_away(scenario, dtype),
        explain=explain,
        routes={},
    )


def _away(scenario: Scenario, dtype: str) -> Away | None:
    """Attention beside another memory: its processor's rates there, the link's for what goes to and fro."""
    name = scenario.plan.attention_on
    if not name:
        return None
    platform = scenario.platform
    tier = {**platform.chip.memory, **platform.memory}[name]
    assert tier.processor is not None  # legal.check saw to it
    link = 1 / tier.bandwidth_bytes_per_s
    return Away(
        rates=Rates(
            dtype=dtype,
            flop_per_s=tier.processor.peak_flop_per_s,
            weights=link,
            kv=1 / tier.processor.bandwidth_bytes_per_s,
            activations=link,
            profile=scenario.profile,
        ),
        latency_s=tier.latency_s,
    )


def _speeds(scenario: Scenario, chip: Chip, dtype: str) -> dict[str, Speed]:
    """Parts that do not compute in `dtype` at its dense peak: in a wider format, or with sparse weights; and
    those whose kernels the calibration tells apart by the format of their weights."""
    plan, told = scenario.plan, scenario.profile.storages
    dtypes = {part: formats.part_dtype(plan, chip, part) for part in (*PARTS, "kernel")}
    dtypes["lora"] = formats.adapter_dtype(plan, chip)
    dtypes["indexer"] = formats.index_dtype(plan, chip)
    speeds: dict[str, Speed] = {}
    for part, own in dtypes.items():
        faster = formats.sparse_speedup(plan, chip, own) if part in _SPARSE else 1.0
        stored = base(plan.precision.stored(part)) if told and part in PARTS else ""
        stored = stored if (stored, own) in told else ""
        if own != dtype or faster != 1 or stored:
            speeds[part] = Speed(own, chip.peaks[own] * faster, stored)
    return speeds


def _placed(setting: Setting, needs: list[Need], room: Storage) -> tuple[Setting, ...]:
    """A setting for each stage; the same one where a single memory leaves nothing to place."""
    if len(room.shelves) == 1:
        return (setting,) * len(needs)
    streams = [place(held, room)[1]._asdict() for held in needs]
    return tuple(setting.replace(rates=setting.rates.replace(**each)) for each in streams)


def demand(scenario: Scenario, shard: Shard) -> Demand:
    """What the batch asks of one chip: the busiest attention group has ceil(batch / dp) requests.

    Those of a server are of all ages: where the cache grows with the answer, they hold part of it.
    """
    plan, usecase, profile, model = scenario.plan, scenario.usecase, scenario.profile, scenario.model
    held = profile.held_output if plan.batching == "continuous" else 1
    read, images = prompts.read_tokens(model, usecase), prompts.image_tokens(model, usecase)
    return Demand(
        requests=ceil(plan.batch / plan.dp),
        input_tokens=read,
        cached_tokens=prompts.decoder_tokens(model, usecase),
        seen_tokens=prompts.seen_across(model, usecase),
        patches=0 if model.vision is None else images * model.vision.merge / read,
        output_tokens=usecase.output_tokens * held,
        beams=usecase.beams,
        width=verified(plan),
        keep=plan.kv_keep,
        adapters=_adapters(plan),
        groups=plan.dp,
        pp=plan.pp,
        together=plan.batching == "static",
        page_tokens=profile.page_tokens,
        activation_tokens=_bound(profile.activation_tokens, plan.chunk),
        shard=shard,
    )


def _adapters(plan: Plan) -> Adapters | None:
    if not is_array(plan.lora_rank) and plan.lora_rank == 0:
        return None
    return Adapters(rank=plan.lora_rank, count=plan.lora_adapters, on=plan.lora_on)


def _bound(most: Number | None, chunk: Number | None) -> Number | None:
    """Tokens in a layer at once: what the software allows, and no more than a chunk."""
    if most is None or chunk is None:
        return chunk if most is None else most
    return minimum(most, chunk)


def running(case: Case) -> Number:
    """Requests in flight over the platform: the batch, or what memory holds of it."""
    plan = case.scenario.plan
    return plan.batch if plan.batching == "static" else minimum(plan.batch, case.requests * plan.dp)
