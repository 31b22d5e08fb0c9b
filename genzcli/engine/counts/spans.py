"""What a mixer sees in one pass: tokens, the keys each sees, and the cache that is read and written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.numeric import clip, floor, maximum, minimum, where
from genzcli.spec.noun import Noun, ratio

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Span(Noun):
    """What attention sees in one pass of one attention group."""

    tokens: Number = ratio("query tokens")
    context: Number = ratio("keys a query token sees, mean over the tokens")
    kv_read: Number = ratio("tokens of cache read, each sequence's once")
    kv_written: Number = ratio("tokens of cache written")


class Prefill(Noun):
    """`sequences` prompts of `new` tokens each, behind `past` cached ones.

    With `whole` it stands for the mean of the passes of `new` tokens that a prompt of `whole` takes.
    """

    sequences: Number = ratio("prompts")
    new: Number = ratio("tokens of each that are computed")
    past: Number = ratio("tokens of each that are cached already", default=0)
    whole: Number | None = ratio("tokens of each over all its passes", default=None)

    @property
    def tokens(self) -> Number:
        return self.sequences * self.new

    @property
    def states_read(self) -> Number:
        """Recurrent states read: none where a prompt starts from nothing."""
        return self.sequences * minimum(self.past, 1)

    @property
    def states_written(self) -> Number:
        return self.sequences

    def span(self, window: Number | None = None, chunk: Number | None = None) -> Span:
        if self.whole is None:
            return prefill_span(self.sequences, self.new, self.past, window, chunk)
        return sliced_span(self, self.whole, window, chunk)


class DecodeStep(Noun):
    """Output step `step` (1-based) of `sequences` requests with `beams` each.

    With `until` it stands for the mean of the steps from 1 to there, where the counts are what is averaged.
    """

    sequences: Number = ratio("requests")
    beams: Number = ratio("beams of each")
    prompt: Number = ratio("prompt tokens of each")
    step: Number = ratio("output step")
    until: Number | None = ratio("last step of the mean", default=None)
    keep: Number = ratio("share of the cache's tokens that pruning keeps", default=1.0)
    width: Number = ratio("tokens of each beam in the step: a verification has its drafts and one", default=1)

    @property
    def tokens(self) -> Number:
        return self.sequences * self.beams * self.width

    @property
    def states_read(self) -> Number:
        return self.sequences * self.beams

    @property
    def states_written(self) -> Number:
        """One a token: a verification goes back to the state behind the last draft that was accepted."""
        return self.tokens

    def span(self, window: Number | None = None, chunk: Number | None = None) -> Span:
        """A window, or an indexer's best keys, are taken of what pruning keeps."""
        if chunk is not None:
            whole = chunked_span(self, chunk)
            whole = whole.replace(context=whole.context * self.keep, kv_read=whole.kv_read * self.keep)
        else:
            prompt, step = self.prompt * self.keep, self.step * self.keep
            whole = decode_span(self.sequences, self.beams, prompt, step, window)
        return whole.replace(tokens=self.tokens, kv_written=self.tokens)


def mean_context(past: Number, new: Number, window: Number | None) -> Number:
    """Mean over i = 1..new of `min(past + i, window)`: the keys causal token i sees.

    Without a window this is past + (new + 1) / 2, so a prefill costs S (S + 1) / 2, not S^2.
    With one, the first k = clip(window - past, 0, new) tokens see everything before them.
    """
    if window is None:
        return past + (new + 1) / 2
    whole = clip(window - past, 0, new)
    return (whole * (past + (whole + 1) / 2) + (new - whole) * window) / new


def keys_in_chunks(position: Number, chunk: Number) -> Number:
    """Sum over s = 1..position of ((s - 1) mod chunk) + 1, the keys token s sees in its own chunk."""
    full = floor(position / chunk)
    rest = position - full * chunk
    return full * chunk * (chunk + 1) / 2 + rest * (rest + 1) / 2


def mean_in_chunk(past: Number, new: Number, chunk: Number) -> Number:
    """Mean over i = 1..new of the keys that token past + i sees with chunk-local attention."""
    return (keys_in_chunks(past + new, chunk) - keys_in_chunks(past, chunk)) / new


def mean_held(first: Number, last: Number, limit: Number) -> Number:
    """Mean of min(x, limit) for x spread evenly from first to last."""
    bend = clip(limit, first, last)
    width = maximum(last - first, 1e-9)
    below = (bend * bend - first * first) / 2 + limit * (last - bend)
    return where(last - first > 1e-9, below / width, minimum(first, limit))


def sliced_span(visit: Prefill, whole: Number, window: Number | None, chunk: Number | None) -> Span:
    """The mean pass of a prompt in slices: its tokens see what they would see in one pass."""
    first, last = visit.past, visit.past + whole - visit.new
    if chunk is not None:
        context = mean_in_chunk(visit.past, whole, chunk)
        cached = maximum(context - (visit.new + 1) / 2, 0)
    else:
        context = mean_context(visit.past, whole, window)
        cached = (first + last) / 2 if window is None else mean_held(first, last, window - 1)
    return Span(
        tokens=visit.tokens,
        context=context,
        kv_read=visit.sequences * (cached + visit.new),
        kv_written=visit.tokens,
    )


def prefill_span(
    sequences: Number, new: Number, past: Number, window: Number | None, chunk: Number | None = None
) -> Span:
    """`sequences` prompts of `new` tokens each, behind `past` cached ones."""
    if chunk is not None:  # what the chunk at hand holds already
        cached, context = past - floor(past / chunk) * chunk, mean_in_chunk(past, new, chunk)
    else:
        cached = past if window is None else minimum(past, window - 1)
        context = mean_context(past, new, window)
    return Span(
        tokens=sequences * new,
        context=context,
        kv_read=sequences * (cached + new),
        kv_written=sequences * new,
    )


def chunked_span(visit: DecodeStep, chunk: Number) -> Span:
    """Decode with chunk-local attention: a token sees what its chunk holds so far, each beam its own."""
    last = visit.step if visit.until is None else visit.until
    first = visit.step if visit.until is None else 1
    context = mean_in_chunk(visit.prompt + first - 1, last - first + 1, chunk)
    beams = visit.sequences * visit.beams
    return Span(tokens=visit.tokens, context=context, kv_read=beams * context, kv_written=visit.tokens)


def decode_span(
    sequences: Number, beams: Number, prompt: Number, step: Number, window: Number | None
) -> Span:
    """Output step `step` (1-based): each token sees prompt + step keys.

    Beams share the prompt's cache: `prompt + beams * step` tokens are read a sequence, but every
    beam computes its own scores. A window forgets the prompt first.
    """
    if window is None:
        context, shared, own = prompt + step, prompt, step
    else:
        own = minimum(step, window)
        shared = clip(window - step, 0, prompt)
        context = own + shared
    return Span(
        tokens=sequences * beams,
        context=context,
        kv_read=sequences * (shared + beams * own),
        kv_written=sequences * beams,
    )
