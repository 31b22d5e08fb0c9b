"""What every kind of mixer answers: its operators around and in the kernel, its weights, what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts import attention, compressed, latent, recurrent
from genzcli.engine.counts.ops import Collective, Operator, Shard
from genzcli.engine.counts.spans import DecodeStep, Prefill
from genzcli.spec.model import (
    Attention,
    CompressedAttention,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mamba2,
    Mixer,
    ShortConvolution,
    SideBySide,
)

if TYPE_CHECKING:
    from genzcli.numeric import Number


def parts(mixer: Mixer | None) -> tuple[Mixer, ...]:
    """The mixers that work side by side in a layer: one, but for SideBySide; none in a layer without."""
    if mixer is None:
        return ()
    return (mixer.attention, mixer.mamba2) if isinstance(mixer, SideBySide) else (mixer,)


def before(
    mixer: Mixer, d_model: Number, tokens: Number, shard: Shard, *, decode: bool, fused: bool
) -> tuple[Operator, ...]:
    """Operators ahead of the kernel; they do not depend on the context."""
    return _tagged(_before(mixer, d_model, tokens, shard.mixing, decode=decode, fused=fused))


def _before(
    mixer: Mixer, d_model: Number, tokens: Number, shard: Shard, *, decode: bool, fused: bool
) -> tuple[Operator, ...]:
    match mixer:
        case Attention():
            return attention.before(mixer, d_model, tokens, shard, fused=fused)
        case LatentAttention():
            return latent.before(mixer, d_model, tokens, shard, decode=decode)
        case CompressedAttention():
            return compressed.before(mixer, d_model, tokens, shard)
        case SideBySide():
            first = attention.before(mixer.attention, d_model, tokens, shard, fused=fused)
            return (*first, *recurrent.before(mixer.mamba2, d_model, tokens, shard))
        case _:
            return recurrent.before(mixer, d_model, tokens, shard)


def kernels(mixer: Mixer, visit: Prefill | DecodeStep, shard: Shard, *, flash: bool) -> tuple[Operator, ...]:
    """The kernels that see more than one token: attention, or the recurrence."""
    return _tagged(_kernels(mixer, visit, shard, flash=flash), "kernel")


def _kernels(mixer: Mixer, visit: Prefill | DecodeStep, shard: Shard, *, flash: bool) -> tuple[Operator, ...]:
    match mixer:
        case Attention():
            return attention.kernels(mixer, visit, shard, flash=flash)
        case LatentAttention():
            return latent.kernels(mixer, visit, shard, flash=flash)
        case CompressedAttention():
            return compressed.kernels(mixer, visit, shard, flash=flash)
        case SideBySide():
            first = attention.kernels(mixer.attention, visit, shard, flash=flash)
            return (*first, recurrent.kernel(mixer.mamba2, visit, shard))
        case _:
            return (recurrent.kernel(mixer, visit, shard),)


def after(
    mixer: Mixer, d_model: Number, tokens: Number, shard: Shard, sends: tuple[Collective, ...]
) -> tuple[Operator, ...]:
    """Operators behind the kernel; the last one sends, what stands side by side its sum."""
    return _tagged(_after(mixer, d_model, tokens, shard.mixing, sends))


def _after(
    mixer: Mixer, d_model: Number, tokens: Number, shard: Shard, sends: tuple[Collective, ...]
) -> tuple[Operator, ...]:
    match mixer:
        case Attention():
            return attention.after(mixer, d_model, tokens, shard, sends)
        case LatentAttention():
            return latent.after(mixer, d_model, tokens, shard, sends)
        case CompressedAttention():
            return compressed.after(mixer, d_model, tokens, shard, sends)
        case SideBySide():
            first = attention.after(mixer.attention, d_model, tokens, shard, ())
            return (*first, *recurrent.after(mixer.mamba2, d_model, tokens, shard, sends))
        case _:
            return recurrent.after(mixer, d_model, tokens, shard, sends)


def _tagged(operators: tuple[Operator, ...], part: str = "attention") -> tuple[Operator, ...]:
    """Operators that compute in the mixers' format, but for an indexer, which has its own."""
    return tuple(
        operator if operator.part == "indexer" else operator.replace(part=part) for operator in operators
    )


