"""Families of transformers with a dense feed-forward part: one small reader each."""

from __future__ import annotations

from typing import Any

from genzcli.catalog.huggingface import parts
from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.draft import Draft, Layer, depth, width


def stack(config: Config, windows: list[int | None], feed: Layer, **block: Any) -> list[Layer]:
    """Layers that are alike but for their windows."""
    mixer = parts.attention(config)
    return [{"attention": mixer | ({"window": w} if w else {}), "mlp": feed, **block} for w in windows]


def llama(config: Config) -> Draft:
    """Llama and what copies it: gated MLP, two norms, full attention."""
    if config.family != "mimo":
        parts.prediction_layers(config)
        return Draft(config, stack(config, [None] * depth(config), parts.mlp(config)))
    return parts.predicting(config, Draft(config, stack(config, [None] * depth(config), parts.mlp(config))))


def mistral(config: Config) -> Draft:
    """Llama with one window for all layers, where there is one."""
    slides = parts.sliding(config, default=parts.window(config) is not None)
    return Draft(config, stack(config, parts.locals_(config, slides), parts.mlp(config)))


def qwen2(config: Config) -> Draft:
    """Qwen2 to Qwen3 and MiMo: layers from `max_window_layers` on slide, where windows are used at all."""
    parts.prediction_layers(config)
    return Draft(config, stack(config, qwen_windows(config), parts.mlp(config)))


def qwen_windows(config: Config) -> list[int | None]:
    """The window of each layer, as the Qwens write it."""
    layers = depth(config)
    if not config.flag("use_sliding_window"):
        return [None] * layers
    if config.get("layer_types") is not None:
        return parts.locals_(config, parts.sliding(config))
    first = config.count("max_window_layers", default=layers, least=0)
    return parts.locals_(config, [index >= first for index in range(layers)])


def phi(config: Config) -> Draft:
    """Phi-1 and 2: attention beside a plain MLP."""
    config.note("biases")
    feed = parts.mlp(config, gated=False)
    return Draft(config, stack(config, [None] * depth(config), feed, norms=1, parallel=True))


def cohere(config: Config) -> Draft:
    """Command R and A: attention beside a gated MLP; of Command A three layers of four slide."""
    newer = config.family.startswith("cohere2")
    slides = parts.sliding(config, pattern=4 if newer else None)
    windows = parts.locals_(config, slides)
    return Draft(config, stack(config, windows, parts.mlp(config), norms=1, parallel=True), tied=True)


def starcoder2(config: Config) -> Draft:
    """StarCoder2: a plain MLP, one window for all layers."""
    slides = [parts.window(config) is not None] * depth(config)
    return Draft(
        config, stack(config, parts.locals_(config, slides), parts.mlp(config, gated=False)), tied=True
    )


def stablelm(config: Config) -> Draft:
    """StableLM: a gated MLP, in some behind, in some beside the attention."""
    beside = config.flag("use_parallel_residual")
    block = {"norms": 1, "parallel": True} if beside else {}
    return Draft(config, stack(config, [None] * depth(config), parts.mlp(config), **block))


def ungated(config: Config) -> Draft:
    """Nemotron-4, Minitron, Arcee, Apertus, Persimmon: Llama but for an MLP without a gate."""
    return Draft(config, stack(config, [None] * depth(config), parts.mlp(config, gated=False)))


def four_norms(config: Config) -> Draft:
    """GLM-4-0414: Llama with norms behind as well as before."""
    return Draft(config, stack(config, [None] * depth(config), parts.mlp(config), norms=4))


