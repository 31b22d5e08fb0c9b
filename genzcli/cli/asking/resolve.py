"""From words to a scenario: the one way in for `run` and for scenario files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

from genzcli import slo
from genzcli.catalog import check
from genzcli.catalog.load import Catalog
from genzcli.catalog.path.change import set_path
from genzcli.cli.asking.request import NUMBERS, PIXELS, SHARE, TENSORS, Request, hourly
from genzcli.engine.counts.speculation import MTP, NGRAM
from genzcli.engine.machine.placement import KINDS
from genzcli.errors import CatalogError, GenzError, PlanError, UnknownNameError, WordError, nearest
from genzcli.report.words import named
from genzcli.spec.dtype import Precision, dtype, pattern
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.model import Model
from genzcli.spec.noun import Noun
from genzcli.spec.profile import Profile
from genzcli.spec.workload import DraftSite, Plan, Scenario, UseCase

N = TypeVar("N")

AXES = ("tp", "pp", "dp", "ep")
#: Degrees whose product is the number of chips.
_SHAPE = AXES[:3]


class Parts(NamedTuple):
    """The nouns of a scenario while it is put together."""

    model: Model
    platform: Platform
    usecase: UseCase
    plan: Plan
    profile: Profile


class Edit(NamedTuple):
    """One `--set`, and the noun in which its path was found."""

    root: str
    path: str
    value: str


class Resolved(NamedTuple):
    """A scenario, and what is remembered of how it was asked for."""

    request: Request
    scenario: Scenario
    hardware: str  # the chip or platform that was named, as the catalog calls it
    bare: bool  # a chip was named
    fixed: Mapping[str, int]  # degrees the user gave
    edits: tuple[Edit, ...]
    note: str  # how the parallelism came about; empty where the user gave it

    @property
    def label(self) -> str:
        """The hardware that was named, and its file where it is not built in."""
        platform = self.scenario.platform
        return named(platform.chip if self.bare else platform)

    def placed(self, error: GenzError) -> GenzError:
        """An error of the engine, with the place where the user wrote what is wrong."""
        return _placed(error, self.request)


class Loaded(NamedTuple):
    """Everything that was said, before what was left out is chosen."""

    request: Request
    parts: Parts
    bare: bool
    fixed: dict[str, int]
    chips: int
    edits: tuple[Edit, ...]

    @property
    def given(self) -> dict[str, int]:
        """The degrees that were said, without those that follow from them."""
        return _fixed(self.parts.plan, self.request, self.edits)

    @property
    def picks_chips(self) -> bool:
        """Whether the number of chips follows from the load: some degrees of a platform's plan are said."""
        given = self.given.keys() & set(_SHAPE)
        return self.request.chips is None and not self.bare and 0 < len(given) < len(_SHAPE)

    @property
    def scenario(self) -> Scenario:
        return Scenario(name=self.request.name, **self.parts._asdict())

    @property
    def hardware(self) -> str:
        return str(self._asked.name)

    @property
    def label(self) -> str:
        """The hardware by its name, and its file where it is not built in."""
        return named(self._asked)

    @property
    def _asked(self) -> Chip | Platform:
        return self.parts.platform.chip if self.bare else self.parts.platform


def resolve(request: Request) -> Resolved:
    """Load what is named, apply what is said, choose what is left out."""
    loaded = load(request)
    try:
        scenario, note = _laid_out(loaded.scenario, loaded.chips, loaded.fixed)
    except GenzError as error:
        raise _placed(error, request) from None
    return Resolved(loaded.request, scenario, loaded.hardware, loaded.bare, loaded.fixed, loaded.edits, note)


def load(request: Request) -> Loaded:
    """Load what is named, apply what is said."""
    try:
        return _load(request)
    except GenzError as error:
        raise _placed(error, request) from None


@lru_cache(maxsize=8)
def _catalog(folders: tuple[str, ...], here: str, path: str) -> Catalog:
    """One catalog for all scenarios that search the same places: what is read once is kept."""
    return Catalog(folders)


