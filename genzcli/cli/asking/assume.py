"""What was chosen for the user, one sentence each."""

from __future__ import annotations

import os
from collections.abc import Iterator

from genzcli.cli.asking.request import Request
from genzcli.cli.asking.resolve import Resolved
from genzcli.engine.counts.prompts import read_tokens
from genzcli.engine.counts.speculation import MTP, drafter, round_tokens, verified
from genzcli.engine.machine.crossing import link
from genzcli.engine.machine.energy import (
    CHIPS,
    CHIPS_AND_HOSTS,
    PLATFORM,
    chip_power_w,
    chip_price_usd_per_hour,
    power_basis,
)
from genzcli.engine.machine.formats import compute_dtype, part_dtype, sparse_speedup
from genzcli.engine.machine.network import compact, is_torus
from genzcli.report.words import count, formats, percent, quantity
from genzcli.spec.dtype import PARTS
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.model import Model
from genzcli.spec.profile import Profile
from genzcli.spec.source import Source
from genzcli.spec.workload import Plan, Scenario

_ADAPTED = {
    "all-linear": "all linear layers but routed experts",
    "attention": "the projections of attention",
    "qv": "query and value projections",
}


def assumptions(resolved: Resolved) -> tuple[str, ...]:
    """Everything taken by default, and every catalog number in use that is itself a guess."""
    request, scenario = resolved.request, resolved.scenario
    said = [*_workload(request, scenario), *_plan(resolved), *_software(request, scenario)]
    said += _hardware(scenario)
    said += scenario.assumptions
    return tuple(said)


def _workload(request: Request, scenario: Scenario) -> Iterator[str]:
    usecase, plan, model = scenario.usecase, scenario.plan, scenario.model
    defaults = []
    if request.usecase is None:
        if request.input is None:
            defaults.append(f"{usecase.input_tokens:g} input tokens")
        if request.output is None:
            defaults.append(f"{usecase.output_tokens:g} output tokens")
    if request.batch is None and request.concurrency is None and usecase.batch is None:
        defaults.append(f"batch {plan.batch:g}")
    if defaults:
        yield f"{', '.join(defaults)} (defaults)"
    yield from _images(scenario)
    longest = read_tokens(model, usecase) + usecase.output_tokens
    if model.max_context is not None and longest > model.max_context:
        yield f"{longest:g} tokens a request, beyond the {model.max_context:g} that {model.name} was made for"


def _images(scenario: Scenario) -> Iterator[str]:
    """How large an image is, where nobody said."""
    usecase, vision = scenario.usecase, scenario.model.vision
    if vision is None or not usecase.images:
        return
    if usecase.image_tokens is None:
        yield f"{vision.tokens:g} tokens an image, as {scenario.model.name} has them (--image-tokens)"
    yield "images beside the input tokens, each request's encoded in its prefill, none from a cache"


def _plan(resolved: Resolved) -> Iterator[str]:
    request, plan = resolved.request, resolved.scenario.plan
    if resolved.note and plan.chips > 1:
        yield resolved.note
    edited = any(edit.path.startswith("plan.precision") for edit in resolved.edits)
    if request.precision is None and not edited:
        yield f"precision {formats(plan.precision, plan.precision.compute)}, as the model is published"
    chip = resolved.scenario.platform.chip
    dtype = compute_dtype(plan, chip)
    if dtype != plan.precision.compute:
        yield f"matrix products run in {dtype}, since {chip.name} has no peak for {plan.precision.compute}"
    if plan.batching == "static":
        if plan.batch > 1:
            yield "static batching: the batch arrives together"
    else:
        yield "continuous batching in steady state: one prefill at a time between decode steps"
        burst = resolved.scenario.profile.burst
        if burst > 0:
            yield f"{burst:.0%} of the other requests' prompts come together with one's own (profile burst)"
        yield from _serving(resolved.scenario)
        yield from _crowded(resolved.scenario)
    if resolved.scenario.model.has_experts and request.routing is None:
        yield f"{plan.routing} routing of tokens to experts"
    weights = plan.precision.weights
    if weights.startswith(("q", "iq")) and resolved.scenario.profile.stack not in ("llama-cpp", "ideal"):
        yield f"{weights} is a format of llama.cpp, whose kernels are those of --stack llama-cpp"
    yield from techniques(resolved.scenario)
    yield from _drafts(resolved.scenario)
    yield from _elsewhere(plan)
    for edit in resolved.edits:
        yield f"{edit.path} set to {edit.value}{_linked(edit.path, resolved.scenario.platform)}"