def weight_bytes(mixer: Mixer, d_model: Number, shard: Shard) -> Number:
    """Bytes of its weights on one chip."""
    shard = shard.mixing
    match mixer:
        case Attention():
            return attention.weight_bytes(mixer, d_model, shard)
        case LatentAttention():
            return latent.weight_bytes(mixer, d_model, shard)
        case CompressedAttention():
            return compressed.weight_bytes(mixer, d_model, shard)
        case SideBySide():
            first = attention.weight_bytes(mixer.attention, d_model, shard)
            return first + recurrent.weight_bytes(mixer.mamba2, d_model, shard)
        case _:
            return recurrent.weight_bytes(mixer, d_model, shard)


def held_bytes(mixer: Mixer, prompt: Number, output: Number, beams: Number, shard: Shard) -> Number:
    """Bytes of cache or state that a finished request holds in one layer on one chip."""
    match mixer:
        case Attention():
            return attention.held_bytes(mixer, prompt, output, beams, shard)
        case LatentAttention():
            return latent.held_bytes(mixer, prompt, output, beams, shard)
        case CompressedAttention():
            return compressed.held_bytes(mixer, prompt, output, beams, shard)
        case SideBySide():
            first = attention.held_bytes(mixer.attention, prompt, output, beams, shard)
            return first + recurrent.held_bytes(mixer.mamba2, beams, shard)
        case _:
            return recurrent.held_bytes(mixer, beams, shard)


def kv_bytes_per_token(mixer: Mixer, shard: Shard) -> Number:
    """Bytes of cache that one more token takes in one layer on one chip; 0 for a recurrent mixer."""
    match mixer:
        case Attention():
            return 0 if mixer.shares_kv else attention.kv_bytes_per_token(mixer, shard)
        case LatentAttention():
            return latent.kv_bytes_per_token(mixer, shard)
        case CompressedAttention():
            return compressed.kv_bytes_per_token(mixer, shard)
        case SideBySide():
            return kv_bytes_per_token(mixer.attention, shard)
        case _:
            return 0


def has_cache(mixer: Mixer | None) -> bool:
    """Its kernel reads a cache of keys and values, not a state."""
    return isinstance(mixer, (Attention, LatentAttention, CompressedAttention, SideBySide))


def state_bytes(mixer: Mixer, shard: Shard) -> Number:
    """Bytes of state of one sequence in one layer on one chip, whatever its length."""
    total: Number = 0
    for part in parts(mixer):
        if isinstance(part, (Mamba, Mamba2, LinearAttention, ShortConvolution)):
            total = total + recurrent.held_bytes(part, 1, shard)
    return total


def peak_width(mixer: Mixer, shard: Shard) -> Number:
    """Elements a token holds at the mixer's widest point."""
    match mixer:
        case Attention():
            return attention.peak_width(mixer, shard)
        case LatentAttention():
            return latent.peak_width(mixer, shard)
        case CompressedAttention():
            return compressed.peak_width(mixer, shard)
        case SideBySide():
            return attention.peak_width(mixer.attention, shard) + recurrent.peak_width(mixer.mamba2, shard)
        case _:
            return recurrent.peak_width(mixer, shard)


def bend(mixer: Mixer) -> Number | None:
    """Context at which the cost of a decode step stops growing: a window, or an indexer's best keys."""
    match mixer:
        case Attention():
            return mixer.window if mixer.index is None else mixer.index.top_k
        case LatentAttention() if mixer.index is not None:
            return mixer.index.top_k
        case CompressedAttention():
            return compressed.bend(mixer)
        case SideBySide():
            return bend(mixer.attention)
    return None


def is_steady(mixer: Mixer) -> bool:
    """The counts of a mean decode step are known in closed form: recurrences, chunk-local attention."""
    match mixer:
        case Attention():
            return mixer.chunk is not None
        case LatentAttention() | CompressedAttention():
            return False
        case SideBySide():
            return is_steady(mixer.attention)
    return True


def heads(mixer: Mixer) -> tuple[tuple[Number, Number], ...]:
    """Pairs of (what tp must divide, what it must divide or be a multiple of): heads and KV heads, or
    channels; a pair for each mixer of the layer."""
    return tuple(_heads(part) for part in parts(mixer))


def _heads(mixer: Mixer) -> tuple[Number, Number]:
    match mixer:
        case Attention():
            return mixer.heads, mixer.kv_heads
        case LatentAttention():
            return mixer.heads, 1
        case CompressedAttention():
            return mixer.heads, mixer.out_groups
        case Mamba():
            return mixer.d_inner, 1
        case Mamba2():
            return mixer.heads, mixer.groups
        case LinearAttention():
            return mixer.value_heads, mixer.key_heads
        case ShortConvolution():
            return mixer.channels, 1
        case SideBySide():
            raise ValueError("side by side: ask its parts")