def _load(request: Request) -> Loaded:
    catalog = _catalog(request.catalog, os.getcwd(), os.environ.get("GENZ_PATH", ""))
    request = _counted(request, catalog)
    model = _model(request, catalog)
    platform, bare = _named(request, "hardware", catalog.hardware, request.hardware)
    usecase = _usecase(request, catalog, model)
    stack = request.stack or "generic"
    plan = _plan(request, model, usecase)
    profile = _named(
        request, "stack", lambda word: catalog.profile(word, platform.chip, plan.batching), stack
    )
    _refuse_idle(request)
    plan = _drafting(request, catalog, model, plan)
    parts = Parts(model, platform, usecase, plan, profile)
    parts, edits = _edited(request, parts)
    fixed = _fixed(parts.plan, request, edits)
    chips = _chips(request, parts, bare, fixed)
    return Loaded(request, parts, bare, fixed, chips, edits)


# --- places ---


def _named(request: Request, word: str, load: Callable[[str], N], name: str) -> N:
    """What a name stands for; an error that names no place of its own gets the word's."""
    try:
        return load(name)
    except GenzError as error:
        raise (error if error.where else error.at(request.where(word))) from None


def _model(request: Request, catalog: Catalog) -> Model:
    """The model; a scenario file in its place is a question that `check` answers."""
    try:
        return _named(request, "model", catalog.model, request.model)
    except CatalogError:
        from genzcli.cli.asking.scenarios import answered_by

        command = answered_by(request.model)
        if not command:
            raise
        cure = f"`genz {command} {request.model}` answers it"
        message = f"{request.model} is a scenario file, not a model"
        raise PlanError(message, where=request.where("model"), cure=cure) from None


def _counted(request: Request, catalog: Catalog) -> Request:
    """`8xh100` and `h100:8` are eight of them, of a platform eight whole ones; a name of this form stays."""
    count, name = _count_of(request.hardware)
    if not name or catalog.knows_hardware(request.hardware):
        return request
    platform, bare = _named(request, "hardware", catalog.hardware, name)
    chips = count * (1 if bare else int(cast(float, platform.chips)))
    given = _number(request, "chips")
    if given is not None and given != chips:
        cure = f"keep one: {request.hardware} is {chips} chips"
        message = f"{given} and {request.hardware} differ"
        raise PlanError(message, where=request.where("chips"), cure=cure)
    return request._replace(hardware=name, chips=str(chips))


def _count_of(text: str) -> tuple[int, str]:
    """The number and the name in `8xh100`, `8 × h100` or `h100:8`; no name where it is none of these."""
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    sign, name = text[len(digits) :].lstrip()[:1], text[len(digits) :].lstrip()[1:].strip()
    if not digits or sign not in ("x", "X", "*", "×"):
        name, _, digits = text.rpartition(":")
    counts = digits.isascii() and digits.isdigit() and digits.strip("0") and len(digits) < 7
    return (int(digits), name) if counts else (0, "")


def _placed(error: GenzError, request: Request) -> GenzError:
    """The engine names flags; in a scenario file the place is a line."""
    if not request.places:
        return error
    place, cure = error.where, _as_keys(error.cure)
    if place.startswith("--"):
        flag, _, rest = place.removeprefix("--").partition(" ")
        place = _as_keys(place)
        if flag in request.places:
            place = request.places[flag] + (f" {rest}" if rest else "")
    return type(error)(error.message, where=place, cure=cure)


def _as_keys(text: str) -> str:
    """Flags as a scenario file has them: `--uneven pad` is `uneven: pad`, `--batch` is `batch`."""
    for value in ("pad", "static"):
        flag, sign, rest = text.partition(f" {value}")
        start = flag.rfind("--")
        if sign and start >= 0 and " " not in flag[start:]:
            text = f"{flag[:start]}`{flag[start + 2 :]}: {value}`{rest}"
    return text.replace(" --", " ").removeprefix("--")


def _refuse_idle(request: Request) -> None:
    """Words that say how to do what is not done."""
    for words, idle, message, cure in (
        (
            ("draft_hardware", "draft_chips", "draft_latency", "draft_tokens", "accept", "expectation"),
            request.draft is None,
            "says how to draft, and nothing drafts",
            "name what drafts: --draft MODEL, mtp or ngram",
        ),
        (
            ("draft_chips", "draft_latency"),
            request.draft_hardware is None,
            "says where to draft, and the draft has no chips of its own",
            "name the draft's own chips: --draft-hardware NAME",
        ),
        (
            ("alpha",),
            request.routing != "power-law",
            f"says how skewed, and routing is {request.routing or 'uniform'}",
            "add --routing power-law",
        ),
        (
            ("lora_adapters", "lora_on"),
            request.lora_rank is None,
            "says how adapters are used, and there are none",
            "give their rank: --lora-rank R",
        ),
    ):
        found = next((word for word in words if getattr(request, word) is not None), None)
        if idle and found is not None:
            raise PlanError(message, where=request.where(found), cure=cure)