def _linked(path: str, platform: Platform) -> str:
    """` (18 links of 900 GB/s, 16.2 TB/s a chip)`: the bandwidth of a level is that of one link."""
    *_, owner, last = ("", *path.split("."))
    levels = {level.name: level for level in platform.levels}
    if platform.scale_out is not None:
        levels["scale_out"] = platform.scale_out
    level = levels.get(owner)
    if level is None or last not in ("bandwidth", "links") or level.links <= 1:
        return ""
    each, chip = (
        quantity(level.bandwidth_bytes_per_s, "bytes/s"),
        quantity(level.chip_bandwidth_bytes_per_s, "bytes/s"),
    )
    return f" ({count(level.links)} links of {each}, {chip} a chip)"


def _serving(scenario: Scenario) -> Iterator[str]:
    """What a server's requests hold, and what its host does ahead of a first token."""
    profile = scenario.profile
    if profile.held_output == 1:
        yield "a request has cache set aside for all of its output"
    else:
        yield f"a request holds cache for {profile.held_output:.0%} of its output (profile held_output)"
    if profile.request_s or profile.launch_s:
        each = quantity(profile.request_s, "s"), quantity(profile.launch_s, "s")
        yield (
            f"the host's part of TTFT is {each[0]} a request and {each[1]} an operator of its prefill"
            " (profile), seen where a benchmark starts all users at once; an idle server's may be far less"
        )


def _crowded(scenario: Scenario) -> Iterator[str]:
    """More requests than a pass can decode: prompts are let in as others end."""
    plan = scenario.plan
    tokens = verified(plan) * scenario.usecase.beams
    if plan.chunk is not None and plan.batch * tokens > plan.dp * plan.chunk:
        yield (
            f"a pass of {plan.chunk:g} tokens decodes for {plan.chunk // tokens:g} of the requests at most: "
            "the others wait before their prompt, which counts in the TTFT"
        )


def _elsewhere(plan: Plan) -> Iterator[str]:
    """What lies, or runs, outside the chip's own memory."""
    if plan.offload:
        yield f"what the chip's memory does not hold goes to {', '.join(plan.offload)}, read over its link"
    if plan.attention_on:
        yield (
            f"attention runs on the processor beside {plan.attention_on}, with this profile's efficiencies; "
            "its power and rent are not counted"
        )


def techniques(scenario: Scenario) -> Iterator[str]:
    """What the techniques in use take for granted."""
    plan, chip = scenario.plan, scenario.platform.chip
    if scenario.model.has_experts:
        yield from _placement(plan)
    own = {part: part_dtype(plan, chip, part) for part in PARTS if getattr(plan.precision, part)}
    own["attention kernels"] = part_dtype(plan, chip, "kernel")
    main = compute_dtype(plan, chip)
    wider = [f"{part} in {dtype}" for part, dtype in own.items() if dtype != main]
    if wider:
        yield f"matrix products of {' and '.join(wider)}, the rest in {main}"
    if plan.sparsity:
        yield _sparse(plan, chip, main)
    if plan.lora_rank:
        adapters = "1 LoRA adapter" if plan.lora_adapters == 1 else f"{plan.lora_adapters:g} LoRA adapters"
        used = "" if plan.lora_adapters == 1 else ", requests spread evenly over them"
        yield f"{adapters} of rank {plan.lora_rank:g} on {_ADAPTED[plan.lora_on]}, 16 bits, resident{used}"


def _placement(plan: Plan) -> Iterator[str]:
    """Where experts lie, as far as it matters."""
    skewed = plan.routing == "power-law"
    if skewed:
        yield f"the r-th most popular expert draws r^-{plan.alpha:g} of the tokens, the same in all layers"
    if skewed and plan.ep > 1 and not plan.redundant_experts:
        yield "experts lie on ranks in any order: the busiest has the most popular and average ones beside it"
    if plan.redundant_experts:
        packed = ", and ranks packed as evenly as the hottest replica allows" if skewed else ""
        yield f"{plan.redundant_experts:g} redundant experts, each where it relieves most{packed}"


