"""Families with a state in place of a cache, pure or between layers of attention: one small reader each."""

from __future__ import annotations

from typing import Any

from genzcli.catalog.huggingface import parts
from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.draft import Draft, Layer, depth, width
from genzcli.catalog.huggingface.experts import feeds, joined, latent

# --- Mamba ---


def mamba(config: Config) -> Draft:
    """Mamba and Falcon-Mamba: mixers alone."""
    inner = config.count("intermediate_size", default=lambda: config.count("expand") * width(config))
    mixer = _mamba1(config, inner, "state_size", "conv_kernel", "time_step_rank")
    return Draft(config, [{"mamba": mixer, "norms": 1}] * depth(config), tied=config.family == "mamba")


def _mamba1(config: Config, inner: int, state: str, taps: str, rank: str) -> Layer:
    word = config.get(rank)
    narrow = -(-width(config) // 16) if word in (None, "auto") else config.whole(word, rank)
    return {
        "d_inner": inner,
        "d_state": config.count(state),
        "d_conv": config.count(taps, default=4),
        "dt_rank": narrow,
    }


def mamba2(config: Config) -> Draft:
    """Mamba-2: mixers alone."""
    mixer = _mamba2(config, "num_heads", "head_dim", "state_size", "n_groups", "conv_kernel", "chunk_size")
    return Draft(config, [{"mamba2": mixer, "norms": 1}] * depth(config))


def _mamba2(config: Config, heads: str, dim: str, state: str, groups: str, taps: str, chunk: str) -> Layer:
    count = config.count(heads)
    wide = config.get(dim)
    if wide in (None, "auto"):
        wide = config.count("expand", "mamba_expand") * width(config) // count
    return {
        "heads": count,
        "head_dim": config.whole(wide, dim),
        "d_state": config.count(state),
        "groups": config.count(groups, default=1),
        "d_conv": config.count(taps, default=4),
        "chunk": config.count(chunk, default=256),
    }


def mamba_ssm(config: Config) -> Draft:
    """The config of the authors' own code: a table for the mixer, padded vocabulary."""
    table = config.table("ssm_cfg")
    if table is None:
        raise config.lacks("ssm_cfg")
    if config.get("attn_layer_idx"):
        raise config.refuse("attention between the Mamba layers of a mamba_ssm config (attn_layer_idx)")
    d_model, vocab = width(config), config.count("vocab_size")
    pad = config.count("pad_vocab_size_multiple", default=1)
    inner = table.count("expand", default=2) * d_model
    if table.get("layer") == "Mamba2":
        dim = table.count("headdim", default=64)
        shape = {"heads": inner // dim, "head_dim": dim, "d_state": table.count("d_state", default=128)}
        shape |= {"groups": table.count("ngroups", default=1), "d_conv": table.count("d_conv", default=4)}
        layer: Layer = {"mamba2": shape, "norms": 1}
    else:
        shape = {"d_inner": inner, "d_state": table.count("d_state", default=16)}
        shape |= {"d_conv": table.count("d_conv", default=4), "dt_rank": -(-d_model // 16)}
        layer = {"mamba": shape, "norms": 1}
    d_ff = config.count("d_intermediate", default=0, least=0)
    layer |= {"mlp": {"d_ff": d_ff}, "norms": 2} if d_ff else {}
    tied = config.flag("tie_embeddings", default=True)
    return Draft(config, [layer] * depth(config), tied=tied, vocab=-(-vocab // pad) * pad)


# --- Mamba between attention ---


def jamba(config: Config) -> Draft:
    """Jamba: one attention layer in eight, experts every other layer."""
    layers = depth(config)
    period, offset = config.count("attn_layer_period"), config.count("attn_layer_offset", least=0)
    inner = config.count("mamba_expand") * width(config)
    scan = _mamba1(config, inner, "mamba_d_state", "mamba_d_conv", "mamba_dt_rank")
    mixers = [
        {"attention": parts.attention(config)} if index % period == offset else {"mamba": scan}
        for index in range(layers)
    ]
    if config.count("num_experts", default=1) == 1:
        return Draft(config, joined(mixers, [{"mlp": parts.mlp(config)}] * layers))
    period, offset = config.count("expert_layer_period"), config.count("expert_layer_offset", least=0)
    routed = parts.moe(config, d_expert=config.count("intermediate_size"))
    sparse = [index % period == offset for index in range(layers)]
    return Draft(config, joined(mixers, feeds(config, sparse, routed)))


_BAMBA = (
    "mamba_n_heads",
    "mamba_d_head",
    "mamba_d_state",
    "mamba_n_groups",
    "mamba_d_conv",
    "mamba_chunk_size",
)


def bamba(config: Config) -> Draft:
    """Bamba: Mamba-2, attention in the listed layers, an MLP in each."""
    listed = config.list("attn_layer_indices")
    if listed is None:
        raise config.lacks("attn_layer_indices")
    scan, mixer = _mamba2(config, *_BAMBA), parts.attention(config)
    feed = {"mlp": parts.mlp(config)}
    layers = [{"attention": mixer} if index in listed else {"mamba2": scan} for index in range(depth(config))]
    return Draft(config, [layer | feed for layer in layers])


def granite_hybrid(config: Config) -> Draft:
    """Granite 4: Mamba-2 and attention by `layer_types`, experts where there are any."""
    types = config.list("layer_types", "layers_block_type", length=depth(config))
    if types is None:
        raise config.lacks("layer_types")
    scan, mixer = _mamba2(config, *_BAMBA), parts.attention(config)
    shared = config.count("shared_intermediate_size", default=0, least=0)
    if config.count("num_local_experts", default=0, least=0):
        feed = {"moe": parts.moe(config, d_expert=config.count("intermediate_size"), d_shared=shared)}
    else:
        feed = {"mlp": {"d_ff": shared or config.count("intermediate_size")}}
    return Draft(
        config, [({"mamba2": scan} if kind == "mamba" else {"attention": mixer}) | feed for kind in types]
    )


_NEMOTRON = ("mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups", "conv_kernel", "chunk_size")
_LETTERS = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}


def nemotron_h(config: Config) -> Draft:
    """Nemotron-H and Nemotron 3: each layer is a Mamba-2, an attention, an MLP or experts, alone."""
    parts.prediction_layers(config)
    return Draft(config, [_nemotron_layer(config, letter) for letter in _pattern(config)])


def _pattern(config: Config) -> list[str]:
    pattern = config.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        letters = [letter for letter in pattern if letter != "|"]
        if len(letters) < depth(config):
            raise config.wrong(
                "hybrid_override_pattern", pattern, f"a letter for each of {depth(config)} layers"
            )
        return letters[: depth(config)]
    types = config.list("layers_block_type")
    if types is None:
        raise config.lacks("hybrid_override_pattern", "layers_block_type")
    return [_LETTERS.get(str(kind), str(kind)) for kind in types]


def _nemotron_layer(config: Config, letter: str) -> Layer:
    gated = config.get("mlp_hidden_act") in ("silu", "swiglu")
    match letter:
        case "M":
            return {"mamba2": _mamba2(config, *_NEMOTRON), "norms": 1}
        case "*":
            return {"attention": parts.attention(config), "norms": 1}
        case "-":
            return {"mlp": parts.mlp(config, gated=gated), "norms": 1}
        case "E":
            return {"moe": _nemotron_experts(config, gated), "norms": 1}
    raise config.refuse(f"layers of the type {letter!r}")


def _nemotron_experts(config: Config, gated: bool) -> Layer:
    d_expert = config.count("moe_intermediate_size")
    shared = config.count("n_shared_experts", default=0, least=0)
    each = config.count("moe_shared_expert_intermediate_size", default=d_expert)
    extra: dict[str, Any] = {"d_latent": config.get("moe_latent_size")}
    return parts.moe(config, d_expert=d_expert, d_shared=shared * each, gated=gated, **extra)


def zamba2(config: Config) -> Draft:
    """Zamba 1 and 2: refused."""
    raise config.refuse(
        "attention blocks whose weights several layers share (num_mem_blocks)",
        "attention over the embedding beside the stream, twice the model's width",
        "low-rank adapters of each use (adapter_rank)",
    )


def falcon_h1(config: Config) -> Draft:
    """Falcon-H1: refused."""
    raise config.refuse("attention and Mamba side by side in one layer")


# --- linear attention between softmax attention ---


def qwen_next(config: Config) -> Draft:
    """Qwen3-Next and Qwen3.5: three gated delta nets to one gated attention."""
    gated = config.flag("attn_output_gate", default=True)
    mixer = parts.attention(config, output_gate=gated)
    delta: Layer = {
        "key_heads": config.count("linear_num_key_heads"),
        "value_heads": config.count("linear_num_value_heads"),
        "key_dim": config.count("linear_key_head_dim"),
        "value_dim": config.count("linear_value_head_dim"),
        "d_conv": config.count("linear_conv_kernel_dim", default=4),
    }
    mixers = [
        {"linear_attention": delta} if flag else {"attention": mixer} for flag in _linear_layers(config)
    ]
    if config.get("num_experts") is None:
        return _predicted(config, Draft(config, joined(mixers, [{"mlp": parts.mlp(config)}] * len(mixers))))
    routed = parts.moe(
        config,
        d_expert=config.count("moe_intermediate_size"),
        d_shared=config.count("shared_expert_intermediate_size", default=0, least=0),
    )
    return _predicted(config, Draft(config, joined(mixers, feeds(config, parts.by_step(config), routed))))


def _predicted(config: Config, draft: Draft) -> Draft:
    """The prediction modules have softmax attention."""
    whole = [layer for layer in draft.layers if "attention" in layer]
    return parts.predicting(config, draft, whole[-1]) if whole else draft


def _linear_layers(config: Config) -> list[bool]:
    layers = depth(config)
    types = config.list("layer_types", length=layers)
    if types is None:
        every = config.count("full_attention_interval", default=4)
        return [(index + 1) % every != 0 for index in range(layers)]
    for kind in types:
        if kind not in ("linear_attention", "full_attention"):
            raise config.refuse(f"layers of the type {kind!r}")
    return [kind == "linear_attention" for kind in types]


def minimax_01(config: Config) -> Draft:
    """MiniMax-01 and M1: seven layers of lightning attention to one of softmax, experts in each."""
    layers = depth(config)
    kinds = config.list("attn_type_list", "layer_types", length=layers)
    if kinds is None:
        raise config.lacks("attn_type_list", "layer_types")
    mixer = parts.attention(config)
    heads, dim = mixer["heads"], mixer["head_dim"]
    lightning = {"key_heads": heads, "value_heads": heads, "key_dim": dim, "value_dim": dim, "d_conv": 0}
    mixers = [
        {"linear_attention": lightning} if kind in (0, "linear_attention") else {"attention": mixer}
        for kind in kinds
    ]
    routed = parts.moe(config, d_expert=config.count("intermediate_size"))
    shared = config.get("shared_intermediate_size")
    if any(shared) if isinstance(shared, list) else shared:
        raise config.refuse("shared experts beside lightning attention (shared_intermediate_size)")
    return Draft(config, joined(mixers, [{"moe": routed}] * layers))


def kimi_linear(config: Config) -> Draft:
    """Kimi Linear and K3: three delta nets (KDA) to one latent attention, experts after the first layer."""
    table = config.table("linear_attn_config")
    if table is None:
        raise config.lacks("linear_attn_config")
    full = table.list("full_attn_layers") or []
    heads, dim = table.count("num_heads"), table.count("head_dim")
    delta: Layer = {"key_heads": heads, "value_heads": heads, "key_dim": dim, "value_dim": dim}
    delta["d_conv"] = table.count("short_conv_kernel_size", default=4)
    if not table.flag("use_full_rank_gate"):
        delta["output_gate"] = False
        config.note("the low-rank output gates of linear attention")
    config.note("the low-rank decays of linear attention")
    if config.get("attn_res_block_size"):
        config.note("attention over the residuals of earlier blocks")
    mixers = [
        {"mla": latent(config)} if index + 1 in full else {"linear_attention": delta}
        for index in range(depth(config))
    ]
    d_expert = config.count("moe_intermediate_size")
    routed = parts.moe(
        config,
        d_expert=d_expert,
        d_shared=parts.shared_width(config, d_expert),
        d_latent=config.get("routed_expert_hidden_size"),
    )
    return Draft(config, joined(mixers, feeds(config, parts.after_dense(config), routed)))
