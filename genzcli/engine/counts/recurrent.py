"""Mixers with a state in place of a cache as counts: Mamba, Mamba-2, gated linear attention, convolutions.

A step reads and writes the state of each sequence whatever the context; a prefill writes it once. Every
beam has a state of its own, the prompt's included.

Sources: Mamba, arXiv 2312.00752; Mamba-2 (SSD), 2405.21060; Gated DeltaNet, 2412.06464.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts.ops import Collective, Elements, Operator, Shard, linear, reduce_over_tp
from genzcli.engine.counts.spans import DecodeStep, Prefill
from genzcli.numeric import maximum
from genzcli.spec.model import LinearAttention, Mamba, Mamba2, Recurrent, ShortConvolution
from genzcli.spec.noun import Noun, ratio

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Widths(Noun):
    """Sizes of a recurrent mixer on one chip."""

    projected: Number = ratio("columns of the input projection")
    convolved: Number = ratio("channels of the short convolution")
    taps: Number = ratio("taps of the short convolution")
    out: Number = ratio("rows of the output projection")
    state: Number = ratio("state elements of one sequence, the convolution's included")
    step_flop: Number = ratio("FLOP of the recurrence a token, one step at a time")
    step_functions: Number = ratio("exponentials among them", default=0)
    scan_flop: Number = ratio("FLOP of the recurrence a token, in a prefill")
    decays: Number | None = ratio(
        "decays between a token and those before it in its chunk, where a prefill is made of matrix products;"
        " none: it goes step by step",
        default=None,
    )


def widths(mixer: Recurrent, shard: Shard) -> Widths:
    """The sizes of each kind, cut over tp: channels and heads are split, what all heads share is not."""
    match mixer:
        case Mamba():
            return _mamba(mixer, shard)
        case Mamba2():
            return _mamba2(mixer, shard)
        case LinearAttention():
            return _linear(mixer, shard)
        case ShortConvolution():
            return _short(mixer, shard)


def _mamba(mixer: Mamba, shard: Shard) -> Widths:
    """x and z projected; 9 FLOP a channel and state element (Mamba, appendix D), prefill and decode alike: no
    matrix products, and an exponential each, since every state element decays by itself."""
    inner = mixer.d_inner / shard.tp
    flop = 9 * inner * mixer.d_state
    return Widths(
        projected=2 * inner,
        convolved=inner,
        taps=mixer.d_conv,
        out=inner,
        state=inner * (mixer.d_state + mixer.d_conv - 1),
        step_flop=flop,
        step_functions=inner * mixer.d_state,
        scan_flop=flop,
    )


def _mamba2(mixer: Mamba2, shard: Shard) -> Widths:
    """x, z, B, C and dt projected. A step: 6 FLOP a state element (decay, B x, C h). A prefill in chunks of
    Q: Q (N + P) a head inside the chunk, causal, and 4 N P between chunks."""
    heads, groups = mixer.heads / shard.tp, maximum(1, mixer.groups / shard.tp)
    inner, shared = heads * mixer.head_dim, 2 * groups * mixer.d_state
    held = mixer.head_dim * mixer.d_state
    return Widths(
        projected=2 * inner + shared + heads,
        convolved=inner + shared,
        taps=mixer.d_conv,
        out=inner,
        state=heads * held + (inner + shared) * (mixer.d_conv - 1),
        step_flop=6 * heads * held,
        scan_flop=heads * (mixer.chunk * (mixer.d_state + mixer.head_dim) + 4 * held),
        decays=heads * mixer.chunk / 2,
    )


def _linear(mixer: LinearAttention, shard: Shard) -> Widths:
    """Q, K, V, a decay and a rate a head, and the gate projected; gates and decays of each channel through
    narrow widths where these are given. A step: 7 FLOP a state element (decay, k S, rank-1 update, q S). A
    prefill in chunks of C: C (3 d_k + 2 d_v) a head inside, causal, and 6 d_k d_v between."""
    keys = maximum(1, mixer.key_heads / shard.tp) * mixer.key_dim
    heads = mixer.value_heads / shard.tp
    values, held = heads * mixer.value_dim, mixer.key_dim * mixer.value_dim
    taps = maximum(mixer.d_conv, 1)
    gate: Number = 0
    if mixer.output_gate:
        gate = values if mixer.gate_rank is None else mixer.gate_rank
    decay = heads if mixer.decay_rank is None else mixer.decay_rank
    return Widths(
        projected=2 * keys + values + gate + heads + decay,
        convolved=2 * keys + values,
        taps=mixer.d_conv,
        out=values,
        state=heads * held + (2 * keys + values) * (taps - 1),
        step_flop=7 * heads * held,
        scan_flop=heads * (mixer.chunk * (3 * mixer.key_dim + 2 * mixer.value_dim) + 6 * held),
        decays=heads * mixer.chunk / 2,
    )


def _short(mixer: ShortConvolution, shard: Shard) -> Widths:
    """Two gates and the channels projected; 2 FLOP a channel for the gates, beside the convolution's own."""
    inner = mixer.channels / shard.tp
    return Widths(
        projected=3 * inner,
        convolved=inner,
        taps=mixer.d_conv,
        out=inner,
        state=inner * (mixer.d_conv - 1),
        step_flop=2 * inner,
        scan_flop=2 * inner,
    )