def _sparse(plan: Plan, chip: Chip, dtype: str) -> str:
    """What N:M sparsity brings on this chip."""
    speedup = sparse_speedup(plan, chip, dtype)
    faster = f"{chip.name} computes {speedup:g} times as fast with it in {dtype}"
    if speedup == 1:
        faster = f"{chip.name} computes with it as with dense weights"
    return f"{plan.sparsity} sparsity of the layers' weights, positions stored; {faster}"


def _drafts(scenario: Scenario) -> Iterator[str]:
    """Who drafts how many tokens at what cost, and what comes of a round."""
    plan, mtp = scenario.plan, scenario.model.mtp
    if plan.draft is None:
        return
    tokens = f"{plan.draft_tokens:g} token{'s' if plan.draft_tokens != 1 else ''}"
    yielded = quantity(round_tokens(plan, scenario.usecase), "")
    rule = f"each accepted with chance {plan.accept:g}: {yielded} tokens a verification ({plan.expectation})"
    if isinstance(plan.draft, Model):
        where = "beside the model" if plan.draft_on is None else "on chips of its own"
        yield f"speculative decoding: {plan.draft.name} drafts {tokens}, {rule}; held {where}"
    elif plan.draft == MTP and mtp is not None:
        who = f"{mtp.modules:g} MTP module{'s draft' if mtp.modules != 1 else ' drafts'}"
        yield f"speculative decoding: {who} {tokens}, {rule}; embedding and head are the model's"
    else:
        yield f"speculative decoding: n-grams of the prompt draft {tokens} at no cost, {rule}"
    yield from _draft_site(scenario)


def _draft_site(scenario: Scenario) -> Iterator[str]:
    """The draft's chips and the way to them."""
    site, own = scenario.plan.draft_on, drafter(scenario)
    if site is None or own is None:
        return
    latency, _ = link(scenario.platform, site)
    chip = site.platform.chip
    how = f"in {compute_dtype(own.plan, chip)}, profile {site.profile.name}"
    yield (
        f"the draft runs on {site.chips:g} {chip.name} ({how}), powered and rented too; its tokens take "
        f"{quantity(latency, 's')} one way, it reads prompts meanwhile"
    )


def _software(request: Request, scenario: Scenario) -> Iterator[str]:
    profile = scenario.profile
    asked = request.stack
    if (
        asked is not None
        and profile.stack == "generic"
        and "generic" not in asked
        and not os.path.exists(asked)
    ):
        yield f"{asked} was never measured on such a chip: the generic profile of its class"
    yield from _dated(asked, scenario)
    if profile.evidence == "generic":
        yield f"efficiencies of profile {profile.name}, not measured on this chip and stack ({profile.note})"
    elif profile.evidence == "ideal":
        yield f"profile {profile.name}: pure roofline, an upper bound and no forecast"
    elif not profile.measured_on(scenario.platform.chip):
        yield _foreign(profile, scenario.platform.chip)
    elif request.stack is None or profile.note:
        yield f"efficiencies of profile {profile.name} ({profile.evidence})"


def _dated(asked: str | None, scenario: Scenario) -> Iterator[str]:
    """Static batches of a stack were measured before its servers: other software under one name."""
    stack = scenario.profile.stack
    newer = stack.removesuffix("-2024")
    if asked is None or newer == stack or "2024" in asked or os.path.exists(asked):
        return
    if scenario.plan.batching == "static":
        yield (
            f"{newer} as of 2024, which static batches were measured under; --concurrency asks for servers,"
            " measured later where they were"
        )
    else:
        yield (
            f"{newer} as of 2024, fitted to static batches, since no servers were measured on such a chip;"
            " its error band is at least that of generic"
        )


def _foreign(profile: Profile, chip: Chip) -> str:
    """A profile of other chips than this one: which they are, and how far its errors still hold."""
    whose = f"fitted to {', '.join(profile.chips_measured)}, " if profile.chips_measured else ""
    if not profile.is_for(chip):
        whose = f"which applies to {', '.join(profile.applies)}, {whose}" if profile.applies else whose
    if profile.error is None:
        kept = ""
    elif profile.error.floor:
        kept = f"; its error band widened to that of {profile.error.floor} where that is wider"
    else:
        kept = "; its error band is that of a chip left out of the fit"
    return f"efficiencies of profile {profile.name}, {whose}not measured on {chip.name}{kept}"


