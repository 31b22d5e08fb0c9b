"""How tokens spread over experts: who is touched, what the busiest rank gets, how many copies travel."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from genzcli.engine.counts.ops import Shard
from genzcli.numeric import each, is_array, maximum, minimum, power, where
from genzcli.spec.model import Moe
from genzcli.spec.noun import Noun, ratio, text

if TYPE_CHECKING:
    from genzcli.numeric import Number

#: (share, replicas): the chance that a token visits a replica, and how many replicas have just that.
Shares = tuple[tuple[float, int], ...]


class Routing(Noun):
    """How a batch of tokens spreads over experts."""

    rule: str = text("balanced, uniform, power-law or worst")
    imbalance: Number = ratio("load of the busiest rank over the mean", default=1.0)
    alpha: Number = ratio("power-law: the r-th most popular expert draws r^-alpha", default=0.0)


class Load(Noun):
    """What the busiest expert rank has to do in one pass."""

    pairs: Number = ratio("(token, expert) pairs it computes")
    experts: Number = ratio("experts whose weights it reads")


@lru_cache(maxsize=4096)
def popularity(experts: int, chosen: int, alpha: float) -> tuple[float, ...]:
    """Chance that a token visits each expert, the most popular first; they add up to K.

    Proportional to rank^-alpha, but never above 1: a token visits K different experts, so the few that
    would be visited more than once by all take 1 each and the rest shares what is left. Exact.

    In measured kernels (aiconfigurator-core's `power_law_1.2`, whose 1.2 is the exponent of the density of
    loads) the experts touched are those of 0.6 here; no skew is 0.
    """
    weights = [rank**-alpha for rank in range(1, experts + 1)]
    behind = sum(weights)
    sure, left = 0, float(chosen)
    while sure < chosen and weights[sure] * left > behind:
        behind -= weights[sure]
        sure, left = sure + 1, left - 1
    return (1.0,) * sure + tuple(weight * left / behind for weight in weights[sure:])


@lru_cache(maxsize=4096)
def replicated(experts: int, chosen: int, alpha: float, redundant: int) -> Shares:
    """Shares of the physical experts, the hottest first: each of the R replicas goes where it relieves most.

    Greedy, which makes the hottest replica as cool as R replicas can. A replica takes an equal part of
    its expert's tokens. Source: DeepSeek's EPLB (github.com/deepseek-ai/EPLB), `replicate_experts`.
    """
    import heapq

    shares = popularity(experts, chosen, alpha)
    heap = [(-share, expert, 1) for expert, share in enumerate(shares)]
    for _ in range(redundant):
        _, expert, times = heap[0]
        heapq.heapreplace(heap, (-shares[expert] / (times + 1), expert, times + 1))
    counts: dict[float, int] = {}
    for load, _, times in sorted(heap):
        counts[-load] = counts.get(-load, 0) + times
    return tuple(counts.items())


def _shares(moe: Moe, redundant: float, alpha: float) -> Shares:
    return replicated(int(moe.experts), int(moe.experts_per_token), float(alpha), int(redundant))


def hottest(moe: Moe, redundant: Number, alpha: Number) -> Number:
    """Chance that a token visits the most popular replica."""
    return each(lambda extra, steep: _shares(moe, extra, steep)[0][0], redundant, alpha)


def reached(moe: Moe, tokens: Number, redundant: Number, alpha: Number) -> Number:
    """Physical experts that `tokens` tokens reach: sum of 1 - (1 - share)^t, the expected value."""

    def count(extra: float, steep: float, batch: Number) -> Number:
        total: Number = 0.0
        for share, times in _shares(moe, extra, steep):
            total = total + times * (1 - power(1 - minimum(share, 1.0), batch))
        return total

    if isinstance(redundant, (int, float)) and isinstance(alpha, (int, float)):
        return count(redundant, alpha, tokens)
    return each(count, redundant, alpha, tokens)


def touched_experts(
    moe: Moe, tokens: Number, rule: str, *, redundant: Number = 0, alpha: Number = 0.0
) -> Number:
    """Experts that `tokens` tokens use together, each choosing K of E; replicas count one by one.

    balanced   min(E + R, t K): no two tokens meet while there is room
    uniform    E (1 - (1 - K/E)^t): expected value for independent uniform choices
    power-law  sum over experts of 1 - (1 - p)^t, p ~ rank^-alpha
    worst      K: all tokens choose the same
    """
    match rule:
        case "balanced":
            return minimum(moe.experts + redundant, tokens * moe.experts_per_token)
        case "uniform":
            alone = moe.experts * (1 - power(1 - moe.experts_per_token / moe.experts, tokens))
            if not is_array(redundant) and redundant == 0:
                return alone
            return where(redundant > 0, reached(moe, tokens, redundant, 0.0), alone)
        case "power-law":
            return reached(moe, tokens, redundant, alpha)
        case _:
            return moe.experts_per_token


def busiest_rank(moe: Moe, tokens: Number, shard: Shard, routing: Routing) -> Load:
    """Load of the rank that the others wait for; `tokens` are those of the whole EP group.

    A rank's mean share is 1/ep of the pairs and of the touched experts, but some rank always has at
    least one whole expert to read. `worst` sends every token to experts of one rank, none of which has a
    replica. See `_skewed` for the power law. However uneven, a rank computes no token twice with an expert:
    at most t min(K, experts it holds) pairs, which one rank alone has anyway.
    """
    if routing.rule == "worst":
        experts = minimum(moe.experts_per_token, moe.experts / shard.ep)
        return Load(pairs=tokens * experts, experts=experts)
    held = maximum((moe.experts + shard.redundant) / shard.ep, 1)
    if routing.rule == "power-law":
        load = _skewed(moe, tokens, shard, routing.alpha)
        pairs, experts = load.pairs * routing.imbalance, load.experts
    else:
        pairs = tokens * moe.experts_per_token / shard.ep * routing.imbalance
        experts = touched_experts(moe, tokens, routing.rule, redundant=shard.redundant) / shard.ep
    pairs = minimum(pairs, tokens * minimum(moe.experts_per_token, held))
    return Load(pairs=maximum(pairs, 1), experts=minimum(maximum(experts, 1), held))


def _skewed(moe: Moe, tokens: Number, shard: Shard, alpha: Number) -> Load:
    """The busiest rank under a power law of popularity.

    Without redundant experts nobody knows who is popular: experts lie on ranks in any order, and the
    rank with the most popular one (chance p of a visit) has average ones beside it:
    t (p + (E/ep - 1) (K - p) / (E - 1)) pairs, the expectation over random orders. With redundant ones
    the balancer knows, and packs until no rank has more than the mean or the hottest replica:
    t max(K/ep, p).
    """
    total, chosen, extra = moe.experts, moe.experts_per_token, shard.redundant
    hot = hottest(moe, extra, alpha)
    beside = maximum(total / shard.ep - 1, 0) / maximum(total - 1, 1)
    blind = hot + beside * (chosen - hot)
    packed = maximum(chosen / shard.ep, hot)
    everything = reached(moe, tokens, extra, alpha)
    read = 1 - power(1 - hot, tokens)
    return Load(
        pairs=tokens * where(extra > 0, packed, blind),
        experts=where(extra > 0, everything / shard.ep, read + beside * (everything - read)),
    )


def copies(moe: Moe, shard: Shard, routing: Routing) -> Number:
    """Copies of a token that leave for the experts: one a rank that holds one of its K experts.

    balanced   min(K, ep)
    uniform    expected ranks touched, ep (1 - prod_j (E - E/ep - j) / (E - j)) over j < K; fewer where a
               router limits a token to some groups of experts
    power-law  as uniform, times the busiest rank's load over the mean
    worst      one rank takes in every token, which takes as long as ep copies of each
    An imbalance makes the busiest rank take in that much more, at most one copy of each token.
    """
    chosen, ep = moe.experts_per_token, shard.ep
    match routing.rule:
        case "balanced":
            count: Number = minimum(chosen, minimum(ep, _ranks_allowed(moe, ep)))
        case "uniform":
            count = _ranks_visited(moe, ep)
        case "power-law":
            over = _skewed(moe, 1, shard, routing.alpha).pairs / (chosen / ep)
            count = _ranks_visited(moe, ep) * over
        case _:
            count = ep
    return minimum(count * routing.imbalance, ep)


def picks(moe: Moe, shard: Shard, routing: Routing) -> Number:
    """Copies of a token where each of its K experts gets one: what the busiest rank takes in, times ep.

    An imbalance makes it more, at most K a token.
    """
    match routing.rule:
        case "power-law":
            count: Number = _skewed(moe, 1, shard, routing.alpha).pairs * shard.ep
        case "worst":
            count = moe.experts_per_token * shard.ep
        case _:
            count = moe.experts_per_token
    return minimum(count * routing.imbalance, moe.experts_per_token * shard.ep)


def _ranks_allowed(moe: Moe, ep: Number) -> Number:
    """Most ranks that the experts of a token's groups lie on: contiguous experts, G groups on ep ranks."""
    return moe.groups_per_token * maximum(ep / moe.groups, 1) if moe.limited else ep


