"""Number formats: how many bits a stored element takes, and at what a chip computes it."""

from __future__ import annotations

from collections.abc import Mapping

from genzcli.errors import WordError, nearest
from genzcli.spec.noun import Noun, flag, text

# Bits per stored element, block scales included. MXFP4, 6 and 8: 32 elements share an 8-bit scale (OCP
# MX v1.0, 4.25, 6.25, 8.25). NVFP4: 16 share an FP8 scale (4.5). int4, int3 and int2: groups of 128 with a
# 16-bit scale (AWQ, GPTQ: 4.125). The coarser scales of fp8, fp6 and int8 (a tensor, a channel or a block
# of 128 x 128) are below 0.1 %.
PLAIN: Mapping[str, float] = {
    "fp32": 32,
    "tf32": 32,
    "bf16": 16,
    "fp16": 16,
    "fp8": 8,
    "mxfp8": 8.25,
    "int8": 8,
    "fp6": 6,
    "mxfp6": 6.25,
    "int4": 4.125,
    "fp4": 4.5,
    "mxfp4": 4.25,
    "int3": 3.125,
    "int2": 2.125,
}

# Integers whose scale is shared by fewer or more than 128 elements: int4g32 is 4 + 16 / 32 = 4.5 bits.
_GROUPS = (16, 32, 64, 256)
_GROUPED: Mapping[str, float] = {
    f"int{bits}g{group}": bits + 16 / group for bits in (8, 4, 3, 2) for group in _GROUPS
}

# Words of llama.cpp, with the integers they are nearest to. The plain ones are blocks of 32 with their scales
# (18, 20, 22, 24 and 34 bytes), which are caches too; Q6_K is 210 bytes for 256. The others are recipes that
# mix such blocks, so here is their mean over a model: Llama-3.1-8B in the README of its tools/quantize.
_MEANS: Mapping[str, tuple[str, float]] = {
    "q8_0": ("int8", 8.5),
    "q6_k": ("int8", 6.5625),
    "q5_1": ("int8", 6.0),
    "q5_k_m": ("int8", 5.7036),
    "q5_k_s": ("int8", 5.5704),
    "q5_0": ("int8", 5.5),
    "q4_1": ("int4", 5.0),
    "q4_k_m": ("int4", 4.8944),
    "iq4_nl": ("int4", 4.6818),
    "q4_k_s": ("int4", 4.6672),
    "q4_0": ("int4", 4.5),
    "iq4_xs": ("int4", 4.4597),
    "q3_k_l": ("int3", 4.2979),
    "q3_k_m": ("int3", 4.004),  # not in that table: 4.02 GB of the same model, less its vocabulary
    "iq3_m": ("int3", 3.7628),
    "iq3_s": ("int3", 3.6606),
    "q3_k_s": ("int3", 3.6429),
    "iq3_xs": ("int3", 3.4977),
    "iq3_xxs": ("int3", 3.2548),
    "q2_k": ("int2", 3.1593),
    "iq2_m": ("int2", 2.9294),
    "iq2_s": ("int2", 2.7403),
    "iq2_xs": ("int2", 2.5882),
    "iq2_xxs": ("int2", 2.3824),
}

# The output matrix, and an embedding that is tied to it, are of wider blocks: Q6_K, and Q5_K (5.5 bits, as
# q5_0) for the narrowest recipes. Source: llama.cpp, src/llama-quant.cpp, llama_tensor_get_type_impl.
_FINE_HEAD = frozenset({"iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs"})
HEADS: Mapping[str, str] = {
    name: "q5_0" if name in _FINE_HEAD else "q6_k" for name in _MEANS if name not in ("q8_0", "q6_k")
}
_BLOCKS = ("q8_0", "q6_k", "q5_1", "q5_0", "q4_1", "q4_0")  # of one kind of blocks, the head apart
_HEAD_SHARE = 128256 * 4096 / 8.030e9  # of Llama-3.1-8B, whose means these are


def _body(name: str) -> float:
    """Bits of all but the head: the mean over the model without the head's part of it."""
    mean = _MEANS[name][1]
    if name in _BLOCKS:
        return mean
    return (mean - _HEAD_SHARE * _MEANS[HEADS[name]][1]) / (1 - _HEAD_SHARE)


