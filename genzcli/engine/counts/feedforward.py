"""Feed-forward parts as counts: dense MLP and mixture of experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts.ops import (
    Collective,
    Copies,
    Operator,
    Shard,
    activated,
    elementwise,
    linear,
    reduce_over_tp,
)
from genzcli.engine.counts.routing import Load, Routing, busiest_rank, copies, picks
from genzcli.numeric import is_array, maximum, where
from genzcli.spec.model import FeedForward, Mlp, Moe

if TYPE_CHECKING:
    from genzcli.numeric import Number


def matrices(part: FeedForward) -> int:
    """Matrices in front of the activation function: up, and gate where there is one."""
    return 2 if part.gated else 1


def expert_input(part: Moe, d_model: Number) -> Number:
    """Width of what an expert reads and writes: the stream, or the latent it is projected to."""
    return d_model if part.d_latent is None else part.d_latent


def latent_elements(part: Moe, d_model: Number) -> Number:
    """Elements of the projections into the experts' latent width and back."""
    return 0 if part.d_latent is None else 2 * d_model * part.d_latent


def mlp(
    name: str,
    d_ff: Number,
    gated: bool,
    d_model: Number,
    tokens: Number,
    shard: Shard,
    *,
    sends: tuple[Collective, ...],
) -> tuple[Operator, ...]:
    """Up (and gate) fused in one GEMM, the activation function, down."""
    front = 2 if gated else 1
    inner = d_ff / shard.tp
    inside = tokens * inner
    return (
        linear(f"{name}up", tokens, d_model, front * inner, shard.size),
        elementwise(f"{name}activation", inside * (front + 1), shard.size, work=activated(inside)),
        linear(f"{name}down", tokens, inner, d_model, shard.size).replace(sends=sends),
    )


def dense(part: Mlp, d_model: Number, tokens: Number, shard: Shard) -> tuple[Operator, ...]:
    """A dense MLP cut over the TP group, one all-reduce behind it."""
    sends = reduce_over_tp(tokens * d_model, shard)
    return mlp("", part.d_ff, part.gated, d_model, tokens, shard, sends=sends)


def idle_pairs(moe: Moe, tokens: Number, load: Load, shard: Shard) -> Number:
    """Pairs a chip holds but does not compute. With attention-DP only what was dispatched to it is there."""
    return where(shard.dp > 1, 0.0, maximum(tokens * moe.experts_per_token - load.pairs, 0.0))


def grouped(name: str, load: Load, k: Number, n: Number, shard: Shard, idle: Number = 0.0) -> Operator:
    """One grouped GEMM over the busiest rank's experts: every touched expert's [k, n] is read once.

    `idle` pairs lie in its buffers and are other ranks' work.
    """
    size = shard.size
    return Operator(
        name=name,
        kind="moe",
        flop=load.pairs * (2 * k * n),
        weight_bytes=load.experts * k * n * size.experts,
        activation_bytes=load.pairs * ((k + n) * size.activations),
        idle_bytes=idle * ((k + n) * size.activations),
        reduction=k,
        groups=load.experts,
        rows=load.pairs,
        part="experts",
    )


def dispatch(
    part: Moe, d_model: Number, tokens: Number, shard: Shard, routing: Routing
) -> tuple[Collective, ...]:
    """Messages that bring the tokens of attention-DP ranks to the experts; nothing when dp = 1.

    A chip owns tokens / tp. It sends copies of each over ep (all-to-all); chips that share an expert
    then gather what the others of their group received.
    """
    owned = where(shard.dp > 1, tokens / shard.tp, 0) * d_model * shard.size.activations
    sent = owned * copies(part, shard, routing)
    return (
        _exchange(owned, sent, part, shard, routing),
        Collective(kind="all-gather", group="expert-tp", bytes=sent * shard.expert_tp),
    )


def _exchange(owned: Number, sent: Number, part: Moe, shard: Shard, routing: Routing) -> Collective:
    """`owned` bytes of tokens on their way to the experts' ranks, or back."""

    def members(groups: Number) -> Number:
        return owned * copies(part, shard.replace(ep=groups), routing)

    by = Copies(members=members, experts=owned * picks(part, shard, routing))
    return Collective(kind="all-to-all", group="ep", bytes=sent, copies=by)