# --- the words, one by one ---


def _number(request: Request, word: str) -> float | int | None:
    """A word that is a number, within its bounds; None where it was left out."""
    text = getattr(request, word)
    if text is None:
        return None
    if word == "price":
        text = hourly(text)
    return check.number(text, NUMBERS[word], request.where(word))


def _word(request: Request, word: str, noun: type[Noun] = Plan) -> Any:
    """A word that is a choice or a flag of the plan; None where it was left out."""
    text = getattr(request, word)
    return None if text is None else check.word(text, noun.fields[word], request.where(word))


def _pattern(request: Request) -> str | None:
    """N:M sparsity as one word; None where it was left out."""
    if request.sparsity is None:
        return None
    kept, of = pattern(request.sparsity, where=request.where("sparsity"))
    return f"{kept}:{of}"


def _image_tokens(request: Request, model: Model) -> float | int | None:
    """Tokens of an image: as given, or as a tower makes them of its size: sides over that of a token."""
    given, size = _number(request, "image_tokens"), request.image_size
    if size is None:
        return given
    where = request.where("image_size")
    if given is not None:
        raise PlanError("the size of an image and its tokens are both given", where=where, cure="keep one")
    side = None if model.vision is None else model.vision.token_side
    if side is None:
        has = "no vision tower" if model.vision is None else "images of one size"
        cure = "leave it out" if model.vision is None else "leave it out, or give --image-tokens"
        raise PlanError(f"{model.name} has {has}", where=where, cure=cure)
    sides = size.lower().split("x")
    if len(sides) != 2:
        raise WordError(f"{size!r} is no size", where=where, cure="write it in pixels, as 1920x1080")
    pixels = [check.number(part, PIXELS, where) for part in sides]
    across, down = (max(1, round(float(length) / float(side))) for length in pixels)
    return across * down


def _usecase(request: Request, catalog: Catalog, model: Model) -> UseCase:
    """The use case named, with the tokens, beams and objectives given in its place."""
    base = UseCase()
    if request.usecase is not None:
        base = _named(request, "usecase", catalog.usecase, request.usecase)
    given = {
        "input_tokens": _number(request, "input"),
        "output_tokens": _number(request, "output"),
        "beams": _number(request, "beams"),
        "images": _number(request, "images"),
        "image_tokens": _image_tokens(request, model),
    }
    named = tuple(slo.parse_slo(text, where) for text, where in request.slo)
    changes = {key: value for key, value in given.items() if value is not None}
    return base.replace(slo=slo.merge(base.slo, named), **changes)


def _plan(request: Request, model: Model, usecase: UseCase) -> Plan:
    """Everything of the plan but its degrees."""
    batch, batching = _batch(request, usecase)
    given = {
        "sp": _word(request, "sp"),
        "routing": _word(request, "routing"),
        "imbalance": _number(request, "imbalance"),
        "alpha": _number(request, "alpha"),
        "redundant_experts": _number(request, "redundant_experts"),
        "sparsity": _pattern(request),
        "lora_rank": _number(request, "lora_rank"),
        "lora_adapters": _number(request, "lora_adapters"),
        "lora_on": _word(request, "lora_on"),
        "uneven": _word(request, "uneven"),
        "flash": _word(request, "flash"),
        "fused": _word(request, "fused"),
        "overlap": _number(request, "overlap"),
        "chunk": _number(request, "chunk"),
        "prefix_hit": _number(request, "prefix_hit"),
        "kv_keep": _number(request, "kv_keep"),
        "weight_density": _number(request, "weight_density"),
        "draft_tokens": _number(request, "draft_tokens"),
        "accept": _number(request, "accept"),
        "expectation": _word(request, "expectation"),
        "placement": _word(request, "placement"),
        "attention_on": request.attention_on,
        "offload": None if request.offload is None else _offload(request, request.offload),
        "place": _placement(request) if request.place else None,
        "reserve": _number(request, "reserve"),
        "price_usd_per_hour": _number(request, "price"),
        **{axis: _number(request, axis) for axis in AXES},
    }
    changes = {key: value for key, value in given.items() if value is not None}
    precision = precision_of(request, model.precision)
    return Plan(precision=precision, batch=batch, batching=batching, **changes)


