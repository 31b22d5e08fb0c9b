"""Families of transformers with experts, and those with latent attention: one small reader each."""

from __future__ import annotations

from collections.abc import Sequence

from genzcli.catalog.huggingface import parts
from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.dense import qwen_windows
from genzcli.catalog.huggingface.draft import Draft, Layer, depth


def feeds(config: Config, sparse: Sequence[bool], routed: Layer, *keys: str) -> list[Layer]:
    """The feed-forward part of each layer: experts where `sparse`, the dense MLP of `keys` elsewhere."""
    plain = {} if all(sparse) else {"mlp": parts.mlp(config, *keys)}
    return [{"moe": routed} if has else plain for has in sparse]


def joined(mixers: Sequence[Layer], feeding: Sequence[Layer]) -> list[Layer]:
    """Layers of these mixers and feed-forward parts."""
    return [mixer | feed for mixer, feed in zip(mixers, feeding, strict=True)]


def windowed(config: Config, windows: Sequence[int | None]) -> list[Layer]:
    """Softmax attention with these windows."""
    mixer = parts.attention(config)
    return [{"attention": mixer | ({"window": size} if size else {})} for size in windows]


def mixtral(config: Config) -> Draft:
    """Mixtral, PhiMoE, GraniteMoE and their like: experts in every layer."""
    slides = [parts.window(config) is not None] * depth(config)
    shared = config.count("shared_intermediate_size", default=0, least=0)
    routed = parts.moe(
        config, d_expert=config.count("moe_intermediate_size", "intermediate_size"), d_shared=shared
    )
    mixers = windowed(config, parts.locals_(config, slides))
    return Draft(config, joined(mixers, [{"moe": routed}] * depth(config)))


def minimax_m2(config: Config) -> Draft:
    """MiniMax-M2: like Mixtral, its experts named otherwise."""
    return parts.predicting(config, mixtral(config))


def gpt_oss(config: Config) -> Draft:
    """gpt-oss: every other layer slides, the first one does."""
    config.note("attention sinks")
    windows = parts.locals_(config, parts.sliding(config, pattern=2))
    routed = parts.moe(config, d_expert=config.count("intermediate_size"))
    return Draft(config, joined(windowed(config, windows), [{"moe": routed}] * depth(config)))


def qwen_moe(config: Config) -> Draft:
    """Qwen 1.5 to 3 with experts, and a shared one in the older."""
    routed = parts.moe(
        config,
        d_expert=config.count("moe_intermediate_size"),
        d_shared=config.count("shared_expert_intermediate_size", default=0, least=0),
    )
    parts.prediction_layers(config)
    return Draft(
        config, joined(windowed(config, qwen_windows(config)), feeds(config, parts.by_step(config), routed))
    )


def llama4(config: Config) -> Draft:
    """Llama 4: three layers of four see their own chunk; experts in each layer or every other one."""
    layers = depth(config)
    size = config.count("attention_chunk_size", default=0, least=0)
    if config.get("layer_types") is not None:
        chunked = parts.sliding(config)
    else:
        rope = config.list("no_rope_layers", length=layers) or [(index + 1) % 4 for index in range(layers)]
        chunked = [bool(item) for item in rope]
    step = config.count("interleave_moe_layer_step", default=1)
    listed = config.list("moe_layers")
    sparse = [index in listed if listed else (index + 1) % step == 0 for index in range(layers)]
    d_expert = config.count("intermediate_size")
    routed = parts.moe(config, d_expert=d_expert, d_shared=d_expert)
    whole = parts.attention(config)
    mixers = [{"attention": whole | ({"chunk": size} if local and size else {})} for local in chunked]
    return Draft(config, joined(mixers, feeds(config, sparse, routed, "intermediate_size_mlp")))


def glm4_moe(config: Config) -> Draft:
    """GLM-4.5 to 4.7, dots.llm1 and their like: dense first layers, shared experts, GQA."""
    d_expert = config.count("moe_intermediate_size")
    routed = parts.moe(config, d_expert=d_expert, d_shared=parts.shared_width(config, d_expert))
    mixers = windowed(config, [None] * depth(config))
    draft = Draft(config, joined(mixers, feeds(config, parts.after_dense(config), routed)))
    return parts.predicting(config, draft)


# --- latent attention ---


def latent(config: Config) -> Layer:
    """Multi-head latent attention, with an indexer where the config has one."""
    found: Layer = {
        "heads": config.count("num_attention_heads"),
        "q_rank": config.get("q_lora_rank") and config.count("q_lora_rank"),
        "kv_rank": config.count("kv_lora_rank"),
        "nope_dim": config.count("qk_nope_head_dim"),
        "rope_dim": config.count("qk_rope_head_dim"),
        "value_dim": config.count("v_head_dim"),
    }
    if config.flag("mla_use_output_gate"):
        found["output_gate"] = True
    if config.get("index_topk") is not None:
        found["index"] = {
            "heads": config.count("index_n_heads"),
            "head_dim": config.count("index_head_dim"),
            "top_k": config.count("index_topk"),
        }
    return {key: value for key, value in found.items() if value}


def deepseek(config: Config) -> Draft:
    """DeepSeek V2, V3 and V3.2, Kimi K2, GLM-5 and GLM-4.7-Flash: latent attention, shared experts."""
    d_expert = config.count("moe_intermediate_size")
    routed = parts.moe(config, d_expert=d_expert, d_shared=parts.shared_width(config, d_expert))
    mixers: list[Layer] = [{"mla": latent(config)}] * depth(config)
    draft = Draft(config, joined(mixers, feeds(config, parts.after_dense(config), routed)))
    return parts.predicting(config, draft)