def widened(mixer: Recurrent, shard: Shard) -> list[tuple[str, Number, Number]]:
    """(name, narrow width, columns) of what is projected through a narrow width."""
    if not isinstance(mixer, LinearAttention):
        return []
    heads = mixer.value_heads / shard.tp
    found: list[tuple[str, Number, Number]] = []
    if mixer.decay_rank is not None:
        found.append(("decay up", mixer.decay_rank, heads * mixer.key_dim))
    if mixer.output_gate and mixer.gate_rank is not None:
        found.append(("gate up", mixer.gate_rank, heads * mixer.value_dim))
    return found


def held_bytes(mixer: Recurrent, beams: Number, shard: Shard) -> Number:
    """State bytes of a request in one layer on one chip: as long as it runs, whatever its length."""
    return beams * widths(mixer, shard).state * shard.size.kv


def before(mixer: Recurrent, d_model: Number, tokens: Number, shard: Shard) -> tuple[Operator, ...]:
    """Input projection and convolution; Mamba's B, C and dt depend on the convolved channels."""
    size, width = shard.size, widths(mixer, shard)
    operators = [
        linear("in", tokens, d_model, width.projected, size),
        Operator(
            name="convolution",
            kind="elementwise",
            flop=2 * tokens * width.convolved * width.taps,
            weight_bytes=width.convolved * width.taps * size.weights,
            activation_bytes=2 * tokens * width.convolved * size.activations,
            products=False,
            elements=Elements(tokens * width.convolved, 2 * width.taps),
        ),
    ]
    operators += [linear(name, tokens, rank, out, size) for name, rank, out in widened(mixer, shard)]
    if isinstance(mixer, Mamba):
        chosen = mixer.dt_rank + 2 * mixer.d_state
        sends = reduce_over_tp(tokens * chosen, shard.replace(sp=False))
        operators.append(linear("x", tokens, width.out, chosen, size).replace(sends=sends))
        operators.append(linear("dt", tokens, mixer.dt_rank, width.out, size))
    return tuple(operators)


def kernel(mixer: Recurrent, visit: Prefill | DecodeStep, shard: Shard) -> Operator:
    """The recurrence: states read and written once a pass, its inputs and output moved once."""
    size, width = shard.size, widths(mixer, shard)
    decoding = isinstance(visit, DecodeStep)
    chunks = width.decays is not None and not decoding
    each = width.step_flop if decoding else width.scan_flop
    states = visit.states_read + visit.states_written
    return Operator(
        name="scan",
        kind="scan",
        flop=visit.tokens * each,
        products=chunks,
        elements=_elements(width, visit.tokens, decoding=decoding),
        kv_bytes=states * width.state * size.kv,
        activation_bytes=visit.tokens * (width.projected + width.out) * size.activations,
    )


def _elements(width: Widths, tokens: Number, *, decoding: bool) -> Elements:
    """The recurrence step by step; of one made of products the decays inside each chunk, each a difference of
    sums, its exponential and a product."""
    if decoding or width.decays is None:
        return Elements(tokens, width.step_flop, width.step_functions)
    return Elements(tokens * width.decays, 2, 1)


def after(
    mixer: Recurrent, d_model: Number, tokens: Number, shard: Shard, sends: tuple[Collective, ...]
) -> tuple[Operator, ...]:
    """The output projection."""
    width = widths(mixer, shard).out
    return (linear("out", tokens, width, d_model, shard.size).replace(sends=sends),)


def weight_bytes(mixer: Recurrent, d_model: Number, shard: Shard) -> Number:
    """Projections, convolution and state matrices stored on one chip."""
    width = widths(mixer, shard)
    elements = d_model * (width.projected + width.out) + width.convolved * width.taps
    for _, rank, out in widened(mixer, shard):
        elements = elements + rank * out
    if isinstance(mixer, Mamba):
        elements = elements + width.out * (2 * mixer.dt_rank + 2 * mixer.d_state)  # x and dt
        elements = elements + width.out * (mixer.d_state + 1)  # A and D
    return elements * shard.size.weights


def peak_width(mixer: Recurrent, shard: Shard) -> Number:
    """Elements a token holds at the widest point: what was projected, and the output."""
    width = widths(mixer, shard)
    return width.projected + width.out
