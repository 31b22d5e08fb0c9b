"""Families with a state in place of a cache, pure or between layers of attention: one small reader each."""

from __future__ import annotations

from genzcli.catalog.huggingface import parts
from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.draft import Draft, Layer, depth, width
from genzcli.catalog.huggingface.experts import feeds, joined, latent

# --- Mamba ---


def mamba(config: Config) -> Draft:
    """Mamba and Falcon-Mamba: mixers alone."""
    inner = config.count("intermediate_size", default=lambda: config.count("expand") * width(config))
    mixer = _mamba1(config, inner, "state_size", "conv_kernel", "time_step_rank")
    return Draft(config, [{"mamba": mixer, "norms": 1}] * depth(config), tied=True)


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
    if config.count("num_experts") == 1:
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
    listed = config.places("attn_layer_indices")
    if listed is None:
        raise config.lacks("attn_layer_indices")
    scan, mixer = _mamba2(config, *_BAMBA), parts.attention(config)
    feed = {"mlp": parts.mlp(config)}
    layers = [{"attention": mixer} if index in listed else {"mamba2": scan} for index in range(depth(config))]
    return Draft(config, [layer | feed for layer in layers])


def granite_hybrid(config: Config) -> Draft:
    """Granite 4: Mamba-2 and attention by `layer_types`, experts where there are any."""
    kinds = ("mamba", "attention")
    types = config.words("layer_types", "layers_block_type", length=depth(config), known=kinds)
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
    """Nemotron-H and Nemotron 3: each layer is a Mamba-2, an attention, an MLP or experts, alone.

    In the searched ones (Puzzle) `block_configs` gives each layer sizes of its own.
    """
    parts.prediction_layers(config)
    letters, blocks = _pattern(config), config.list("block_configs")
    if blocks is None:
        return Draft(config, [_nemotron_layer(config, letter) for letter in letters])
    if len(blocks) < len(letters):
        raise config.wrong(
            "block_configs", f"{len(blocks)} entries", f"one for each of {len(letters)} layers"
        )
    own = [config.over(block, "block_configs") for block in blocks]
    return Draft(config, [_nemotron_layer(*pair) for pair in zip(own, letters, strict=False)])


def _pattern(config: Config) -> list[str]:
    pattern = config.get("hybrid_override_pattern")
    types = config.list("layers_block_type")
    if isinstance(pattern, str):
        letters = [letter for letter in pattern if letter != "|"]
    elif types is not None:
        letters = [_LETTERS.get(str(kind), str(kind)) for kind in types]
    else:
        raise config.lacks("hybrid_override_pattern", "layers_block_type")
    layers = config.count("num_hidden_layers", default=len(letters))
    if len(letters) < layers:
        raise config.wrong("hybrid_override_pattern", len(letters), f"a letter for each of {layers} layers")
    return letters[:layers]


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
    extra = {"d_latent": config.count("moe_latent_size", default=0, least=0)}
    return parts.moe(config, d_expert=d_expert, d_shared=shared * each, gated=gated, **extra)


def falcon_h1(config: Config) -> Draft:
    """Falcon-H1: attention and Mamba-2 side by side in each layer, then an MLP."""
    inner = config.get("mamba_d_ssm")
    if inner is None:
        inner = config.count("mamba_expand", default=2) * width(config)
    heads, scan = config.count("mamba_n_heads"), config.whole(inner, "mamba_d_ssm")
    mamba: Layer = {
        "heads": heads,
        "head_dim": scan // heads,
        "d_state": config.count("mamba_d_state"),
        "groups": config.count("mamba_n_groups", default=1),
        "d_conv": config.count("mamba_d_conv", default=4),
        "chunk": config.count("mamba_chunk_size", default=256),
    }
    layer: Layer = {
        "side_by_side": {"attention": parts.attention(config), "mamba2": mamba},
        "mlp": parts.mlp(config),
    }
    return Draft(config, [layer] * depth(config))


# --- one set of attention between Mamba layers, used many times ---


_ZAMBA = ("mamba", "hybrid")