def deepseek_v4(config: Config) -> Draft:
    """DeepSeek-V4: refused."""
    raise config.refuse(
        "attention over caches compressed by their own rate in each layer (compress_ratios)",
        "a low-rank, grouped output projection (o_lora_rank, o_groups)",
        "hyper-connections (hc_mult)",
        "experts chosen by a hash of the token in the first layers (num_hash_layers)",
    )


# --- windows and heads of two kinds ---


def mimo_v2(config: Config) -> Draft:
    """MiMo-V2-Flash: local layers with heads of their own, values narrower than keys.

    Its prediction modules are local and dense, as its report says (arXiv 2601.02780).
    """
    config.note("attention sinks")
    layers = depth(config)
    pattern = config.list("hybrid_layer_pattern", length=layers)
    if pattern is None:
        raise config.lacks("hybrid_layer_pattern")
    whole = _valued(config, "")
    local = _valued(config, "swa_") | {"window": config.count("sliding_window", "sliding_window_size")}
    mixers = [{"attention": dict(local) if item else dict(whole)} for item in pattern]
    d_expert = config.count("moe_intermediate_size")
    routed = parts.moe(config, d_expert=d_expert, d_shared=parts.shared_width(config, d_expert))
    draft = Draft(config, joined(mixers, feeds(config, parts.after_dense(config), routed)))
    return parts.predicting(config, draft, {"attention": dict(local), "mlp": parts.mlp(config)})


def _valued(config: Config, prefix: str) -> Layer:
    found = parts.attention(config, prefix)
    value = config.count(f"{prefix}v_head_dim", default=found["head_dim"])
    return found if value == found["head_dim"] else found | {"value_dim": value}


def step(config: Config) -> Draft:
    """Step-3.5 and 3.7-Flash: three local layers to a global one, experts after the first layers.

    Its prediction modules are local and dense, as its published code has them.
    """
    layers = depth(config)
    if config.get("share_q_dim"):
        raise config.refuse("queries projected through one narrow width for all heads (share_q_dim)")
    if config.get("use_head_wise_attn_gate"):
        config.note("head-wise attention gates")
    whole = _grouped(config, config)
    other = config.table("attention_other_setting")
    local = whole if other is None else _grouped(other, config)
    windows = parts.locals_(config, parts.sliding(config))
    mixers = [{"attention": local | {"window": size} if size else dict(whole)} for size in windows]
    sparse = parts.after_dense(config)
    listed = config.get("moe_layers_enum")
    if listed is not None:
        chosen = {int(word) for word in (listed.split(",") if isinstance(listed, str) else listed)}
        sparse = [index in chosen for index in range(layers)]
    d_expert = config.count("moe_intermediate_size")
    shared = config.count("share_expert_dim", default=lambda: parts.shared_width(config, d_expert), least=0)
    routed = parts.moe(config, d_expert=d_expert, d_shared=shared)
    draft = Draft(config, joined(mixers, feeds(config, sparse, routed)))
    near = {"window": parts.window(config)} if any(windows) else {}
    return parts.predicting(config, draft, {"attention": local | near, "mlp": parts.mlp(config)})


def _grouped(config: Config, whole: Config) -> Layer:
    heads = config.count("num_attention_heads")
    groups = config.count("num_attention_groups", "num_key_value_heads", default=heads)
    dim = config.count("head_dim", default=lambda: parts.head_dim(whole, whole.count("num_attention_heads")))
    return {"heads": heads, "kv_heads": groups, "head_dim": dim}


def minimax_m3(config: Config) -> Draft:
    """MiniMax-M3: attention over the best blocks of keys, unless the config turns that off."""
    sparse = config.table("sparse_attention_config")
    if sparse is not None and sparse.flag("use_sparse_attention", default=True):
        raise config.refuse("grouped-query attention over the best blocks of keys (sparse_attention_config)")
    parts.prediction_layers(config)
    d_expert = config.count("moe_intermediate_size", "intermediate_size")
    shared = config.count("n_shared_experts", default=0, least=0) * config.count(
        "shared_intermediate_size", default=d_expert
    )
    routed = parts.moe(config, d_expert=d_expert, d_shared=shared)
    mixers = windowed(config, [None] * depth(config))
    return Draft(
        config, joined(mixers, feeds(config, parts.after_dense(config), routed, "dense_intermediate_size"))
    )


def ernie(config: Config) -> Draft:
    """ERNIE 4.5 with experts."""
    d_expert = config.count("moe_intermediate_size")
    shared = config.count("moe_num_shared_experts", default=0, least=0) * d_expert
    routed = parts.moe(config, d_expert=d_expert, d_shared=shared)
    mixers = windowed(config, [None] * depth(config))
    return Draft(config, joined(mixers, feeds(config, parts.after_dense(config), routed)))


def dbrx(config: Config) -> Draft:
    """DBRX keeps attention and experts in tables of their own."""
    mixing, feeding = config.table("attn_config"), config.table("ffn_config")
    if mixing is None or feeding is None:
        raise config.lacks("attn_config" if mixing is None else "ffn_config")
    heads = config.count("n_heads")
    mixer = {
        "heads": heads,
        "kv_heads": mixing.count("kv_n_heads", default=heads),
        "head_dim": parts.head_dim(config, heads),
    }
    routed = parts.moe(feeding, d_expert=feeding.count("ffn_hidden_size"))
    return Draft(config, [{"attention": mixer, "moe": routed}] * depth(config))