def _list(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _offload(request: Request, text: str) -> tuple[str, ...]:
    """The memories behind a link, nearest first."""
    found, where = _list(text), request.where("offload")
    if not found:
        raise WordError("names no memory", where=where, cure="name one, as host, or leave it out")
    twice = next((name for index, name in enumerate(found) if name in found[:index]), None)
    if twice is not None:
        raise WordError(f"{twice} is given twice", where=where, cure="keep one")
    return found


def _placement(request: Request) -> dict[str, dict[str, float]]:
    """`kv=host`, `weights=hbm:0.8,host:0.2`: for a kind of tensor, the share in each memory."""
    found: dict[str, dict[str, float]] = {}
    for text, where in request.place:
        kind, sign, memories = (piece.strip() for piece in text.partition("="))
        if kind not in KINDS or not sign or not memories:
            cure = f"write it as kv=host or weights=hbm:0.8,host:0.2; kinds: {', '.join(KINDS)}"
            raise WordError(f"{check.shortened(text)} places nothing", where=where, cure=cure)
        if kind in found:
            raise WordError(f"{kind} is placed twice", where=where, cure="keep one")
        found[kind] = {}
        for part in _list(memories):
            name, sign, share = (piece.strip() for piece in part.partition(":"))
            if name in found[kind]:
                raise WordError(f"{name} is given twice for {kind}", where=where, cure="keep one")
            found[kind][name] = check.number(share, SHARE, where) if sign else 1.0
    return found


def _drafting(request: Request, catalog: Catalog, model: Model, plan: Plan) -> Plan:
    """Who drafts and where; a model's own modules draft a token each unless told otherwise."""
    if request.draft is None:
        return plan
    if request.draft in (MTP, NGRAM):
        plan = plan.replace(draft=request.draft)
        if request.draft == MTP and model.mtp is not None and request.draft_tokens is None:
            plan = plan.replace(draft_tokens=model.mtp.modules)
    else:
        plan = plan.replace(draft=_named(request, "draft", catalog.model, request.draft))
    return plan.replace(draft_on=_draft_site(request, catalog))


def _draft_site(request: Request, catalog: Catalog) -> DraftSite | None:
    """The draft's own chips; the stack is the other chips', or the generic one where it has no such."""
    name = request.draft_hardware
    if name is None:
        return None
    platform, bare = _named(request, "draft_hardware", catalog.hardware, name)
    try:
        profile = catalog.profile(request.stack or "generic", platform.chip)
    except UnknownNameError:
        profile = catalog.profile("generic", platform.chip)
    chips = _number(request, "draft_chips") or (1 if bare else platform.chips)
    latency = _number(request, "draft_latency")
    return DraftSite(platform=platform, profile=profile, chips=chips, latency_s=latency)


def _batch(request: Request, usecase: UseCase) -> tuple[int, str]:
    """The batch, or the concurrency of a server; the use case's own where neither is given."""
    batch, together = _number(request, "batch"), _number(request, "concurrency")
    batching = _word(request, "batching") or ("static" if together is None else "continuous")
    if together is not None and batching == "static":
        cure = "use --batch, or leave --batching static out"
        raise PlanError("a static batch has no concurrency", where=request.where("concurrency"), cure=cure)
    if together is not None and batch is not None and batch != together:
        cure = "keep one: with continuous batching the batch is the concurrency"
        message = f"batch {batch} and concurrency {together} differ"
        raise PlanError(message, where=request.where("concurrency"), cure=cure)
    return int(cast(float, together or batch or usecase.batch or 1)), batching


def precision_of(request: Request, published: Precision) -> Precision:
    """`fp8`, or `weights=int4,kv=fp8` over the published formats, or `fp8,kv=bf16` over a word."""
    if request.precision is None:
        return published
    where, base = request.where("precision"), published
    changes: dict[str, Any] = {}
    for position, part in enumerate(request.precision.split(",")):
        tensor, sign, word = (piece.strip() for piece in part.partition("="))
        if not sign and position == 0:
            base = check.precision(tensor, where)
            continue
        if tensor not in TENSORS:
            near = nearest(tensor, TENSORS, 1) or list(TENSORS)
            cure = f"try {', '.join(near)}, as weights=int4,kv=fp8"
            raise WordError(f"unknown kind of tensor {tensor!r}", where=where, cure=cure)
        if tensor in changes:
            raise WordError(f"{tensor} is given twice", where=where, cure="keep one")
        changes[tensor] = dtype(word, where=where)
    return base.replace(explicit_compute="compute" in changes, **changes)


# --- edits ---


def _edited(request: Request, parts: Parts) -> tuple[Parts, tuple[Edit, ...]]:
    """The parts after every `--set`, in order."""
    edits: list[Edit] = []
    for text, where in request.set:
        path, sign, value = text.partition("=")
        if not sign:
            cure = "write it as memory.hbm.bandwidth=4TB/s, =*2 or =+20%"
            raise CatalogError(f"{text!r} has no value", where=where, cure=cure)
        parts, edit = _edit(request, parts, path.strip(), value.strip(), where)
        edits.append(edit)
    return parts, tuple(edits)


def _edit(request: Request, parts: Parts, path: str, value: str, where: str) -> tuple[Parts, Edit]:
    old = parts._asdict()
    try:
        new = set_path(old, path, value)
    except GenzError as error:
        if where == "--set":
            raise
        own = where.startswith(("--over", "--change"))  # names the path itself
        raise (type(error)(error.message, where=where, cure=error.cure) if own else error.at(where)) from None
    root = next(name for name in old if new[name] is not old[name])
    made = Parts(**cast(Any, new))
    if root == "usecase" and made.usecase.batch != parts.usecase.batch and request.batch is None:
        made = made._replace(plan=made.plan.replace(batch=made.usecase.batch or 1))
    if root == "model" and request.precision is None:
        made = made._replace(plan=made.plan.replace(precision=made.model.precision))
    return made, Edit(root, path, value)


# --- parallelism ---


def _fixed(plan: Plan, request: Request, edits: tuple[Edit, ...]) -> dict[str, int]:
    """The degrees the user gave, by flag or by `--set`."""
    named = {axis for axis in AXES if getattr(request, axis) is not None}
    named |= {edit.path.rpartition(".")[2] for edit in edits if edit.root == "plan"} & set(AXES)
    return {axis: int(cast(float, getattr(plan, axis))) for axis in AXES if axis in named}


def _chips(request: Request, parts: Parts, bare: bool, fixed: dict[str, int]) -> int:
    """How many chips: as said; else the whole platform, where the degrees leave a plan for it; else what the
    degrees make, or one chip."""
    platform = parts.platform
    given = _number(request, "chips")
    product = 1
    for axis in _SHAPE:
        product *= fixed.get(axis, 1)
    if given is None:
        if not fixed.keys() & set(_SHAPE):
            return 1 if bare else int(cast(float, platform.chips))
        whole = int(cast(float, platform.chips))
        if not bare and not fixed.keys() >= set(_SHAPE) and _fills(parts, whole, fixed):
            return whole
        fixed |= {axis: 1 for axis in _SHAPE if axis not in fixed}
        return product
    chips, all_given = int(given), fixed.keys() >= set(_SHAPE)
    if chips % product or (all_given and chips != product):
        degrees = " x ".join(f"{axis} {fixed[axis]}" for axis in _SHAPE if axis in fixed)
        cure = "tp x pp x dp is the number of chips; change one of them, or leave one out"
        message = f"{degrees} = {product} does not make {chips} chip{'s' * (chips != 1)}"
        raise PlanError(message, where=request.where("chips"), cure=cure)
    return chips


def _fills(parts: Parts, chips: int, fixed: Mapping[str, int]) -> bool:
    """Whether some plan with the degrees given uses all of `chips`."""
    from genzcli.explore.plan import candidates

    return next(candidates(parts.model, parts.plan, chips, fixed), None) is not None


def _laid_out(scenario: Scenario, chips: int, fixed: Mapping[str, int]) -> tuple[Scenario, str]:
    """The scenario with every degree set, and how those left out were chosen."""
    from genzcli.explore.plan import as_given, choose

    whole = as_given(scenario, fixed)
    if whole is not None:
        return whole, ""
    choice = choose(scenario, chips, fixed)
    return choice.scenario, choice.note