def _hardware(scenario: Scenario) -> Iterator[str]:
    yield from _slice(scenario)
    chip = scenario.platform.chip
    if chip.status != "shipping":
        yield f"{chip.name} is {chip.status}: its figures are not final"
    if chip.vector is None:
        yield f"what is no matrix product takes the time of its bytes: vector units of {chip.name} unknown"
    if scenario.plan.reserve is None and chip.system_share > scenario.profile.reserve:
        yield f"{percent(chip.system_share)} of memory left to the system of {chip.name} (--reserve)"
    yield from _power(scenario.platform)
    yield from _rent(scenario)
    yield from _blank(scenario)
    guessed = list(_guesses(scenario))
    if guessed:
        yield f"assumed in the catalog: {', '.join(guessed)}"


def _slice(scenario: Scenario) -> Iterator[str]:
    """Which chips of a torus take part, where not all do."""
    levels, chips = scenario.platform.levels, scenario.plan.chips
    if is_torus(levels) and 1 < chips < scenario.platform.chips:
        box = " x ".join(f"{size}" for size in compact(int(chips), tuple(level.size for level in levels)))
        yield f"{chips:g} chips of {scenario.platform.name} are a slice of {box}"


def _power(platform: Platform) -> Iterator[str]:
    """What a chip's power stands for: its share of the whole machine's, or its own."""
    watts = chip_power_w(platform)
    if watts is None:
        return
    whose = {
        PLATFORM: f"its share of {platform.name}'s",
        CHIPS_AND_HOSTS: "its own and a share of the hosts'",
        CHIPS: "its own, no host",
    }[power_basis(platform) or CHIPS]
    split = platform.chip.power_split
    shares = (split.static, split.compute, split.memory, split.network)
    parts = ":".join(f"{share * 10:g}" for share in shares)
    yield f"peak power {quantity(watts, 'W')} a chip ({whose}), {parts} static, compute, memory, network"


def _rent(scenario: Scenario) -> Iterator[str]:
    """On what basis the price stands: bases differ between chips."""
    platform = scenario.platform
    if scenario.plan.price_usd_per_hour is not None:
        return
    noun: Chip | Platform = platform if platform.price_usd_per_hour is not None else platform.chip
    source, dollars = noun.sources.get("price"), chip_price_usd_per_hour(platform)
    if source is not None and dollars is not None:
        yield f"rent {quantity(dollars, 'USD/h')} a chip ({source.reference})"


def _blank(scenario: Scenario) -> Iterator[str]:
    """Why energy or cost have no number, and what gives them one."""
    platform = scenario.platform
    price = scenario.plan.price_usd_per_hour
    lacks = []
    if chip_power_w(platform) is None:
        lacks.append(("power", "--set power"))
    if price is None and chip_price_usd_per_hour(platform) is None:
        lacks.append(("rent", "--price"))
    if lacks:
        names, cures = zip(*lacks, strict=True)
        yield f"no {' and no '.join(names)} of {platform.chip.name} known (give {', '.join(cures)})"


def _guesses(scenario: Scenario) -> Iterator[str]:
    """Numbers in use whose source is `assumed`, by their path."""
    platform, plan = scenario.platform, scenario.plan
    chip = platform.chip
    dtype = compute_dtype(plan, chip)
    used = [f"peaks.{dtype}", "vector", "power", "power_split"]
    used += [f"sparse_speedup.{part_dtype(plan, chip, part)}" for part in PARTS if plan.sparsity]
    used += [f"memory.{name}" for name, tier in chip.memory.items() if tier.role == "storage"]
    yield from _assumed("chip", chip, used)
    used = ["power", "host_power"]
    if plan.chips > 1:
        used.append("levels")
    if plan.chips > platform.chips:
        used.append("scale_out")
    yield from _assumed("platform", platform, used)


def _assumed(root: str, noun: Chip | Platform, used: list[str]) -> Iterator[str]:
    for path, source in noun.sources.items():
        if _is_guess(source) and any(path == name or path.startswith(f"{name}.") for name in used):
            yield f"{root} {path.removeprefix('levels.').replace('.', ' ').replace('_', '-')}"


def _is_guess(source: Source) -> bool:
    return source.kind == "assumed" and source.reference != "set by the user"
