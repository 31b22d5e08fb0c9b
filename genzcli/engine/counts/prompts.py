"""Where the tokens of a request go: the decoder's prompt, an encoder, a vision tower, cross-attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.spec.model import Model
from genzcli.spec.workload import UseCase

if TYPE_CHECKING:
    from genzcli.numeric import Number


def image_tokens(model: Model, usecase: UseCase) -> Number:
    """Tokens that a request's images become: N times the use case's, else the model's own number."""
    if model.vision is None:
        return 0
    each = model.vision.tokens if usecase.image_tokens is None else usecase.image_tokens
    return usecase.images * each


def patches(model: Model, usecase: UseCase) -> Number:
    """Patches of one image: what the tower works on."""
    if model.vision is None:
        return 0
    each = model.vision.tokens if usecase.image_tokens is None else usecase.image_tokens
    return each * model.vision.merge


def read_tokens(model: Model, usecase: UseCase) -> Number:
    """All prompt tokens of a request, as servers count them: text, and images where they are in the prompt.

    vLLM's prompt_tokens has the images of a LLaVA or a Qwen-VL in it, not those under cross-attention.
    """
    inside = model.vision is not None and not model.looks_across
    return usecase.input_tokens + image_tokens(model, usecase) if inside else usecase.input_tokens


def decoder_tokens(model: Model, usecase: UseCase) -> Number:
    """Tokens that the decoder's own cache holds before the first output: a start token behind an encoder."""
    return read_tokens(model, usecase) if model.encoder is None else 1


def seen_across(model: Model, usecase: UseCase) -> Number:
    """Tokens of a request that cross-attention looks at: the encoder's output, or those of the images."""
    if not model.looks_across:
        return 0
    return image_tokens(model, usecase) if model.encoder is None else usecase.input_tokens
