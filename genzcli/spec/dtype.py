"""Number formats: how many bits a stored element takes, and at what a chip computes it."""

from __future__ import annotations

from collections.abc import Mapping

from genzcli.errors import PlanError, nearest
from genzcli.spec.noun import Noun, flag, text

# Bits per stored element, block scales included. MXFP4: 32 elements share an 8-bit scale (OCP MX
# v1.0, 4.25). NVFP4: 16 share an FP8 scale (4.5). int4 and int2: groups of 128 with a 16-bit scale
# (AWQ, GPTQ: 4.125). The coarser scales of fp8 and int8 (a tensor or a channel) are below 0.1 %.
BITS: Mapping[str, float] = {
    "fp32": 32,
    "tf32": 32,
    "bf16": 16,
    "fp16": 16,
    "fp8": 8,
    "int8": 8,
    "fp6": 6,
    "int4": 4.125,
    "fp4": 4.5,
    "mxfp4": 4.25,
    "int2": 2.125,
}

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
}

# Words of the quantisation literature: formats of weights and of what they are multiplied with.
_SCHEMES: Mapping[str, tuple[str, str]] = {
    "w4a16": ("int4", "bf16"),
    "w8a16": ("int8", "bf16"),
    "w8a8": ("int8", "int8"),
}

# Where a chip has no native peak for a format, the formats it may compute it at, nearest first.
_WIDER: Mapping[str, tuple[str, ...]] = {
    "int2": ("int4", "int8", "bf16", "fp16", "tf32", "fp32"),
    "int4": ("int8", "bf16", "fp16", "tf32", "fp32"),
    "mxfp4": ("fp4", "fp6", "fp8", "bf16", "fp16", "tf32", "fp32"),
    "fp4": ("mxfp4", "fp6", "fp8", "bf16", "fp16", "tf32", "fp32"),
    "fp6": ("fp8", "bf16", "fp16", "tf32", "fp32"),
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
    name = ALIASES.get(name, name)
    if name not in BITS:
        near = nearest(name, [*BITS, *ALIASES, *_SCHEMES]) or list(BITS)
        raise PlanError(f"unknown number format {word!r}", where=where, cure=f"try {', '.join(near)}")
    return name


def bytes_per_element(name: str) -> float:
    """Bytes one stored element takes, block scales included."""
    return BITS[name] / 8


def native(name: str, peaks: Mapping[str, object]) -> str | None:
    """The format at which a chip with these peaks computes `name`: itself, or the next wider it has."""
    return next((item for item in (name, *_WIDER[name]) if item in peaks), None)


class Precision(Noun):
    """How each kind of tensor is stored, and in which format matrix products run."""

    weights: str = text("weights, embedding and head included")
    experts: str = text("weights of the routed experts; like the other weights if left out", default="")
    kv: str = text("KV cache or recurrent state")
    activations: str = text("activations and the messages of collectives")
    compute: str = text("format matrix products run in")
    explicit_compute: bool = flag(
        "True when the user named compute: then the chip must have it", default=False
    )

    @classmethod
    def of(cls, word: str) -> Precision:
        """One word: weights, KV cache and compute in that format, activations in bf16 (fp32 stays fp32).

        w4a16 and w8a16 quantise the weights alone and compute in bf16; w8a8 computes in int8. Their
        cache is bf16.
        """
        if word.lower() in _SCHEMES:
            weights, compute = _SCHEMES[word.lower()]
            return cls(weights=weights, kv="bf16", activations="bf16", compute=compute)
        name = dtype(word)
        activations = name if name in ("fp32", "fp16") else "bf16"
        return cls(weights=name, kv=name, activations=activations, compute=name)
