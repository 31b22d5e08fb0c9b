"""A decoder of random weights in bf16, of PyTorch's own kernels, whose passes a CUDA graph can hold.

Nothing in a pass waits for the host: routed tokens are sorted on the device and go through one grouped GEMM.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from shapes import Shape
from torch import Tensor

BF16 = torch.bfloat16


def grouped_mm() -> Any:
    """PyTorch's grouped GEMM, by its public name or its older one; None where there is none."""
    return getattr(F, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)


def random(*size: int, device: str, scale: float = 1.0) -> Tensor:
    """Normal values in bf16: zeros or constants would draw less power and clock higher."""
    return torch.randn(size, dtype=BF16, device=device).mul_(scale)


class Layer(NamedTuple):
    """Weights of a layer, [out, in]; those of experts [expert, out, in]."""

    qkv: Tensor
    o: Tensor
    gate_up: Tensor
    down: Tensor
    norms: Tensor
    router: Tensor | None


def layer(shape: Shape, device: str) -> Layer:
    """Fresh weights, of a size that keeps activations near 1."""

    def weight(n: int, k: int, *experts: int) -> Tensor:
        return random(*experts, n, k, device=device, scale=k**-0.5)

    many = (shape.experts,) if shape.experts else ()
    return Layer(
        weight(shape.qkv, shape.d_model),
        weight(shape.d_model, shape.heads * shape.head_dim),
        weight(2 * shape.d_ff, shape.d_model, *many),
        weight(shape.d_model, shape.d_ff, *many),
        torch.ones(2, shape.d_model, dtype=BF16, device=device),
        weight(shape.experts, shape.d_model) if shape.experts else None,
    )


def swiglu(joined: Tensor) -> Tensor:
    """silu(gate) * up, of gate and up side by side."""
    gate, up = joined.chunk(2, -1)
    return F.silu(gate) * up


def angles(shape: Shape, first: int, tokens: int, device: str) -> tuple[Tensor, Tensor]:
    """Cosines and sines of positions from `first` on, [tokens, 1, head_dim / 2]."""
    half = torch.arange(shape.head_dim // 2, device=device, dtype=torch.float32) / (shape.head_dim // 2)
    turns = torch.arange(first, first + tokens, device=device, dtype=torch.float32)[:, None] * 5e5**-half
    return turns.cos().to(BF16)[:, None], turns.sin().to(BF16)[:, None]


def rotary(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """The two halves of each head as a complex number, turned; x is [batch, tokens, heads, head_dim]."""
    (cos, sin), (real, imaginary) = turn, x.chunk(2, -1)
    return torch.cat((real * cos - imaginary * sin, imaginary * cos + real * sin), -1)


def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Attention of [batch, heads, tokens, head_dim] over keys of as many or fewer heads."""
    shared = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=shared)


def experts(x: Tensor, weights: Layer, top_k: int) -> Tensor:
    """Each token [tokens, d_model] through its `top_k` experts: sort, grouped GEMMs, put back, sum."""
    assert weights.router is not None
    count = weights.router.shape[0]
    gates, chosen = (x @ weights.router.t()).float().softmax(-1).topk(top_k)
    ordered, order = chosen.flatten().sort()
    ends = torch.searchsorted(ordered, torch.arange(count, device=x.device), right=True).to(torch.int32)
    product = grouped_mm()
    hidden = swiglu(product(x[order // top_k], weights.gate_up.transpose(1, 2), offs=ends))
    made = product(hidden, weights.down.transpose(1, 2), offs=ends)
    back = torch.empty_like(made)
    back[order] = made
    return (back.view(-1, top_k, made.shape[-1]) * gates.to(BF16)[..., None]).sum(1)


def through(
    shape: Shape,
    weights: Layer,
    x: Tensor,
    cache: Tensor,
    first: int,
    turn: tuple[Tensor, Tensor],
) -> Tensor:
    """A layer's output for tokens x [batch, tokens, d_model] at positions from `first` on.

    The cache is [2, batch, positions, kv_heads, head_dim]; earlier positions are read, these are written.
    """
    batch, tokens, width = x.shape
    joined = F.rms_norm(x, (width,), weights.norms[0]) @ weights.qkv.t()
    joined = joined.view(batch, tokens, -1, shape.head_dim)
    q, k, v = joined.split((shape.heads, shape.kv_heads, shape.kv_heads), 2)
    cache[0, :, first : first + tokens] = rotary(k, turn)
    cache[1, :, first : first + tokens] = v
    seen = cache[:, :, : first + tokens].transpose(2, 3)
    mixed = attend(rotary(q, turn).transpose(1, 2), seen[0], seen[1], causal=tokens > 1)
    x = x + mixed.transpose(1, 2).reshape(batch, tokens, -1) @ weights.o.t()
    normed = F.rms_norm(x, (width,), weights.norms[1])
    if weights.router is None:
        return x + swiglu(normed @ weights.gate_up.t()) @ weights.down.t()
    return x + experts(normed.view(-1, width), weights, shape.top_k).view_as(x)


class Decoder:
    """A whole model: embedding, layers, head."""

    def __init__(self, shape: Shape, device: str) -> None:
        self.shape, self.device = shape, device
        self.layers = [layer(shape, device) for _ in range(shape.layers)]
        self.embedding = random(shape.vocab, shape.d_model, device=device)
        scale = shape.d_model**-0.5
        self.head = (
            self.embedding if shape.tied else random(shape.vocab, shape.d_model, device=device, scale=scale)
        )
        self.norm = torch.ones(shape.d_model, dtype=BF16, device=device)

    def cache(self, batch: int, positions: int) -> list[Tensor]:
        """Random keys and values for every layer, so that decode reads real numbers without a prefill."""
        shape = self.shape
        size = (2, batch, positions, shape.kv_heads, shape.head_dim)
        return [random(*size, device=self.device) for _ in self.layers]

    def run(self, ids: Tensor, cache: list[Tensor], first: int, turn: tuple[Tensor, Tensor]) -> Tensor:
        """The next token of each sequence, greedily: ids [batch, tokens] at positions from `first` on."""
        x = F.embedding(ids, self.embedding)
        for weights, kept in zip(self.layers, cache, strict=True):
            x = through(self.shape, weights, x, kept, first, turn)
        last = F.rms_norm(x[:, -1], (self.shape.d_model,), self.norm)
        return (last @ self.head.t()).argmax(-1)