GGUF: Mapping[str, tuple[str, float]] = {name: (near, _body(name)) for name, (near, _) in _MEANS.items()}

# QLoRA (arXiv 2305.14314): 64 elements share an 8-bit scale, 256 of these one of 32 bits: 4 + 0.127 bits.
_NORMAL: Mapping[str, tuple[str, float]] = {"nf4": ("int4", 4.127)}

_NEAREST: Mapping[str, tuple[str, float]] = {**GGUF, **_NORMAL}

BITS: Mapping[str, float] = {**PLAIN, **_GROUPED, **{name: bits for name, (_, bits) in _NEAREST.items()}}

ALIASES: Mapping[str, str] = {
    "float32": "fp32",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "f32": "fp32",
    "f16": "fp16",
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "e4m3": "fp8",
    "nvfp4": "fp4",
    "q3_k": "q3_k_m",
    "q4_k": "q4_k_m",
    "q5_k": "q5_k_m",
    **{f"int{bits}g128": f"int{bits}" for bits in (4, 3, 2)},
}

# Words of the quantisation literature: formats of weights and of what they are multiplied with. AWQ and GPTQ
# are taken in their usual form, 4 bits in groups of 128; MLX has a 16-bit scale and offset every 64 elements,
# as many bits as a scale every 32.
_SCHEMES: Mapping[str, tuple[str, str]] = {
    "w4a16": ("int4", "bf16"),
    "w8a16": ("int8", "bf16"),
    "w8a8": ("int8", "int8"),
    "awq": ("int4", "bf16"),
    "gptq": ("int4", "bf16"),
    "mlx_4bit": ("int4g32", "bf16"),
    "mlx_8bit": ("int8g32", "bf16"),
}

_LONGEST_PATTERN = 64

#: Parts of the weights that may be stored each in a format of its own.
PARTS = ("weights", "experts", "attention", "embeddings")

# Where a chip has no native peak for a format, the formats it may compute it at, nearest first.
_WIDER: Mapping[str, tuple[str, ...]] = {
    "int2": ("int3", "int4", "int8", "bf16", "fp16", "tf32", "fp32"),
    "int3": ("int4", "int8", "bf16", "fp16", "tf32", "fp32"),
    "int4": ("int8", "bf16", "fp16", "tf32", "fp32"),
    "mxfp4": ("fp4", "fp6", "fp8", "bf16", "fp16", "tf32", "fp32"),
    "fp4": ("mxfp4", "fp6", "fp8", "bf16", "fp16", "tf32", "fp32"),
    "mxfp6": ("fp6", "mxfp8", "fp8", "bf16", "fp16", "tf32", "fp32"),
    "mxfp8": ("fp8", "bf16", "fp16", "tf32", "fp32"),
    "fp6": ("mxfp6", "fp8", "bf16", "fp16", "tf32", "fp32"),
    "int8": ("bf16", "fp16", "tf32", "fp32"),
    "fp8": ("bf16", "fp16", "tf32", "fp32"),
    "bf16": ("fp16", "tf32", "fp32"),
    "fp16": ("bf16", "tf32", "fp32"),
    "tf32": ("fp32",),
    "fp32": (),
}


def dtype(word: str, *, where: str = "") -> str:
    """The format's one name; an unknown word is an error with the nearest names."""
    name = word.strip().lower().replace("-", "_")
    if "_g" in name:  # int4-g32
        name = name.replace("_g", "g")
    name = ALIASES.get(name, name)
    if name not in BITS:
        if name in _SCHEMES:
            weights, compute = _SCHEMES[name]
            cure = f"write {name} alone, or weights={weights},compute={compute}"
            raise WordError(
                f"{name} is a scheme of several tensors, no format of one", where=where, cure=cure
            )
        near = nearest(name, [*BITS, *ALIASES, *_SCHEMES]) or list(PLAIN)
        raise WordError(f"unknown number format {word!r}", where=where, cure=f"try {', '.join(near)}")
    return name


def bytes_per_element(name: str) -> float:
    """Bytes one stored element takes, block scales included."""
    return BITS[name] / 8


