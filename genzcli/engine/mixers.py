"""What every kind of mixer answers: its operators around and in the kernel, its weights, what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine import attention, latent, recurrent
from genzcli.engine.ops import Collective, Operator, Shard
from genzcli.engine.spans import DecodeStep, Prefill
from genzcli.spec.model import Attention, LatentAttention, LinearAttention, Mamba, Mamba2, Mixer

if TYPE_CHECKING:
    from genzcli.numeric import Number


def before(
    mixer: Mixer, d_model: Number, tokens: Number, shard: Shard, *, decode: bool, fused: bool
) -> tuple[Operator, ...]:
    """Operators ahead of the kernel; they do not depend on the context."""
    shard = shard.mixing
    match mixer:
        case Attention():
            return _tagged(attention.before(mixer, d_model, tokens, shard, fused=fused))
        case LatentAttention():
            return _tagged(latent.before(mixer, d_model, tokens, shard, decode=decode))
        case _:
            return _tagged(recurrent.before(mixer, d_model, tokens, shard))


def kernels(mixer: Mixer, visit: Prefill | DecodeStep, shard: Shard, *, flash: bool) -> tuple[Operator, ...]:
    """The kernels that see more than one token: attention, or the recurrence."""
    match mixer:
        case Attention():
            return _tagged((attention.kernel(mixer, visit, shard, flash=flash),), "kernel")
        case LatentAttention():
            return _tagged(latent.kernels(mixer, visit, shard), "kernel")
        case _:
            return _tagged((recurrent.kernel(mixer, visit, shard),), "kernel")


def after(
    mixer: Mixer, d_model: Number, tokens: Number, shard: Shard, sends: tuple[Collective, ...]
) -> tuple[Operator, ...]:
    """Operators behind the kernel; the last one sends."""
    shard = shard.mixing
    match mixer:
        case Attention():
            return _tagged(attention.after(mixer, d_model, tokens, shard, sends))
        case LatentAttention():
            return _tagged(latent.after(mixer, d_model, tokens, shard, sends))
        case _:
            return _tagged(recurrent.after(mixer, d_model, tokens, shard, sends))


def _tagged(operators: tuple[Operator, ...], part: str = "attention") -> tuple[Operator, ...]:
    """Operators that compute in the mixers' format."""
    return tuple(operator.replace(part=part) for operator in operators)


def weight_bytes(mixer: Mixer, d_model: Number, shard: Shard) -> Number:
    """Bytes of its weights on one chip."""
    shard = shard.mixing
    match mixer:
        case Attention():
            return attention.weight_bytes(mixer, d_model, shard)
        case LatentAttention():
            return latent.weight_bytes(mixer, d_model, shard)
        case _:
            return recurrent.weight_bytes(mixer, d_model, shard)


def held_bytes(mixer: Mixer, prompt: Number, output: Number, beams: Number, shard: Shard) -> Number:
    """Bytes of cache or state that a finished request holds in one layer on one chip."""
    match mixer:
        case Attention():
            return attention.held_bytes(mixer, prompt, output, beams, shard)
        case LatentAttention():
            return latent.held_bytes(mixer, prompt, output, beams, shard)
        case _:
            return recurrent.held_bytes(mixer, beams, shard)


def kv_bytes_per_token(mixer: Mixer, shard: Shard) -> Number:
    """Bytes of cache that one more token takes in one layer on one chip; 0 for a recurrent mixer."""
    match mixer:
        case Attention():
            return 0 if mixer.shares_kv else attention.kv_bytes_per_token(mixer, shard)
        case LatentAttention():
            return latent.kv_bytes_per_token(mixer, shard)
        case _:
            return 0


def has_cache(mixer: Mixer | None) -> bool:
    """Its kernel reads a cache of keys and values, not a state."""
    return isinstance(mixer, (Attention, LatentAttention))


def peak_width(mixer: Mixer, shard: Shard) -> Number:
    """Elements a token holds at the mixer's widest point."""
    match mixer:
        case Attention():
            return attention.peak_width(mixer, shard)
        case LatentAttention():
            return latent.peak_width(mixer, shard)
        case _:
            return recurrent.peak_width(mixer, shard)


def bend(mixer: Mixer) -> Number | None:
    """Context at which the cost of a decode step stops growing: a window, or an indexer's best keys."""
    match mixer:
        case Attention():
            return mixer.window
        case LatentAttention() if mixer.index is not None:
            return mixer.index.top_k
    return None


def is_steady(mixer: Mixer) -> bool:
    """The counts of a mean decode step are known in closed form: recurrences, chunk-local attention."""
    match mixer:
        case Attention():
            return mixer.chunk is not None
        case LatentAttention():
            return False
    return True


def heads(mixer: Mixer) -> tuple[Number, Number]:
    """(what tp must divide, what it must divide or be a multiple of): heads and KV heads, or channels."""
    match mixer:
        case Attention():
            return mixer.heads, mixer.kv_heads
        case LatentAttention():
            return mixer.heads, 1
        case Mamba():
            return mixer.d_inner, 1
        case Mamba2():
            return mixer.heads, mixer.groups
        case LinearAttention():
            return mixer.value_heads, mixer.key_heads
