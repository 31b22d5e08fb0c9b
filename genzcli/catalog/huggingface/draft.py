"""A model on its way from a config to a catalog file: plain values under the keys of that file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from genzcli.catalog.huggingface.config import Config

#: One layer as the catalog writes it: {"attention": {...}, "mlp": {...}, "norms": 2}.
Layer: TypeAlias = dict[str, Any]


class Draft:
    """What a family's reader found."""

    def __init__(
        self,
        config: Config,
        layers: Sequence[Layer],
        *,
        tied: bool = False,
        positions: int = 0,
        context: int | None = None,
        d_model: int | None = None,
        vocab: int | None = None,
    ) -> None:
        self.layers = list(layers)
        self.d_model = width(config) if d_model is None else d_model
        self.vocab = config.count("vocab_size") if vocab is None else vocab
        said = config.around("tie_word_embeddings", "tie_embedding")
        self.tied = tied if said is None else config.truth(said, "tie_word_embeddings")
        self.positions = positions
        self.context = context or _context(config)
        self.precision: dict[str, str] = {}
        self.expert_format = ""
        self.notes: list[str] = []
        self.mtp: tuple[int, Layer] | None = None  # modules that predict, and the layer in each
        #: Layers of an encoder or a vision tower, and its other keys.
        self.encoder: tuple[list[Layer], dict[str, Any]] | None = None
        self.vision: tuple[list[Layer], dict[str, Any]] | None = None

    @property
    def has_experts(self) -> bool:
        return any("moe" in layer for layer in self.layers)


def width(config: Config) -> int:
    """Width of the residual stream."""
    return config.count("hidden_size", "n_embd", "d_model", "n_embed")


#: Beyond any model; lists of layers are built from it.
_MOST_LAYERS = 10_000


def depth(config: Config, *keys: str, default: int | None = None) -> int:
    """Number of layers, under the usual keys or these."""
    keys = keys or ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    layers = config.count(*keys, default=default)
    if layers > _MOST_LAYERS:
        raise config.wrong(keys[0], layers, f"at most {_MOST_LAYERS}")
    return layers


#: What is written where there is no limit.
_ENDLESS = 10**9


def _context(config: Config) -> int | None:
    value = config.get(
        "max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "model_max_length"
    )
    if value is None or value in (0, -1) or (isinstance(value, int | float) and value > _ENDLESS):
        return None
    return config.whole(value, "max_position_embeddings")


# --- the layers as named blocks and runs of them ---

_MIXERS = {
    "mla": "mla",
    "mamba": "mamba",
    "mamba2": "mamba",
    "linear_attention": "linear",
    "short_convolution": "convolution",
    "side_by_side": "hybrid",
}


def named(layers: Sequence[Layer]) -> tuple[dict[str, Layer], list[str]]:
    """The distinct layers under names that tell them apart, and the name of each layer in order."""
    kinds: list[Layer] = []
    for layer in layers:
        if layer not in kinds:
            kinds.append(layer)
    names = [_word(kind, kinds) for kind in kinds]
    for index, name in enumerate(names):
        if names.count(name) > 1 or name in names[:index]:
            alike = [i for i, other in enumerate(names) if other == name]
            for number, position in enumerate(alike, 1):
                names[position] = f"{name}-{number}"
    blocks = dict(zip(names, kinds, strict=True))
    return blocks, [names[kinds.index(layer)] for layer in layers]


def _word(kind: Layer, kinds: Sequence[Layer]) -> str:
    """A name from what sets this layer apart: how it mixes, then its feed-forward part."""
    partial = {"window", "chunk"} & {key for other in kinds for key in other.get("attention", ())}
    mixing, feeding = _mixing(kind, bool(partial)), _feeding(kind)
    words = [mixing] if len({_mixing(other, bool(partial)) for other in kinds}) > 1 else []
    words += (
        [feeding]
        if not mixing or len({_feeding(other) for other in kinds if _mixing(other, False)}) > 1
        else []
    )
    return "-".join(word for word in words if word) or "layer"


def _mixing(kind: Layer, partial: bool) -> str:
    if "reuse" in kind:
        return "shared"
    squeezed = kind.get("compressed_attention")
    if squeezed is not None:
        return f"entries-of-{squeezed['ratio']}" if "ratio" in squeezed else "window"
    attention = kind.get("attention")
    if attention is None and "cross_attention" in kind:
        return "across"
    if attention is None:
        return next((word for key, word in _MIXERS.items() if key in kind), "")
    whole = "sparse" if "index" in attention else "global" if partial else "attention"
    whole = "local" if "window" in attention else "chunked" if "chunk" in attention else whole
    return f"{whole}-reader" if "shares_kv" in attention else whole


def _feeding(kind: Layer) -> str:
    return "moe" if "moe" in kind else "dense" if "mlp" in kind else ""


def runs(order: Sequence[str]) -> Iterator[tuple[list[str], int]]:
    """The layers as (pattern, repeat), each time the pattern that reaches farthest."""
    at = 0
    while at < len(order):
        best, times = 1, _times(order, at, 1)
        for size in range(2, min(16, (len(order) - at) // 2) + 1):
            again = _times(order, at, size)
            if again > 1 and again * size > best * times:
                best, times = size, again
        yield list(order[at : at + best]), times
        at += best * times


def _times(order: Sequence[str], at: int, size: int) -> int:
    pattern, count = order[at : at + size], 1
    while order[at + count * size : at + (count + 1) * size] == pattern:
        count += 1
    return count
