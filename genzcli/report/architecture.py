"""A model as a person would draw it: the stack from tokens to logits, its parameters, what it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from genzcli.engine.counts import anatomy, residual
from genzcli.engine.counts.parameters import parameters
from genzcli.report.page import Table
from genzcli.report.words import count, formats, many, percent, quantity
from genzcli.spec.model import (
    Attention,
    Block,
    CompressedAttention,
    CrossAttention,
    Encoder,
    Indexer,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mamba2,
    Mixer,
    Mlp,
    Model,
    Moe,
    Reuse,
    ShortConvolution,
    SideBySide,
    Vision,
)
from genzcli.units import NONE

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: Lengths for which a sequence's memory is printed, as far as the model goes.
_LENGTHS = (1024, 8192, 32768, 131072, 1048576)

_TITLES = {
    "vision": "vision tower",
    "layer_embeddings": "embeddings of each layer",
    "attention": "attention",
    "recurrent": "Mamba, linear attention, convolutions",
    "residual": "around the layers' parts",
    "reuse": "what each use has for itself",
    "shared_experts": "shared experts",
    "expert_projections": "to the experts' width and back",
    "mlp": "MLP",
    "head": "LM head",
}


def summary(model: Model) -> str:
    """`61 layers · width 7168 · 671.9B parameters, 38.4B active · context 163.8k · published as fp8`."""
    counted = parameters(model)
    active = counted.active
    some = f", {many(active, 4)} active a token" if active < 0.995 * counted.total else ""
    pieces = [
        *([f"{model.encoder.layers} encoder layers"] if model.encoder is not None else []),
        f"{model.layers} {'decoder ' if model.encoder is not None else ''}layers",
        f"width {count(model.d_model)}",
        f"{many(counted.total, 4)} parameters{some}",
        *([f"context {many(model.max_context)}"] if model.max_context is not None else []),
        f"published as {formats(model.precision, model.precision.compute)}",
    ]
    return " · ".join(pieces)


def tables(model: Model) -> Iterator[Table]:
    """The drawing, the parameters, the cache."""
    yield _drawing(model)
    yield _parameters(model)
    yield _layers(model)
    yield _sequences(model)


# --- the drawing ---

Row = tuple[str, str, str]


def _drawing(model: Model) -> Table:
    """The stack in the order of a pass, equal layers once."""
    width = count(model.d_model)
    rows: list[Row] = []
    if model.vision is not None:
        rows += _vision(model.vision, model)
    shape = f"{count(model.vocab)} tokens × {width}" + (", tied to the LM head" * model.tied_embeddings)
    rows.append(("embedding", shape, many(model.vocab * model.d_model)))
    if model.positions:
        learned = model.positions * model.d_model
        rows.append(("positions", f"{count(model.positions)} × {width}, learned", many(learned)))
    if model.encoder is not None:
        rows += _encoder(model.encoder, model)
    ends = residual.end_elements(model)
    if ends:
        streams = f"{count(residual.count(model))} of one, and one of them behind the layers"
        rows.append(("streams", streams, many(2 * ends)))
    rows += _stack("decoder" if model.encoder is not None else "layers", model.stack)
    for name, repeat in _kinds(model.stack):
        rows += _block(name, repeat, model.blocks[name], float(model.d_model), len(model.blocks) == 1)
    rows.append(("final norm", width, many(model.d_model)))
    stored = NONE if model.tied_embeddings else many(model.vocab * model.d_model)
    rows.append(("LM head", f"{width} to {count(model.vocab)} logits", stored))
    if model.mtp is not None:
        kind = (
            f"one {_named(model.mtp.block, model)} layer on stream and next token, shares embedding and head"
        )
        each = f"{many(parameters(model).mtp / model.mtp.modules)} each"
        rows.append((f"{count(model.mtp.modules)} × MTP module", kind, each))
    strong = tuple(index for index, row in enumerate(rows) if not row[0].startswith(" "))
    return Table("Architecture", ("part", "shape", "parameters"), "llr", tuple(rows), strong=strong)


def _named(block: str, model: Model) -> str:
    """A kind of layer, where there are several."""
    return block if len(model.blocks) > 1 else "such"


def _stack(word: str, stack: Sequence[tuple[str, int]]) -> list[Row]:
    """One row that says how the kinds of layer follow one another, where there are several."""
    return [(word, pattern(stack), "")] if len({name for name, _ in stack}) > 1 else []


def _encoder(encoder: Encoder, model: Model) -> list[Row]:
    rows: list[Row] = [("encoder", f"{pattern(encoder.stack)}, every token sees all", "")]
    for name, repeat in _kinds(encoder.stack):
        inner = _block(name, repeat, encoder.blocks[name], float(model.d_model), len(encoder.blocks) == 1)
        rows += _indented(inner)
    return rows


def _vision(vision: Vision, model: Model) -> list[Row]:
    merged = f"{count(vision.merge)} patches a token, " if vision.merge > 1 else ""
    where = "under cross-attention" if model.looks_across else "in the prompt"
    shape = f"{merged}{count(vision.tokens)} tokens an image, {where}"
    rows: list[Row] = [("vision tower", shape, "")]
    patched = vision.patch * vision.d_model
    rows.append(("  patches", f"{count(vision.patch)} values to {count(vision.d_model)}", many(patched)))
    for name, repeat in _kinds(vision.stack):
        inner = _block(name, repeat, vision.blocks[name], float(vision.d_model), len(vision.blocks) == 1)
        rows += _indented(inner)
    if vision.projector:
        through = sum(a * b for a, b in zip(vision.projector, vision.projector[1:], strict=False))
        times = f"{count(vision.projectors)} × " if vision.projectors > 1 else ""
        widths = " to ".join(map(str, vision.projector))
        rows.append(("  projector", f"{times}{widths}", many(through * vision.projectors)))
    return rows


def _indented(rows: Sequence[Row]) -> list[Row]:
    return [(f"  {part}", shape, size) for part, shape, size in rows]


def _block(name: str, repeat: int, block: Block, d_model: float, alone: bool) -> list[Row]:
    """A kind of layer: its number, then its parts, each with the weights of one layer."""
    mixing, looking, feeding = anatomy.elements(block, d_model)
    inside: list[Row] = []
    if block.mixer is not None:
        inside.append((*_mixer(block.mixer), many(mixing)))
    if block.cross_attention is not None:
        inside.append(("cross-attention", _cross(block.cross_attention), many(looking)))
    if block.feedforward is not None:
        inside.append((*_feedforward(block.feedforward, d_model), many(feeding)))
    around = anatomy.around(block, d_model)
    inside += _around(block, around)
    title = f"{repeat} × {'layer' if alone else name}"
    norms = f"{count(block.norms)} norm{'s' if block.norms != 1 else ''}"
    beside = "its parts side by side, one sum, " if block.parallel else ""
    whole = mixing + looking + feeding + block.norms * d_model + sum(around.values())
    shared, once = "", "each"
    if block.reuse is not None:
        shared, once, whole = ", one set of weights for all", "once", whole - around["reuse"]
    rows: list[Row] = [(title, f"{beside}{norms}{shared}", f"{many(whole)} {once}")]
    ends = ["├"] * (len(inside) - 1) + ["└"]
    rows += [(f"  {end} {part}", shape, size) for end, (part, shape, size) in zip(ends, inside, strict=True)]
    return rows


def _around(block: Block, sizes: Mapping[str, Number]) -> Iterator[Row]:
    """What stands around the parts of a layer."""
    if block.streams is not None:
        mixed = {"altup": "AltUp"}.get(block.streams.rule, block.streams.rule)
        yield "streams", f"{count(block.streams.count)}, {mixed}", many(sizes["streams"])
    if block.branch_rank is not None:
        yield "branch", f"beside the mixer, rank {count(block.branch_rank)}", many(sizes["branch"])
    own = block.layer_embedding
    if own is not None:
        table = f"{count(own.vocab)} tokens × {count(own.width)}, gated and added"
        yield "its own embedding", table, many(sizes["layer_embedding"])
    if block.reuse is not None and sizes["reuse"]:
        yield "each use", ", ".join(_own(block.reuse)), f"{many(sizes['reuse'])} each"


def _own(reuse: Reuse) -> Iterator[str]:
    """What each use of shared layers has for itself."""
    if reuse.attention_rank is not None:
        yield f"adapters of rank {count(reuse.attention_rank)} on Q, K, V"
    if reuse.mlp_rank is not None:
        yield f"adapters of rank {count(reuse.mlp_rank)} on the MLP"
    if reuse.link:
        yield "a projection behind it"


def _kinds(stack: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Each kind once, with its number of layers."""
    totals: dict[str, int] = {}
    for name, repeat in stack:
        totals[name] = totals.get(name, 0) + int(repeat)
    return list(totals.items())