def base(name: str) -> str:
    """The format without its scales: that of int4g32 and of q4_k_m is int4."""
    if name in _NEAREST:
        return _NEAREST[name][0]
    return name.partition("g")[0] if name in _GROUPED else name


def width(name: str) -> int:
    """Bits of an element itself, scales left out."""
    return int(BITS[base(name)])


def native(name: str, peaks: Mapping[str, object]) -> str | None:
    """The format at which a chip with these peaks computes `name`: itself, or the next wider it has."""
    name = base(name)
    return next((item for item in (name, *_WIDER[name]) if item in peaks), None)


def pattern(word: str, *, where: str = "") -> tuple[int, int]:
    """(N, M) of `N:M` structured sparsity: N of every M weights in a row are kept, N below M."""
    kept, sign, of = (part.strip() for part in word.partition(":"))
    if (
        sign
        and word.isascii()
        and kept.isdigit()
        and of.isdigit()
        and 1 <= int(kept) < int(of) <= _LONGEST_PATTERN
    ):
        return int(kept), int(of)
    cure = f"write N:M with 1 <= N < M <= {_LONGEST_PATTERN}, as 2:4"
    raise WordError(f"{word!r} is not a pattern of structured sparsity", where=where, cure=cure)


def pattern_bytes(name: str, word: str) -> float:
    """Bytes a weight takes under `N:M`: N / M of the elements, each with ceil(log2 M) bits that say which.

    Two bits a kept element for 2:4. Source: Mishra et al., arXiv 2104.08378, section 3.
    """
    kept, of = pattern(word)
    return kept / of * (BITS[name] + (of - 1).bit_length()) / 8


class Precision(Noun):
    """How each kind of tensor is stored, and in which format matrix products run."""

    weights: str = text("weights, embedding and head included")
    experts: str = text("weights of the routed experts; like the other weights if left out", default="")
    attention: str = text("weights of attention and other mixers; like the others if left out", default="")
    embeddings: str = text(
        "embedding and LM head; like the other weights if left out (with llama.cpp's words, its head)",
        default="",
    )
    kv: str = text("KV cache or recurrent state")
    activations: str = text("activations and the messages of collectives")
    compute: str = text("format matrix products run in")
    explicit_compute: bool = flag(
        "True when the user named compute: then the chip must have it", default=False
    )

    def stored(self, part: str) -> str:
        """Storage format of a part of the weights: `weights`, `experts`, `attention`, `embeddings` or `head`.

        The head is stored as the embedding is, but where a recipe of llama.cpp keeps it wider.
        """
        if part == "head":
            return self.embeddings or HEADS.get(self.weights, self.weights)
        return getattr(self, part) or self.weights

    def computed(self, part: str) -> str:
        """Format in which a part's matrix products are meant to run.

        `compute`, or the part's own where it is stored wider than that: bf16 attention beside FP4 experts
        runs in bf16. The `kernel` (attention, scan) has the cache for operand, so a bf16 cache is multiplied
        in bf16. A compute format that the user named goes for all.
        """
        stored = self.kv if part == "kernel" else self.stored(part)
        wider = not self.explicit_compute and width(stored) > width(self.compute)
        return stored if wider else self.compute

    @classmethod
    def of(cls, word: str) -> Precision:
        """One word: weights, KV cache and compute in that format, activations in bf16 (fp32 stays fp32).

        w4a16 and w8a16 quantise the weights alone and compute in bf16; w8a8 computes in int8. Their
        cache is bf16. So do the words of llama.cpp in fp16, which is its cache (`q4_k_m`), and nf4 in bf16.
        """
        scheme = _SCHEMES.get(word.strip().lower().replace("-", "_"))
        if scheme is not None:
            weights, compute = scheme
            return cls(weights=weights, kv="bf16", activations="bf16", compute=compute)
        name = dtype(word)
        if name in _NEAREST:
            wide = "fp16" if name in GGUF else "bf16"
            return cls(weights=name, kv=wide, activations=wide, compute=wide)
        activations = name if name in ("fp32", "fp16") else "bf16"
        return cls(weights=name, kv=name, activations=activations, compute=name)