def _ranks_visited(moe: Moe, ep: Number) -> Number:
    """Expected ranks that hold one of K experts drawn at random."""
    if moe.limited:
        return each(lambda ranks: _ranks_in_groups(moe, ranks), ep)
    return ep * (1 - _missed(moe.experts, moe.experts / ep, int(moe.experts_per_token)))


def _ranks_in_groups(moe: Moe, ep: float) -> float:
    """Expected ranks that hold one of K experts drawn at random from g groups drawn at random of G.

    A rank has E/ep experts of c = ceil(G/ep) groups, of which h are among the g with the chance of
    C(c, h) C(G - c, g - h) / C(G, g); h/c of its experts are then among the g E/G to draw from. Exact
    where ranks cut groups or groups ranks evenly, else up to 6 % low. Routers take the groups with the best
    scores, so more of these are visited: with independent scores and DeepSeek-V3's sum of two, 3.95 in place
    of 3.63 of 8 ranks, 6.86 of 6.60 of 32. Source: arXiv 2412.19437, section 2.1.2, where groups are nodes.
    """
    groups, chosen = int(moe.groups), int(moe.groups_per_token)
    own = min(groups, math.ceil(groups / ep))
    open_, held = moe.experts / groups * chosen, moe.experts / ep / own
    missed = 0.0
    for hit in range(min(own, chosen) + 1):
        ways = math.comb(own, hit) * math.comb(groups - own, chosen - hit)
        chance = ways / math.comb(groups, chosen)
        missed += chance * float(_missed(open_, hit * held, int(moe.experts_per_token)))
    return ep * (1 - missed)


def _missed(experts: Number, held: Number, chosen: int) -> Number:
    """Chance that none of the `held` is among `chosen` of so many experts."""
    missed: Number = 1.0
    for j in range(chosen):
        missed = missed * maximum(experts - held - j, 0) / (experts - j)
    return missed