def combine(
    part: Moe, d_model: Number, tokens: Number, shard: Shard, routing: Routing
) -> tuple[Collective, ...]:
    """The way back. With dp = 1 every chip already holds every token and one all-reduce sums the experts."""
    payload = tokens * d_model * shard.size.activations
    alone = where(shard.dp > 1, 0, payload)
    owned = where(shard.dp > 1, payload / shard.tp, 0)
    sent = owned * copies(part, shard, routing)
    everywhere = reduce_over_tp(alone / shard.size.activations, shard)
    return (
        *everywhere,
        Collective(kind="reduce-scatter", group="expert-tp", bytes=sent * shard.expert_tp),
        _exchange(owned, sent, part, shard, routing),
        Collective(kind="all-gather", group="tp", bytes=where(shard.dp > 1, payload, 0)),
    )


def experts(
    part: Moe, d_model: Number, tokens: Number, everybody: Number, shard: Shard, routing: Routing
) -> tuple[Operator, ...]:
    """Router, dispatch, the experts, combine, and the shared experts beside them.

    `tokens` are those of the busiest attention group, `everybody` those of all groups, which the
    experts see.
    """
    load = busiest_rank(part, everybody, shard, routing)
    idle = idle_pairs(part, everybody, load, shard)
    width, inner, front = expert_input(part, d_model), part.d_expert / shard.expert_tp, matrices(part)
    inside = load.pairs * inner
    ahead = [linear("router", tokens, d_model, part.experts, shard.size)]
    behind: list[Operator] = []
    if part.d_latent is not None:
        ahead.append(linear("latent down", tokens, d_model, part.d_latent, shard.size))
        behind.append(linear("latent up", tokens, part.d_latent, d_model, shard.size))
    ahead[-1] = ahead[-1].replace(sends=dispatch(part, width, tokens, shard, routing))
    if is_array(part.d_shared) or part.d_shared:
        sends = _shared_sends(d_model, tokens, shard)
        ahead += mlp("shared ", part.d_shared, part.gated, d_model, tokens, shard, sends=sends)
    back = combine(part, width, tokens, shard, routing)
    return (
        *ahead,
        grouped("experts up", load, width, front * inner, shard, idle),
        elementwise(
            "experts activation",
            inside * (front + 1),
            shard.size,
            idle * (inner * (front + 1)),
            work=activated(inside),
        ),
        grouped("experts down", load, inner, width, shard, idle).replace(sends=back),
        *behind,
    )


def _shared_sends(d_model: Number, tokens: Number, shard: Shard) -> tuple[Collective, ...]:
    """With dp = 1 the shared experts' sum rides on the routed ones' all-reduce."""
    return reduce_over_tp(where(shard.dp > 1, tokens * d_model, 0), shard)


def weight_bytes(part: FeedForward, d_model: Number, shard: Shard) -> Number:
    """Weights stored on one chip: 2 or 3 D F, or the chip's share of the experts, router and shared ones."""
    per_width = (matrices(part) + 1) * d_model
    match part:
        case Mlp():
            return per_width * part.d_ff / shard.tp * shard.size.weights
        case Moe():
            inner = expert_input(part, d_model)
            routed = shard.experts(part) * (matrices(part) + 1) * inner * part.d_expert / shard.expert_tp
            beside = (
                d_model * part.experts + per_width * part.d_shared / shard.tp + latent_elements(part, d_model)
            )
            return routed * shard.size.experts + beside * shard.size.weights


def active_parameters(part: FeedForward, d_model: Number) -> Number:
    """Weights one token uses: K of E experts, everything else whole."""
    per_width = (matrices(part) + 1) * d_model
    match part:
        case Mlp():
            return per_width * part.d_ff
        case Moe():
            routed = (matrices(part) + 1) * expert_input(part, d_model) * part.d_expert
            beside = d_model * part.experts + per_width * part.d_shared + latent_elements(part, d_model)
            return part.experts_per_token * routed + beside


def peak_width(part: FeedForward, d_model: Number, shard: Shard) -> Number:
    """Elements a token of one attention group holds at the widest point of the feed-forward part."""
    front = matrices(part)
    match part:
        case Mlp():
            return (front + 1) * part.d_ff / shard.tp
        case Moe():
            copies = part.experts_per_token * shard.dp / shard.ep
            return copies * (d_model + (front + 1) * part.d_expert / shard.expert_tp)