def zamba(config: Config) -> Draft:
    """Zamba: one attention and MLP between Mamba layers, the same weights at each place."""
    mixer = _wide_attention(config)
    shared: Layer = {"attention": mixer, "mlp": parts.mlp(config), "reuse": {"link": True}}
    inner = config.count("mamba_expand", default=2) * width(config)
    mamba: Layer = {
        "mamba": _mamba1(config, inner, "mamba_d_state", "mamba_d_conv", "mamba_dt_rank"),
        "norms": 1,
    }
    listed = config.words("layers_block_type", length=depth(config), known=_ZAMBA)
    if listed is None:
        every = config.count("attn_layer_period", default=6)
        offset = config.count("attn_layer_offset", default=4, least=0)
        rest = [index % every == offset for index in range(depth(config) - 3)]
        hybrid = [False, False, True, *rest]
    else:
        hybrid = [kind == "hybrid" for kind in listed]
    layers = [layer for has in hybrid for layer in ([shared, mamba] if has else [mamba])]
    return Draft(config, layers, tied=True)


def zamba2(config: Config) -> Draft:
    """Zamba2: sets of attention and MLP in turn between Mamba-2 layers, adapters of each use's own."""
    types = config.words("layers_block_type", length=depth(config), known=_ZAMBA)
    if types is None:
        raise config.lacks("layers_block_type")
    rank, sets = config.count("adapter_rank", default=128), config.count("num_mem_blocks", default=1)
    reuse: Layer = {"mlp_rank": rank, "link": True}
    if config.flag("use_shared_attention_adapter"):
        reuse["attention_rank"] = rank
    mixer = _wide_attention(config)
    feed = parts.mlp(config, default=4 * width(config))
    names = ("n_mamba_heads", "mamba_headdim", "mamba_d_state", "mamba_ngroups", "mamba_d_conv", "chunk_size")
    mamba: Layer = {"mamba2": _mamba2(config, *names), "norms": 1}
    layers: list[Layer] = []
    uses = 0
    for kind in types:
        if kind == "hybrid":
            number = uses % sets + 1
            own = reuse | ({"number": number} if number > 1 else {})
            layers.append({"attention": mixer, "mlp": feed, "reuse": own})
            uses += 1
        layers.append(mamba)
    return Draft(config, layers, tied=True)


def _wide_attention(config: Config) -> Layer:
    """Attention over the stream and the embedding beside it, twice the model's width."""
    heads = config.count("num_attention_heads")
    wide = config.count("attention_hidden_size", default=2 * width(config))
    if wide % heads:
        raise config.lacks("attention_head_dim")
    return {
        "heads": heads,
        "kv_heads": config.count("num_key_value_heads", default=heads),
        "head_dim": config.count("attention_head_dim", default=wide // heads),
        "d_input": wide,
    }


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
    types = config.words("layer_types", length=layers, known=("linear_attention", "full_attention"))
    if types is None:
        every = config.count("full_attention_interval", default=4)
        return [(index + 1) % every != 0 for index in range(layers)]
    return [kind == "linear_attention" for kind in types]


def minimax_01(config: Config) -> Draft:
    """MiniMax-01 and M1: seven layers of lightning attention to one of softmax, experts in each."""
    layers = depth(config)
    kinds = config.list("attn_type_list", "layer_types", length=layers)
    if kinds is None:
        raise config.lacks("attn_type_list", "layer_types")
    for kind in kinds:
        if kind not in (0, 1, "linear_attention", "full_attention"):
            raise config.wrong("attn_type_list", kind, "0 or 1 for each layer")
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
    full = table.places("full_attn_layers") or ()
    heads, dim = table.count("num_heads"), table.count("head_dim")
    delta: Layer = {"key_heads": heads, "value_heads": heads, "key_dim": dim, "value_dim": dim}
    delta["d_conv"] = table.count("short_conv_kernel_size", default=4)
    delta["decay_rank"] = dim
    if not table.flag("use_full_rank_gate"):
        delta["gate_rank"] = dim
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
        d_latent=config.count("routed_expert_hidden_size", default=0, least=0),
    )
    return Draft(config, joined(mixers, feeds(config, parts.after_dense(config), routed)))
