"""One value against its schema, and one noun against itself. Shared by files and by `--set`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

from genzcli import units
from genzcli.catalog.document import Node, join
from genzcli.errors import CatalogError, GenzError, UnitError, nearest
from genzcli.errors import shortened as shortened
from genzcli.spec.dtype import Precision, dtype
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.model import (
    Attention,
    Block,
    CompressedAttention,
    CrossAttention,
    Encoder,
    LatentAttention,
    Model,
    Moe,
    Vision,
)
from genzcli.spec.noun import Field, Noun
from genzcli.spec.profile import Profile

# The corners that square roots can make (see genzcli.numeric.corner).
CORNERS = (0.5, 1.0, 2.0, 4.0, math.inf)

_LIST_AT_MOST = 24  # known keys an error prints in full


def unknown_key(node: Node, key: str, path: str, known: list[str]) -> NoReturn:
    """Refuse a key of a mapping, with the nearest known ones, and all of them where they are few."""
    near = nearest(key, known)
    parts = [f"did you mean {', '.join(near)}?"] if near else []
    if len(known) <= _LIST_AT_MOST:
        parts.append(f"known keys: {', '.join(known)}")
    where = node.key_where(key, join(path, key))
    raise CatalogError(f"unknown key {key!r}", where=where, cure=" ".join(parts))


def number(
    text: str, item: Field, where: str, current: float | None = None, *, change: bool = False
) -> float | int:
    """The SI value of `text` for a numeric field, within its bounds; `change` allows `*2`, `+20%`."""
    value = units.edit(current, text, item.unit, where) if change else units.parse(text, item.unit, where)
    return bounded(value, text, item, where)


def bounded(value: float, text: str, item: Field, where: str) -> float | int:
    """`value` if the field may hold it."""
    if item.name == "corner":
        if value not in CORNERS:
            raise UnitError(f"{text.strip()} is no corner", where=where, cure="take 0.5, 1, 2, 4 or inf")
        return value
    if math.isinf(value):
        raise UnitError("infinity is not a value here", where=where, cure="give a finite number")
    if item.name == "crowding" and value * 2 != int(value * 2):
        raise UnitError(f"{text.strip()} is no crowding", where=where, cure="take halves: 0, 0.5, 1, 1.5, …")
    if item.kind == "count" and value != int(value):
        raise UnitError(
            f"{units.show(value, '', 6)} is not a whole number", where=where, cure=f"it counts: {item.doc}"
        )
    broken, bound = "", 0.0
    if item.above is not None and not value > item.above:
        broken, bound = "must be above", item.above
    elif item.least is not None and value < item.least:
        broken, bound = "must be at least", item.least
    elif item.most is not None and value > item.most:
        broken, bound = "must be at most", item.most
    if broken:
        message = f"{text.strip()} {broken} {units.show(bound, item.unit, 6)}"
        raise UnitError(message, where=where, cure=f"it is {item.doc}")
    return int(value) if item.kind == "count" else value


def word(text: str, item: Field, where: str) -> Any:
    """The value of a flag, a choice or a text."""
    if item.kind == "flag":
        flags = {"true": True, "yes": True, "false": False, "no": False}
        if text.lower() not in flags:
            raise CatalogError(f"{text!r} is neither true nor false", where=where, cure="write yes or no")
        return flags[text.lower()]
    if item.kind == "choice" and text not in item.choices:
        near = nearest(text, item.choices, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        cure = f"{meant}choose from {', '.join(item.choices)}"
        raise CatalogError(f"{shortened(text)} is not one of the choices", where=where, cure=cure)
    if not text.isprintable():
        raise CatalogError(f"{shortened(text)} holds a control character", where=where, cure="remove it")
    return text


def format_name(text: str, where: str) -> str:
    """The one name of a number format."""
    try:
        return dtype(text)
    except GenzError as error:
        raise CatalogError(error.message, where=where, cure=error.cure) from None


def precision(text: str, where: str) -> Precision:
    """The formats that one word stands for: fp8, w4a16."""
    try:
        return Precision.of(text)
    except GenzError as error:
        raise type(error)(error.message, where=where, cure=error.cure) from None


def number_key(item: Field, key: str, where: str) -> str:
    """The name of an entry of a `numbers` field; those of peaks are number formats."""
    return format_name(key, where) if item.name in ("peaks", "sparse_speedup") else key


def consistent(noun: Noun, where: str) -> None:
    """Raise when a noun's fields, each fine alone, cannot be true together."""
    for cls, rule in _RULES:
        if isinstance(noun, cls) and (found := rule(noun)):
            message, cure = found
            raise CatalogError(message, where=where, cure=cure)


def _attention(noun: Attention) -> tuple[str, str] | None:
    if noun.heads % noun.kv_heads:
        return (
            f"heads {noun.heads} is not a multiple of kv_heads {noun.kv_heads}",
            "each KV head serves equally many",
        )
    return None


def _block(noun: Block) -> tuple[str, str] | None:
    if noun.mixer is None and noun.feedforward is None and noun.cross_attention is None:
        return "the block is empty", "give it `attention:`, another mixer, `mlp:` or `moe:`"
    return None


def _cross(noun: CrossAttention) -> tuple[str, str] | None:
    if noun.heads % noun.kv_heads:
        return (
            f"heads {noun.heads} is not a multiple of kv_heads {noun.kv_heads}",
            "each KV head serves equally many",
        )
    return None