def exaone4(config: Config) -> Draft:
    """EXAONE 4: three layers of four slide in the larger one, none in the smaller."""
    pattern = config.get("sliding_window_pattern")
    if isinstance(pattern, str) and config.get("layer_types") is None:  # "LLLG"
        letters = [letter.upper() for letter in pattern]
        if not letters or set(letters) - {"L", "G"}:
            raise config.wrong("sliding_window_pattern", pattern, "letters L and G, as LLLG")
        slides = [letters[index % len(letters)] == "L" for index in range(depth(config))]
        slides[-1] = False  # the last layer sees everything
    else:
        slides = parts.sliding(config) if config.get("sliding_window") else [False] * depth(config)
    return Draft(config, stack(config, parts.locals_(config, slides), parts.mlp(config)))


def qwen1(config: Config) -> Draft:
    """The first Qwen: `intermediate_size` counts gate and up together."""
    config.note("biases")
    feed = {"d_ff": config.count("intermediate_size") // 2}
    return Draft(config, stack(config, [None] * depth(config), feed))


def chatglm(config: Config) -> Draft:
    """ChatGLM2 to GLM-4-9B: multi-query groups, a padded vocabulary."""
    config.note("biases")
    heads = config.count("num_attention_heads")
    groups = config.count("multi_query_group_num") if config.flag("multi_query_attention") else heads
    mixer = {"heads": heads, "kv_heads": groups, "head_dim": parts.head_dim(config, heads)}
    layer: Layer = {"attention": mixer, "mlp": parts.mlp(config, "ffn_hidden_size")}
    return Draft(config, [layer] * depth(config), vocab=config.count("padded_vocab_size", "vocab_size"))


def hunyuan_dense(config: Config) -> Draft:
    """Hunyuan's dense models: Llama, where a layer of `cla_share_factor` has a cache and others read it."""
    feed = parts.mlp(config)
    return Draft(config, [mixer | {"mlp": feed} for mixer in cross_layer(config)])


def cross_layer(config: Config) -> list[Layer]:
    """Attention where neighbouring layers share a cache (cross-layer attention, arXiv 2405.12981)."""
    mixer = parts.attention(config)
    every = config.count("cla_share_factor", default=1) if config.flag("use_cla") else 1
    reader = mixer | {"shares_kv": True}
    return [{"attention": mixer if index % every == 0 else reader} for index in range(depth(config))]


def lfm2(config: Config) -> Draft:
    """LFM2: gated short convolutions, attention in some layers."""
    mixers = short_convolutions(config)
    return Draft(config, [mixer | {"mlp": {"d_ff": _lfm2_width(config)}} for mixer in mixers], tied=True)


def short_convolutions(config: Config) -> list[Layer]:
    """The mixer of each layer of LFM2: `layer_types`, or attention in the listed layers."""
    layers = depth(config)
    listed = config.places("full_attn_idxs")
    types = config.words("layer_types", length=layers, known=("conv", "full_attention"))
    if types is None and listed is None:
        raise config.lacks("layer_types", "full_attn_idxs")
    if types is not None:
        whole = [kind == "full_attention" for kind in types]
    else:
        whole = [index in (listed or ()) for index in range(layers)]
    mixer = parts.attention(config)
    channels = config.count("conv_dim", default=lambda: width(config))
    short = {"channels": channels, "d_conv": config.count("conv_L_cache", default=3)}
    return [{"attention": mixer} if has else {"short_convolution": short} for has in whole]


def _lfm2_width(config: Config) -> int:
    """The MLP's width: two thirds of the stated one, and rounded up, where the config says so."""
    inner = config.count("intermediate_size", "block_ff_dim")
    if config.flag("block_auto_adjust_ff_dim", default=True):
        scale = config.number("block_ffn_dim_multiplier", default=1.0)
        step = config.count("block_multiple_of", default=256)
        inner = -(-int(scale * int(2 * inner / 3)) // step) * step
    return inner


def olmo(config: Config) -> Draft:
    """OLMo: norms without weights."""
    return Draft(config, stack(config, [None] * depth(config), parts.mlp(config), norms=0))


def olmo2(config: Config) -> Draft:
    """OLMo 2, and OLMo 3 where three layers of four slide."""
    slides = parts.sliding(config, pattern=4 if config.get("sliding_window") else None)
    return Draft(config, stack(config, parts.locals_(config, slides), parts.mlp(config)))


# --- Gemma ---


def gemma(config: Config) -> Draft:
    """Gemma: Llama with tied embeddings."""
    return Draft(config, stack(config, [None] * depth(config), parts.mlp(config)), tied=True)


def gemma2(config: Config) -> Draft:
    """Every other layer slides, the first one does."""
    windows = parts.locals_(config, parts.sliding(config, pattern=2))
    return Draft(config, stack(config, windows, parts.mlp(config), norms=4), tied=True)


def gemma3(config: Config) -> Draft:
    """Five local layers, then one that sees everything."""
    windows = parts.locals_(config, parts.sliding(config, pattern=6))
    return Draft(config, stack(config, windows, parts.mlp(config), norms=4), tied=True)


def gemma3n(config: Config) -> Draft:
    """Gemma 3n: four streams (AltUp), a low-rank branch (LAuReL), embeddings of each layer, shared caches."""
    layers, shared = depth(config), config.count("num_kv_shared_layers", least=0)
    windows = parts.locals_(config, parts.sliding(config, pattern=5))
    widths = config.get("intermediate_size")
    if isinstance(widths, list):
        listed = config.list("intermediate_size", length=layers) or []
        sizes = [config.whole(size, "intermediate_size") for size in listed]
    else:
        sizes = [config.count("intermediate_size")] * layers
    if any(config.list("activation_sparsity_pattern") or []):
        config.note("the activation sparsity of the first MLPs")
    mixer = parts.attention(config)
    around: Layer = {
        "norms": 7,
        "streams": {"count": config.count("altup_num_inputs"), "rule": "altup"},
        "branch_rank": config.count("laurel_rank"),
        **_own_embedding(config),
    }
    found = []
    for index, (window, size) in enumerate(zip(windows, sizes, strict=True)):
        own = mixer | ({"window": window} if window else {})
        own |= {"shares_kv": True} if index >= layers - shared else {}
        found.append({"attention": own, "mlp": {"d_ff": size}, **around})
    return Draft(config, found, tied=True)


def _own_embedding(config: Config) -> Layer:
    """An embedding of each layer's own, where the config has one."""
    width = config.count("hidden_size_per_layer_input", default=0, least=0)
    if not width:
        return {}
    rows = config.count("vocab_size_per_layer_input", default=lambda: config.count("vocab_size"))
    return {"layer_embedding": {"vocab": rows, "width": width}}


def gemma4(config: Config) -> Draft:
    """Global layers have wider heads, fewer of them, and in the larger models one projection for K and V.

    The small ones have embeddings of each layer's own, and their last layers read earlier caches.
    """
    slides = parts.sliding(config, pattern=6)
    slides[-1] = False  # its class makes the last layer a global one
    alike, shared = config.flag("attention_k_eq_v"), config.count("num_kv_shared_layers", default=0, least=0)
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    local: Layer = {"heads": heads, "kv_heads": kv_heads, "head_dim": parts.head_dim(config, heads)}
    wide = config.count("global_head_dim", default=local["head_dim"])
    few = config.count("num_global_key_value_heads", default=kv_heads) if alike else kv_heads
    whole = {"heads": heads, "kv_heads": few, "head_dim": wide} | ({"k_is_v": True} if alike else {})
    own, layers = _own_embedding(config), []
    for index, (slide, size) in enumerate(zip(slides, parts.locals_(config, slides), strict=True)):
        mixer = (local | {"window": size} if size else dict(local)) if slide else dict(whole)
        last = index >= len(slides) - shared > 0
        if last:
            mixer = {key: value for key, value in mixer.items() if key != "k_is_v"} | {"shares_kv": True}
        double = 2 if last and config.flag("use_double_wide_mlp") else 1
        feed = _gemma4_feed(config, double)
        layers.append({"attention": mixer, **feed, **own, "norms": feed["norms"] + (1 if own else 0)})
    return Draft(config, layers, tied=True)


def _gemma4_feed(config: Config, times: int) -> Layer:
    """A dense MLP, and in the MoE models routed experts beside it: the MLP is their shared expert."""
    feed = parts.mlp(config)
    if not config.flag("enable_moe_block"):
        return {"mlp": {"d_ff": feed["d_ff"] * times}, "norms": 4}
    d_expert = config.count("moe_intermediate_size")
    return {"moe": parts.moe(config, d_expert=d_expert, d_shared=feed["d_ff"] * times), "norms": 7}


# --- GPTs and their like: plain MLP of four times the width ---


def gpt_neox(config: Config) -> Draft:
    """GPT-NeoX and Pythia: attention beside a plain MLP."""
    config.note("biases")
    beside = config.flag("use_parallel_residual", default=True)
    block = {"parallel": True} if beside else {}
    return Draft(config, stack(config, [None] * depth(config), parts.mlp(config, gated=False), **block))


def gptj(config: Config) -> Draft:
    """GPT-J: attention beside a plain MLP, one norm for both."""
    config.note("biases")
    feed = parts.mlp(config, "n_inner", gated=False, default=4 * width(config))
    return Draft(config, stack(config, [None] * depth(config), feed, norms=1, parallel=True))


def gpt2(config: Config) -> Draft:
    """GPT-2 and GPT-BigCode, which has one KV head."""
    config.note("biases")
    feed = parts.mlp(config, "n_inner", gated=False, default=4 * width(config))
    layers = stack(config, [None] * depth(config), feed)
    if config.family == "gpt_bigcode" and config.flag("multi_query", default=True):
        layers = [layer | {"attention": layer["attention"] | {"kv_heads": 1}} for layer in layers]
    return Draft(config, layers, tied=True, positions=config.count("n_positions", "n_ctx"))


def opt(config: Config) -> Draft:
    """OPT: learned positions, two of them spare."""
    config.note("biases")
    if config.get("word_embed_proj_dim") not in (None, width(config)):
        raise config.refuse("an embedding narrower than the model (word_embed_proj_dim)")
    layers = stack(config, [None] * depth(config), parts.mlp(config, "ffn_dim", gated=False))
    return Draft(config, layers, tied=True, positions=config.count("max_position_embeddings") + 2)


def mpt(config: Config) -> Draft:
    """MPT: a plain MLP, no biases, ALiBi or learned positions."""
    heads = config.count("n_heads")
    table = config.table("attn_config")
    kv_heads = heads if table is None else table.count("kv_n_heads", default=heads)
    if table is not None and table.get("attn_type") == "multiquery_attention":
        kv_heads = 1
    wide = width(config)
    mixer = {"heads": heads, "kv_heads": kv_heads, "head_dim": parts.head_dim(config, heads)}
    feed = {"d_ff": config.count("expansion_ratio", default=4) * wide, "gated": False}
    learned = table is None or not (table.flag("alibi") or table.flag("rope"))
    positions = config.count("max_seq_len") if learned else 0
    return Draft(config, [{"attention": mixer, "mlp": feed}] * depth(config), tied=True, positions=positions)


def bloom(config: Config) -> Draft:
    """BLOOM: no positions, tied embeddings."""
    config.note("biases")
    feed = parts.mlp(config, "n_inner", gated=False, default=4 * width(config))
    return Draft(config, stack(config, [None] * depth(config), feed), tied=True)


def falcon(config: Config) -> Draft:
    """Falcon: attention beside a plain MLP; grouped KV heads in the newer decoder, one in the older."""
    newer = config.flag("new_decoder_architecture")
    heads = config.count("num_attention_heads", "n_head")
    kv_heads = config.count("num_kv_heads", "n_head_kv", default=heads) if newer else heads
    if not newer and config.flag("multi_query", default=True):
        kv_heads = 1
    mixer = {"heads": heads, "kv_heads": kv_heads, "head_dim": parts.head_dim(config, heads)}
    beside = newer or config.flag("parallel_attn", default=True)
    layer: Layer = {
        "attention": mixer,
        "mlp": parts.mlp(config, "ffn_hidden_size", gated=False, default=4 * width(config)),
    }
    if beside:
        layer |= {"norms": 2 if newer and config.count("num_ln_in_parallel_attn", default=2) == 2 else 1}
        layer |= {"parallel": True}
    parts.biases(config)
    return Draft(config, [layer] * depth(config), tied=True)


# --- layers found by search: each of its own shape ---


def deci(config: Config) -> Draft:
    """DeciLM-7B: each layer has its own number of KV heads."""
    listed = config.list("num_key_value_heads_per_layer", length=depth(config))
    if listed is None:
        return llama(config)
    heads, feed = config.count("num_attention_heads"), parts.mlp(config)
    sizes = [config.whole(count, "num_key_value_heads_per_layer") for count in listed]
    base = {"heads": heads, "head_dim": parts.head_dim(config, heads)}
    return Draft(config, [{"attention": {**base, "kv_heads": size}, "mlp": feed} for size in sizes])


def nemotron_nas(config: Config) -> Draft:
    """Nemotron from a search: a block may lack attention or MLP, or have a matrix in the place of either."""
    blocks = config.list("block_configs", length=depth(config))
    if blocks is None:
        raise config.lacks("block_configs")
    layers = [
        layer for block in blocks for layer in _nas_layers(config, config.inside(block, "block_configs"))
    ]
    return Draft(config, layers)


def _nas_layers(config: Config, block: Config) -> list[Layer]:
    mixing, feeding = block.table("attention"), block.table("ffn")
    if mixing is None or feeding is None:
        raise block.lacks("attention" if mixing is None else "ffn")
    first, second = _nas_mixer(config, mixing), _nas_feed(config, feeding)
    if not first and not second:
        config.note("layers that do nothing")
        return []
    if "mlp" in first and second:  # a matrix for the attention is a layer of its own here
        return [first | {"norms": 1}, second | {"norms": 1}]
    return [first | second | ({} if first and second else {"norms": 1})]


def _nas_mixer(config: Config, part: Config) -> Layer:
    if part.flag("no_op"):
        return {}
    if part.flag("replace_with_linear"):
        return _matrix(config)
    if part.get("sparsify") or part.get("num_sink_tokens"):
        raise config.refuse("sparsified or sink attention in block_configs")
    heads = config.count("num_attention_heads")
    group = part.count("n_heads_in_group")
    if heads % group:
        raise config.wrong("block_configs.attention.n_heads_in_group", group, f"a divisor of {heads} heads")
    found: Layer = {"heads": heads, "kv_heads": heads // group, "head_dim": parts.head_dim(config, heads)}
    size = part.get("window_length")
    return {"attention": found | ({"window": part.whole(size, "window_length")} if size else {})}


def _nas_feed(config: Config, part: Config) -> Layer:
    if part.flag("no_op"):
        return {}
    if part.flag("replace_with_linear"):
        return _matrix(config)
    if part.get("moe") or part.get("sparsify"):
        raise config.refuse("experts or sparsified MLPs in block_configs")
    exact = part.get("intermediate_size")
    if exact is not None:
        return {"mlp": {"d_ff": part.whole(exact, "intermediate_size")}}
    inner = int(2 * part.number("ffn_mult") * width(config) / 3)
    return {"mlp": {"d_ff": -(-inner // 256) * 256}}


def _matrix(config: Config) -> Layer:
    """One matrix of the model's width: a plain MLP of half the width has its weights and its work."""
    config.note("single matrices in place of attention or MLP (written as plain MLPs of the same weights)")
    return {"mlp": {"d_ff": width(config) // 2, "gated": False}}
