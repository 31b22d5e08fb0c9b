"""The few fields that a schema line cannot describe: one small reader each.

A reader takes the mapping that holds its keys and gives values by field name; a field it leaves out
keeps its default, or is reported missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from genzcli.catalog import check
from genzcli.catalog.document import Node, join
from genzcli.errors import CatalogError
from genzcli.spec.dtype import PARTS, Precision
from genzcli.spec.hardware import Chip, Level, Platform
from genzcli.spec.metric import limit, metric_name
from genzcli.spec.model import (
    Attention,
    Block,
    CompressedAttention,
    Encoder,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mamba2,
    Mlp,
    Model,
    Moe,
    ShortConvolution,
    SideBySide,
    Vision,
)
from genzcli.spec.noun import Field, Noun, count
from genzcli.spec.source import Source
from genzcli.spec.workload import Slo, UseCase

if TYPE_CHECKING:
    from genzcli.catalog.build import Builder

#: Fields that hold one of several nouns, each under a key of its own.
UNIONS: Mapping[tuple[type[Noun], str], Mapping[str, type[Noun]]] = {
    (Block, "mixer"): {
        "attention": Attention,
        "mla": LatentAttention,
        "compressed_attention": CompressedAttention,
        "mamba": Mamba,
        "mamba2": Mamba2,
        "linear_attention": LinearAttention,
        "short_convolution": ShortConvolution,
        "side_by_side": SideBySide,
    },
    (Block, "feedforward"): {"mlp": Mlp, "moe": Moe},
}

#: The name of the block of a model whose layers are all alike.
ONLY_BLOCK = "layer"

PRECISION_KEYS = (*PARTS, "kv", "activations", "compute")

_MOST_LAYERS = 10_000
REPEAT: Field = count("how many layers in a row", most=_MOST_LAYERS)
REPEAT.named("repeat")

WIDTH: Field = count("a width of the projector")
WIDTH.named("projector")

#: Nouns with layers: a stack of blocks.
_STACKED: tuple[type[Noun], ...] = (Model, Encoder, Vision)

Reader = Callable[["Builder", Node, str, Source | None], dict[str, Any]]


def fields_of(cls: type[Noun]) -> set[str]:
    """Names of the fields of `cls` that are read here."""
    names = {name for owner, name in UNIONS if owner is cls}
    return names | {name for group, _, _ in _READERS.get(cls, ()) for name in group}


def keys_of(cls: type[Noun]) -> list[str]:
    """Keys that those fields use in a file."""
    keys = [key for (owner, _), words in UNIONS.items() if owner is cls for key in words]
    return keys + [key for _, group, _ in _READERS.get(cls, ()) for key in group]


def keys_for(cls: type[Noun], item: Field) -> list[str]:
    """Keys that could give the field `item` of `cls`, for the error that it is missing."""
    if cls in _STACKED and item.name == "blocks":
        return ["layers"]
    if (cls, item.name) in UNIONS:
        return list(UNIONS[cls, item.name])
    return [item.key]


def example_for(cls: type[Noun], item: Field) -> str:
    """What to write where such a field is missing; empty where its meaning says it."""
    return "write `layers: 32`, their number" if cls in _STACKED and item.name == "blocks" else ""


def class_of(item: Field) -> type[Noun]:
    """The class of a nested noun."""
    of = item.of
    return cast(type[Noun], of if isinstance(of, type) else of() if of else Noun)


def build(builder: Builder, node: Node, cls: type[Noun], path: str, source: Source | None) -> dict[str, Any]:
    """Values of the special fields of a noun of class `cls`."""
    values: dict[str, Any] = {}
    for (owner, name), words in UNIONS.items():
        if owner is cls:
            values |= _union(builder, node, name, words, path, source)
    for _, _, reader in _READERS.get(cls, ()):
        values |= reader(builder, node, path, source)
    return values


def _union(
    builder: Builder, node: Node, name: str, words: Mapping[str, type[Noun]], path: str, source: Source | None
) -> dict[str, Any]:
    entries = node.mapping(path)
    found = [key for key in words if key in entries]
    if len(found) > 1:
        where = node.key_where(found[1], join(path, found[1]))
        raise CatalogError(
            f"{found[0]!r} and {found[1]!r} exclude each other", where=where, cure="keep one of them"
        )
    if not found:
        return {}
    key = found[0]
    return {name: builder.noun(entries[key], words[key], join(path, key), source)}


# --- a model's layers ---


def block_keys() -> list[str]:
    """Keys of a block, which a model of equal layers writes at its top."""
    return [f.key for f in Block.fields.values() if f.name not in fields_of(Block)] + keys_of(Block)


def _stack(builder: Builder, node: Node, path: str, source: Source | None) -> dict[str, Any]:
    entries = node.mapping(path)
    short = [key for key in block_keys() if key in entries]
    if "blocks" in entries and short:
        where = node.key_where(short[0], join(path, short[0]))
        raise CatalogError(f"{short[0]!r} stands beside 'blocks'", where=where, cure="move it into a block")
    if "layers" not in entries:
        return {}
    read = _blocks if "blocks" in entries else _only_block
    blocks = read(builder, node, path, source)
    layers = entries["layers"]
    if layers.items is not None:
        runs = _runs(builder, layers, join(path, "layers"), source, blocks)
    elif len(blocks) == 1:
        repeat = builder.number(layers, REPEAT, join(path, "layers"), source)
        runs = [(next(iter(blocks)), cast(int, repeat))]
    else:
        cure = "list them, as - {block: " + next(iter(blocks)) + ", repeat: 3}"
        raise CatalogError(
            "a number cannot say which blocks the layers are", where=layers.where("layers"), cure=cure
        )
    return {"blocks": blocks, "stack": merged(runs)}


def _blocks(builder: Builder, node: Node, path: str, source: Source | None) -> dict[str, Noun]:
    return builder.nouns(node.mapping(path)["blocks"], Model.fields["blocks"], join(path, "blocks"), source)


def _only_block(builder: Builder, node: Node, path: str, source: Source | None) -> dict[str, Noun]:
    """The block written beside the number of layers; its citations get the path it has in the model."""
    outer, builder.cited = builder.cited, {}
    block = builder.noun(node.only(block_keys()), Block, "", source)
    inner, builder.cited = builder.cited, outer
    place = join(path, f"blocks.{ONLY_BLOCK}")
    builder.cited |= {f"{place}.{key}": cited for key, cited in inner.items()}
    return {ONLY_BLOCK: block}


def _runs(
    builder: Builder, layers: Node, path: str, source: Source | None, blocks: Mapping[str, Noun]
) -> list[tuple[str, int]]:
    runs: list[tuple[str, int]] = []
    for member in layers.sequence(path):
        names, repeat = _run(builder, member, path, source)
        for name in names:
            if name not in blocks:
                cure = f"known blocks: {', '.join(blocks)}"
                raise CatalogError(f"unknown block {name!r}", where=member.where(path), cure=cure)
        if len(names) * repeat + sum(times for _, times in runs) > _MOST_LAYERS:
            raise CatalogError(
                f"has more than {_MOST_LAYERS} layers", where=member.where(path), cure="check the repeats"
            )
        runs += [(names[0], repeat)] if len(names) == 1 else [(name, 1) for name in names] * repeat
    if not runs:
        raise CatalogError(
            "is empty", where=layers.where(path), cure="list the layers, as - {block: …, repeat: …}"
        )
    return runs


def _run(builder: Builder, node: Node, path: str, source: Source | None) -> tuple[list[str], int]:
    """One entry of `layers`: a block's name, `{block, repeat}` or `{pattern, repeat}`."""
    if node.word is not None:
        return [node.text(path)], 1
    entries = node.mapping(path)
    for key in entries:
        if key not in ("block", "pattern", "repeat", "source"):
            check.unknown_key(node, key, path, ["block", "pattern", "repeat", "source"])
    if ("block" in entries) == ("pattern" in entries):
        cure = "write {block: dense, repeat: 3} or {pattern: [local, global], repeat: 21}"
        raise CatalogError("needs one of 'block' and 'pattern'", where=node.where(path), cure=cure)
    source = builder.source_of(entries, path, source)
    repeat = cast(int, builder.number(entries["repeat"], REPEAT, path, source)) if "repeat" in entries else 1
    if "block" in entries:
        return [entries["block"].text(path)], repeat
    names = [member.text(path) for member in entries["pattern"].sequence(path)]
    if not names:
        raise CatalogError(
            "the pattern is empty", where=node.where(path), cure="name its blocks, as [local, global]"
        )
    return names, repeat