def _tower(noun: Encoder | Vision) -> tuple[str, str] | None:
    """Towers are plain: softmax attention and dense MLPs, every block in use."""
    for name, block in noun.blocks.items():
        if not isinstance(block.mixer, Attention | None) or isinstance(block.feedforward, Moe):
            return f"block {name!r} has more than attention and an mlp", "a tower is built of these two"
        if block.cross_attention is not None:
            return f"block {name!r} has cross_attention", "only a decoder looks across"
        around = (block.joins, block.streams, block.layer_embedding, block.branch_rank, block.reuse)
        sparse = isinstance(block.mixer, Attention) and block.mixer.index is not None
        if sparse or any(part is not None for part in around):
            return f"block {name!r} has more than attention and an mlp", "a tower is built of these two"
        if name not in dict(noun.stack):
            return f"no layer uses the block {name!r}", "use it in `layers`, or remove it"
    unknown = next((name for name, _ in noun.stack if name not in noun.blocks), None)
    return None if unknown is None else (f"layers use an unknown block {unknown!r}", "name it in `blocks`")


def _moe(noun: Moe) -> tuple[str, str] | None:
    if noun.experts_per_token > noun.experts:
        return (
            f"experts_per_token {noun.experts_per_token} exceeds experts {noun.experts}",
            "swap or correct them",
        )
    if noun.groups_per_token > noun.groups:
        said = f"groups_per_token {noun.groups_per_token} exceeds groups {noun.groups}"
        return said, "swap or correct them"
    if noun.experts % noun.groups:
        return f"{noun.experts} experts are no {noun.groups} equal groups", "correct `groups`"
    within = noun.experts // noun.groups * noun.groups_per_token
    if noun.experts_per_token > within:
        said = f"a token visits {noun.experts_per_token} experts, and its groups have {within}"
        return said, "raise `groups_per_token`"
    return None


def _chip(noun: Chip) -> tuple[str, str] | None:
    if not any(tier.role == "storage" for tier in noun.memory.values()):
        return "the chip has caches but no memory to hold a model", "give one tier `role: storage`"
    split = noun.power_split
    total = float(split.static + split.compute + split.memory + split.network)
    if abs(total - 1) > 1e-6:
        return f"the shares of power_split add to {total:.4g}, not 1", "correct the shares"
    return None


def _platform(noun: Platform) -> tuple[str, str] | None:
    names = [level.name for level in noun.levels]
    twice = next((name for name in names if names.count(name) > 1), None)
    if noun.power_w is not None and noun.host_power_w is not None:
        return (
            "power is all that the platform draws, and host_power a part of it",
            "give one, none of the other",
        )
    return (f"two levels are named {twice!r}", "name each level differently") if twice else None


def _model(noun: Model) -> tuple[str, str] | None:
    for name, _ in noun.stack:
        if name not in noun.blocks:
            return f"layers use an unknown block {name!r}", f"known blocks: {', '.join(noun.blocks)}"
    blocks = noun.blocks.values()
    if noun.looks_across and noun.encoder is None and noun.vision is None:
        return "cross_attention has nothing to look at", "add an `encoder:` or a `vision:` tower"
    if noun.encoder is not None and not noun.looks_across:
        return "no layer looks at the encoder", "give the decoder's blocks `cross_attention:`"
    if noun.encoder is not None and noun.vision is not None:
        return "an encoder beside a vision tower", "one of them: cross-attention looks at one thing"
    if all(block.mixer is None for block in blocks):
        return "'attention' or another mixer is missing", "no layer of the model sees more than one token"
    kinds = (Attention, LatentAttention, CompressedAttention)
    if all(isinstance(b.mixer, kinds) and b.feedforward is None for b in blocks):
        return "'mlp' or 'moe' is missing", "no layer of the model has a feed-forward part"
    used = {name for name, _ in noun.stack}
    if noun.mtp is not None and noun.mtp.block not in noun.blocks:
        return f"mtp uses an unknown block {noun.mtp.block!r}", f"known blocks: {', '.join(noun.blocks)}"
    if noun.mtp is not None and noun.blocks[noun.mtp.block].cross_attention is not None:
        return "an mtp module looks across", "name a block without cross_attention"
    used |= set() if noun.mtp is None else {noun.mtp.block}
    idle = next((name for name in noun.blocks if name not in used), None)
    return (f"no layer uses the block {idle!r}", "use it in `layers`, or remove it") if idle else None


def _profile(noun: Profile) -> tuple[str, str] | None:
    if "default" not in noun.operators:
        return "operators has no 'default'", "add one for the kinds not listed"
    for name, fit in noun.collectives.items():
        if fit.ways and all(way.most_bytes is not None for way in fit.ways.values()):
            return f"every way of {name!r} ends at a size", "leave `most` out of one"
        if fit.exchanges and not name.endswith("all-to-all"):
            return f"{name!r} has exchanges", "they are of `all-to-all`, or `level.all-to-all`"
    return None


_RULES: tuple[tuple[type[Noun], Callable[[Any], tuple[str, str] | None]], ...] = (
    (Attention, _attention),
    (CrossAttention, _cross),
    (Encoder, _tower),
    (Vision, _tower),
    (Block, _block),
    (Moe, _moe),
    (Chip, _chip),
    (Platform, _platform),
    (Model, _model),
    (Profile, _profile),
)