def pattern(stack: Sequence[tuple[str, int]]) -> str:
    """`8 × (5 local, global), 2 local`: the order of the layers, repeats found."""
    if len({name for name, _ in stack}) == 1:
        return f"{sum(repeat for _, repeat in stack)} layers"
    words = [_times(repeat, name) for name, repeat in stack]
    said: list[str] = []
    at = 0
    while at < len(words):
        size, times = _longest(words, at)
        group = ", ".join(words[at : at + size])
        said.append(f"{times} × ({group})" if times > 1 else group)
        at += size * times
    return ", ".join(said)


def _times(repeat: int, name: str) -> str:
    return name if repeat == 1 else f"{repeat} {name}"


def _longest(words: Sequence[str], at: int) -> tuple[int, int]:
    """The group that starts here and covers most by repeating: (its length, how often)."""
    best = (1, 1)
    for size in range(1, (len(words) - at) // 2 + 1):
        group, times = words[at : at + size], 1
        while words[at + times * size : at + (times + 1) * size] == group:
            times += 1
        if times > 1 and size * times > best[0] * best[1]:
            best = (size, times)
    return best


# --- parts in words ---


def _mixer(part: Mixer) -> tuple[str, str]:
    """The kind of a mixer and its shape."""
    match part:
        case Attention():
            return _attention(part)
        case LatentAttention():
            query = "" if part.q_rank is None else f", queries through {count(part.q_rank)}"
            best = "" if part.index is None else f", {_picked(part.index)}"
            cached = f"latent {count(part.kv_rank)} + {count(part.rope_dim)} rotary"
            return "MLA", f"{count(part.heads)} heads, {cached}{query}{best}"
        case Mamba():
            return "Mamba", f"{count(part.d_inner)} channels × state {count(part.d_state)}"
        case Mamba2():
            heads = f"{count(part.heads)} heads of {count(part.head_dim)}"
            return "Mamba-2", f"{heads} × state {count(part.d_state)}"
        case LinearAttention():
            state = f"state {count(part.key_dim)} × {count(part.value_dim)} each"
            keys = f"{count(part.key_heads)} key heads"
            return "linear attention", f"{count(part.value_heads)} heads, {state}, {keys}"
        case CompressedAttention():
            past = f"window {count(part.window)}"
            past += "" if part.ratio is None else f" and an entry each {count(part.ratio)} tokens"
            best = "" if part.index is None else f", best {count(part.index.top_k)} of an indexer"
            return (
                "compressed attention",
                f"{count(part.heads)} heads of {count(part.head_dim)}, {past}{best}",
            )
        case ShortConvolution():
            return "short convolution", f"{count(part.channels)} channels, {count(part.d_conv)} taps, gated"
        case SideBySide():
            (kind, shape), (_, beside) = _attention(part.attention), _mixer(part.mamba2)
            return f"{kind} beside Mamba-2", f"{shape}; {beside}"


def _attention(part: Attention) -> tuple[str, str]:
    kind = "MHA" if part.kv_heads == part.heads else "MQA" if part.kv_heads == 1 else "GQA"
    values = f" and {count(part.d_value)}" if part.d_value != part.head_dim else ""
    heads = f"{count(part.heads)} heads of {count(part.head_dim)}{values}"
    words = [f"{heads}, {count(part.kv_heads)} KV" if kind != "MHA" else heads]
    if part.window is not None:
        words.append(f"window {count(part.window)}")
    if part.chunk is not None:
        words.append(f"chunks of {count(part.chunk)}")
    words += ["reads an earlier cache"] * part.shares_kv + ["K is V"] * part.k_is_v
    words += ["gated output"] * part.output_gate
    words += [] if part.d_input is None else [f"reads a width of {count(part.d_input)}"]
    words += [] if part.q_rank is None else [f"queries through {count(part.q_rank)}"]
    words += [] if part.index is None else [_picked(part.index)]
    return f"{kind} attention", ", ".join(words)


def _picked(index: Indexer) -> str:
    """What sparse attention reads."""
    by = "an earlier layer's indexer" if index.reuses else "an indexer"
    return f"best {count(index.top_k)} keys of {by}"


def _cross(part: CrossAttention) -> str:
    return f"{count(part.heads)} heads of {count(part.head_dim)}, {count(part.kv_heads)} KV"


def _feedforward(part: Mlp | Moe, d_model: float) -> tuple[str, str]:
    gate = "gated" if part.gated else "plain"
    if isinstance(part, Mlp):
        return "MLP", f"{count(d_model)} to {count(part.d_ff)} to {count(d_model)}, {gate}"
    shared = f", shared width {count(part.d_shared)}" if part.d_shared else ""
    narrow = f", in a space of {count(part.d_latent)}" if part.d_latent is not None else ""
    chosen = f"{count(part.experts_per_token)} of {count(part.experts)} experts"
    if part.limited:
        chosen += f" in {count(part.groups_per_token)} of {count(part.groups)} groups"
    return "MoE", f"{chosen} of width {count(part.d_expert)}, {gate}{shared}{narrow}"


# --- parameters ---


def _parameters(model: Model) -> Table:
    """By part, then what all and one token use, beside what the authors say."""
    counted, said = parameters(model), model.published
    total = counted.total
    rows = [
        (_TITLES.get(name, name), many(value, 4), percent(value / total), "")
        for name, value in anatomy.parts(model, counted).items()
        if value > 0
    ]
    stated = None if said is None else said.parameters
    rows.append(("total", many(total, 4), "100 %", _stated(total, stated)))
    strong = [len(rows) - 1]
    if counted.active < 0.995 * total or (said is not None and said.active_parameters is not None):
        left_out = "nothing" if said is None else said.active_leaves_out
        active = counted.active_less(left_out)
        title = "active a token" + (f", less {left_out.replace('-', ' ')}" if left_out != "nothing" else "")
        stated = None if said is None else said.active_parameters
        rows.append((title, many(active, 4), percent(active / total), _stated(active, stated)))
        strong.append(len(rows) - 1)
    if counted.mtp:
        rows.append(("MTP, held when it drafts", many(counted.mtp, 4), percent(counted.mtp / total), ""))
    columns = ("part", "computed", "share", "published")
    return Table("Parameters", columns, "lrrr", tuple(rows), strong=tuple(strong))


def _stated(computed: Number, stated: Number | None) -> str:
    """`671B (+0.1 %)`: what the authors say, and how far the count is from it."""
    if stated is None:
        return NONE
    off = (float(computed) / float(stated) - 1) * 100
    return f"{many(stated, 4)} ({off:+.1f} %)" if abs(off) >= 0.05 else many(stated, 4)


# --- the cache ---


def _layers(model: Model) -> Table:
    """What each kind of layer keeps of a token, and of a sequence."""
    kv = model.precision.kv
    rows, total, across, bounded = [], 0.0, 0.0, ""
    for item in anatomy.kept(model, kv):
        token, looked = float(item.token_bytes), float(item.across_bytes)
        total, across = total + token * item.layers, across + looked * item.layers
        label = f"{item.layers} × {item.block if len(model.blocks) > 1 else 'layer'}"
        if token:
            until = "all tokens" if item.limit is None else f"the last {count(item.limit)} tokens"
            bounded = bounded if item.limit is None else ", windows not yet full"
            if model.encoder is not None:
                until = "all output tokens"
            rows.append((label, _size(token), _size(token * item.layers), until))
        if looked:
            what = "all input tokens" if model.encoder is not None else "all image tokens"
            rows.append((label, _size(looked), _size(looked * item.layers), what))
        if item.state_bytes:
            state = float(item.state_bytes)
            rows.append((label, _size(state), _size(state * item.layers), "one state a sequence"))
    if not rows:
        rows.append(("no layer", NONE, NONE, "nothing"))
    foot = f"A token more takes {_size(total)} in all{bounded}." if total else ""
    foot += f" A token that is looked at takes {_size(across)}." if across else ""
    columns = ("layers", "one layer", "all of them", "kept of")
    return Table(f"Cache and state in {kv}", columns, "lrrl", tuple(rows), foot.strip())


def _size(value: float) -> str:
    return quantity(value, "bytes")


def _sequences(model: Model) -> Table:
    """Cache and state of one sequence, by its length."""
    longest = model.max_context
    lengths = [n for n in _LENGTHS if longest is None or n <= longest]
    if longest is not None and longest not in lengths:
        lengths.append(int(longest))
    kinds = list(dict.fromkeys((model.precision.kv, "bf16", "fp8")))
    rows = tuple(
        (count(n), *(_size(float(anatomy.sequence_bytes(model, n, kind))) for kind in kinds))
        for n in sorted(lengths)
    )
    return Table("One sequence keeps", ("tokens", *kinds), "r" * (len(kinds) + 1), rows)