def merged(runs: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """The runs, equal neighbours joined."""
    joined: list[tuple[str, int]] = []
    for name, repeat in runs:
        if joined and joined[-1][0] == name:
            joined[-1] = (name, joined[-1][1] + repeat)
        else:
            joined.append((name, repeat))
    return tuple(joined)


def _projector(builder: Builder, node: Node, path: str, source: Source | None) -> dict[str, Any]:
    """Widths in a row, [4608, 4608, 2048]: a matrix between each and the next."""
    entries = node.mapping(path)
    if "projector" not in entries:
        return {}
    place, member = join(path, "projector"), entries["projector"]
    widths = [builder.number(item, WIDTH, place, source) for item in member.sequence(place)]
    if len(widths) < 2:
        cure = "list the widths it goes through, as [4608, 4608, 2048]"
        raise CatalogError("has no matrix", where=member.where(place), cure=cure)
    return {"projector": tuple(widths)}


# --- the others ---


def _precision(builder: Builder, node: Node, path: str, source: Source | None) -> dict[str, Any]:
    """One format for all, or a mapping; what the mapping leaves out is bf16."""
    entries = node.mapping(path)
    if "precision" not in entries:
        return {}
    place, member = join(path, "precision"), entries["precision"]
    if member.entries is None:
        return {"precision": check.precision(member.text(place), member.where(place))}
    for key in member.entries:
        if key not in PRECISION_KEYS:
            check.unknown_key(member, key, place, list(PRECISION_KEYS))
    named = {
        key: check.format_name(word.text(join(place, key)), word.where(join(place, key)))
        for key, word in member.entries.items()
    }
    return {"precision": Precision.of("bf16").replace(**named)}


def _chip(builder: Builder, node: Node, path: str, source: Source | None) -> dict[str, Any]:
    """The chip of a platform: by name, through the catalog, or written out."""
    entries = node.mapping(path)
    if "chip" not in entries:
        return {}
    place, member = join(path, "chip"), entries["chip"]
    if member.entries is not None:
        chip = builder.noun(member, Chip, place, source)
        inner = {
            key.removeprefix(f"{place}."): s
            for key, s in builder.cited.items()
            if key.startswith(f"{place}.")
        }
        return {"chip": chip.replace(sources=inner)}
    name = member.text(place)
    if builder.chip is None:
        raise CatalogError(
            "a chip cannot be named here", where=member.where(place), cure="write its keys out"
        )
    return {"chip": builder.chip(name, member.where(place))}


def _levels(builder: Builder, node: Node, path: str, source: Source | None) -> dict[str, Any]:
    """Network levels; a path names them by their own name, not by their number."""
    entries = node.mapping(path)
    if "levels" not in entries:
        return {}
    place = join(path, "levels")
    levels: list[Level] = []
    for member in entries["levels"].sequence(place):
        name = member.mapping(place).get("name")
        label = name.word if name is not None and name.word else str(len(levels) + 1)
        levels.append(builder.noun(member, Level, join(place, label), source))
    return {"levels": tuple(levels)}


def _slo(builder: Builder, node: Node, path: str, source: Source | None) -> dict[str, Any]:
    entries = node.mapping(path)
    if "slo" not in entries:
        return {}
    place, table = join(path, "slo"), entries["slo"]
    limits = table.mapping(place)
    source = builder.source_of(limits, place, source)
    return {
        "slo": tuple(
            _objective(builder, limits[key], key, place, source) for key in limits if key != "source"
        )
    }


def _objective(builder: Builder, node: Node, metric: str, path: str, source: Source | None) -> Slo:
    place, note = join(path, metric), ""
    if node.entries is not None:
        node, source, note = builder.detailed(node, place, source)
    where = node.where(place)
    name = metric_name(metric, where)
    builder.cite(node, place, source, note)
    return Slo(metric=name, limit=limit(name, node.text(place), where))


#: By class: the fields a reader gives, the keys it takes, and the reader.
_READERS: dict[type[Noun], tuple[tuple[tuple[str, ...], tuple[str, ...], Reader], ...]] = {
    Platform: ((("chip",), ("chip",), _chip), (("levels",), ("levels",), _levels)),
    UseCase: ((("slo",), ("slo",), _slo),),
}
_LAYERED = (("blocks", "stack"), ("layers", "blocks", *block_keys()), _stack)
_READERS[Encoder] = (_LAYERED,)
_READERS[Vision] = (_LAYERED, (("projector",), ("projector",), _projector))
_READERS[Model] = (
    _LAYERED,
    (("precision",), ("precision",), _precision),
)
