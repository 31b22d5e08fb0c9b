"""How many parameters a model has, and how many a token uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from genzcli.engine.counts import cross, feedforward, mixers, residual, reuse, towers
from genzcli.engine.counts.ops import WHOLE
from genzcli.engine.counts.speculation import predictor
from genzcli.spec.model import Block, Mixer, Model
from genzcli.spec.noun import Noun, ratio

if TYPE_CHECKING:
    from genzcli.numeric import Number


class Parameters(Noun):
    """Parameters by part. `active` are those one token of text uses: the embedding counts whole in both, a
    vision tower in the total alone."""

    embedding: Number = ratio("embedding and learned positions")
    head: Number = ratio("LM head; 0 when tied to the embedding")
    attention: Number = ratio("attention and other mixers of all layers")
    feedforward: Number = ratio("MLPs, experts and routers of all layers")
    norms: Number = ratio("norms of all layers and the final one")
    inactive: Number = ratio("routed experts a token does not visit")
    mtp: Number = ratio("multi-token-prediction modules, beside the total", default=0)
    encoder: Number = ratio("an encoder's layers, its positions and last norm", default=0)
    vision: Number = ratio("a vision tower with its projectors", default=0)

    @property
    def total(self) -> Number:
        return self.embedding + self.head + self.layers + self.encoder + self.vision

    @property
    def active(self) -> Number:
        return self.total - self.inactive - self.vision

    def active_less(self, left_out: str) -> Number:
        """Active parameters as authors count them who leave out `embedding`, or `embedding-and-head`."""
        match left_out:
            case "embedding":
                return self.active - self.embedding
            case "embedding-and-head":
                return self.active - self.embedding - self.head
        return self.active

    @property
    def layers(self) -> Number:
        """The decoder's layers: everything but embedding, head, encoder and vision tower."""
        return self.attention + self.feedforward + self.norms


def parameters(model: Model) -> Parameters:
    """Counted from the architecture; biases, below 0.1 %, are left out.

    Shared layers count once. What stands around mixer and feed-forward part counts with the mixers.
    """
    mixing: Number = 2 * residual.end_elements(model)
    feeds: Number = 0
    norms: Number = model.d_model
    active: Number = 0
    tables: Number = 0
    for name, repeat in layer_counts(model):
        block, d_model = model.blocks[name], model.d_model
        stored = 1 if block.reuse is not None else repeat
        if block.mixer is not None:
            mixing = mixing + stored * mixers.weight_bytes(block.mixer, d_model, WHOLE)
        if block.cross_attention is not None:
            mixing = mixing + stored * cross.weight_bytes(block.cross_attention, d_model, WHOLE)
        if block.joins is not None:
            mixing = mixing + repeat * block.joins * d_model * d_model
        if block.feedforward is not None:
            feeds = feeds + stored * feedforward.weight_bytes(block.feedforward, d_model, WHOLE)
            active = active + stored * feedforward.active_parameters(block.feedforward, d_model)
        mixing = mixing + repeat * reuse.own_elements(block, d_model, WHOLE)
        mixing = mixing + stored * residual.elements(block, d_model)
        tables = tables + stored * residual.embedding_elements(block)
        norms = norms + stored * block.norms * d_model
    return Parameters(
        embedding=(model.vocab + model.positions) * model.d_model + tables,
        head=0 if model.tied_embeddings else model.vocab * model.d_model,
        attention=mixing,
        feedforward=feeds,
        norms=norms,
        inactive=feeds - active,
        mtp=_predictors(model),
        encoder=_encoder(model),
        vision=_vision(model),
    )


def layer_counts(model: Model) -> list[tuple[str, int]]:
    """Each kind of layer with how many there are."""
    counts: dict[str, int] = {}
    for name, repeat in model.stack:
        counts[name] = counts.get(name, 0) + repeat
    return list(counts.items())


def _predictors(model: Model) -> Number:
    """The modules without the embedding and the head, which they share with the model."""
    if model.mtp is None:
        return 0
    return parameters(predictor(model, model.mtp, model.mtp.modules)).layers - model.d_model


def _encoder(model: Model) -> Number:
    if model.encoder is None:
        return 0
    own = towers.encoder_elements(model.encoder, model.d_model)
    return own + towers.layers_bytes(model.encoder, model.d_model, WHOLE)


def _vision(model: Model) -> Number:
    if model.vision is None:
        return 0
    own = towers.vision_elements(model.vision)
    return own + towers.layers_bytes(model.vision, model.vision.d_model, WHOLE)


def cross_elements_per_token(model: Model) -> Number:
    """Cache elements one token under cross-attention takes over all layers."""
    looks = ((block.cross_attention, repeat) for block, repeat in _layers(model))
    return sum(repeat * cross.kv_bytes_per_token(look, WHOLE) for look, repeat in looks if look is not None)


def kv_elements_per_token(model: Model) -> Number:
    """Cache elements one token takes over all layers, windows not yet full; recurrent layers take none."""
    return sum(repeat * mixers.kv_bytes_per_token(mixer, WHOLE) for mixer, repeat in _mixers(model))


def state_elements(model: Model) -> Number:
    """State elements of one sequence over all recurrent layers."""
    return sum(repeat * mixers.state_bytes(mixer, WHOLE) for mixer, repeat in _mixers(model))


def _mixers(model: Model) -> Iterator[tuple[Mixer, int]]:
    for block, repeat in _layers(model):
        if block.mixer is not None:
            yield block.mixer, repeat


def _layers(model: Model) -> Iterator[tuple[Block, int]]:
    for name, repeat in model.stack:
        yield model.blocks[name], repeat
