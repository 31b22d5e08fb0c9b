"""Families of transformers with experts, and those with latent attention: one small reader each."""

from __future__ import annotations

from collections.abc import Sequence

from genzcli.catalog.huggingface import parts
from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.dense import cross_layer, hunyuan_dense, qwen_windows, short_convolutions
from genzcli.catalog.huggingface.draft import Draft, Layer, depth


def feeds(config: Config, sparse: Sequence[bool], routed: Layer, *keys: str) -> list[Layer]:
    """The feed-forward part of each layer: experts where `sparse`, the dense MLP of `keys` elsewhere."""
    if not any(sparse):
        layers = f"none of {len(sparse)}"
        raise config.wrong(
            "the number of layers with experts", layers, "a rule that leaves some layers theirs"
        )
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
        listed_rope = config.get("no_rope_layers")
        rope = config.flags("no_rope_layers", length=layers) if listed_rope else None
        chunked = [(index + 1) % 4 != 0 for index in range(layers)] if rope is None else rope
    step = config.count("interleave_moe_layer_step", default=1)
    listed = config.places("moe_layers")
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
    if config.get("n_routed_experts", "num_experts", "num_local_experts") is None:
        parts.prediction_layers(config)
        return Draft(config, [{"mla": latent(config), "mlp": parts.mlp(config)}] * depth(config))
    d_expert = config.count("moe_intermediate_size")
    routed = parts.moe(config, d_expert=d_expert, d_shared=parts.shared_width(config, d_expert))
    mixers = indexed(config, latent(config))
    draft = Draft(config, joined(mixers, feeds(config, parts.after_dense(config), routed)))
    return parts.predicting(config, draft)


def indexed(config: Config, mixer: Layer) -> list[Layer]:
    """Latent attention in every layer; of the indexers some take the choice of an earlier layer (GLM-5.2)."""
    layers = depth(config)
    if "index" not in mixer:
        return [{"mla": mixer}] * layers
    types, pattern = config.words("indexer_types", length=layers), config.get("index_topk_pattern")
    if types is not None:
        own = [kind != "shared" for kind in types]
    elif isinstance(pattern, str) and len(pattern) >= layers:
        own = [letter.upper() != "S" for letter in pattern[:layers]]
    else:
        every = config.count("index_topk_freq", default=1)
        first = config.count("index_skip_topk_offset", default=1, least=0)
        own = [max(index - first + 1, 0) % every == 0 for index in range(layers)]
    reader = mixer | {"index": mixer["index"] | {"reuses": True}}
    return [{"mla": mixer if has else reader} for has in own]


def deepseek_v4(config: Config) -> Draft:
    """DeepSeek-V4: a window and entries compressed in time, several streams, experts in each layer."""
    parts.prediction_layers(config)
    config.note("attention sinks")
    if config.get("num_hash_layers"):
        config.note("tables of the experts chosen by a hash of the token in the first layers")
    d_expert = config.count("moe_intermediate_size")
    routed = parts.moe(config, d_expert=d_expert, d_shared=parts.shared_width(config, d_expert))
    around: Layer = {"moe": routed}
    streams = config.count("hc_mult", default=1)
    if streams > 1:
        around["streams"] = {"count": streams}
    mixers = [_compressed(config, ratio) for ratio in _ratios(config)]
    draft = Draft(config, [mixer | around for mixer in mixers])
    if config.around("expert_dtype") == "fp4":
        draft.expert_format = "mxfp4"
    return draft


#: The types of layers that newer configs list in place of ratios.
_V4_TYPES = {
    "sliding_attention": 0,
    "compressed_sparse_attention": 4,
    "heavily_compressed_attention": 128,
}


def _ratios(config: Config) -> list[int]:
    """Tokens an entry stands for in each layer; 0 for the window alone."""
    layers = depth(config)
    listed = config.list("compress_ratios", length=layers)
    if listed is not None:
        return [config.whole(ratio, "compress_ratios", least=0) for ratio in listed]
    types = config.words("layer_types", length=layers, known=_V4_TYPES)
    if types is None:
        raise config.lacks("compress_ratios", "layer_types")
    rates = config.table("compress_rates")
    if rates is None:
        return [_V4_TYPES[kind] for kind in types]
    return [rates.count(kind, default=_V4_TYPES[kind], least=0) for kind in types]


#: Entries of so few tokens are pooled from two windows, and an indexer picks the best of them.
_PICKED_UP_TO = 4


def _compressed(config: Config, ratio: int) -> Layer:
    """The attention of one layer."""
    if config.count("num_key_value_heads", default=1) != 1:
        raise config.refuse("more than one head of keys beside compressed entries (num_key_value_heads)")
    found: Layer = {
        "heads": config.count("num_attention_heads"),
        "head_dim": config.count("head_dim"),
        "q_rank": config.count("q_lora_rank"),
        "window": config.count("sliding_window"),
        "out_groups": config.count("o_groups"),
        "out_rank": config.count("o_lora_rank"),
    }
    if ratio:
        found["ratio"] = ratio
    if 0 < ratio <= _PICKED_UP_TO:
        found["overlap"] = True
        found["index"] = {
            "heads": config.count("index_n_heads"),
            "head_dim": config.count("index_head_dim"),
            "top_k": config.count("index_topk"),
        }
    return {"compressed_attention": found}


# --- windows and heads of two kinds ---


def mimo_v2(config: Config) -> Draft:
    """MiMo-V2-Flash: local layers with heads of their own, values narrower than keys.

    Its prediction modules are local and dense, as its report says (arXiv 2601.02780).
    """
    config.note("attention sinks")
    layers = depth(config)
    pattern = config.flags("hybrid_layer_pattern", length=layers)
    if pattern is None:
        raise config.lacks("hybrid_layer_pattern")
    whole = parts.attention(config)
    whole |= _valued(whole, config.count("v_head_dim", default=whole["head_dim"]))
    dims = {key: config.count(f"swa_{name}", default=whole[key]) for key, name in _SWA.items()}
    value = config.count("swa_v_head_dim", default=whole.get("value_dim", dims["head_dim"]))
    local = dims | _valued(dims, value) | {"window": config.count("sliding_window", "sliding_window_size")}
    mixers = [{"attention": dict(local) if item else dict(whole)} for item in pattern]
    d_expert = config.count("moe_intermediate_size")
    routed = parts.moe(config, d_expert=d_expert, d_shared=parts.shared_width(config, d_expert))
    draft = Draft(config, joined(mixers, feeds(config, parts.after_dense(config), routed)))
    return parts.predicting(config, draft, {"attention": dict(local), "mlp": parts.mlp(config)})


#: Heads of the local layers, as those of the others where nothing is said.
_SWA = {"heads": "num_attention_heads", "kv_heads": "num_key_value_heads", "head_dim": "head_dim"}


def _valued(mixer: Layer, value: int) -> Layer:
    return {} if value == mixer["head_dim"] else {"value_dim": value}


def step(config: Config) -> Draft:
    """Step-3.5 and 3.7-Flash: three local layers to a global one, experts after the first layers.

    Its prediction modules are local and dense, as its published code has them.
    """
    layers = depth(config)
    if config.get("use_head_wise_attn_gate"):
        config.note("head-wise attention gates")
    whole = _grouped(config)
    other = config.table("attention_other_setting")
    local = (
        whole
        if other is None
        else whole | {key: other.count(name, default=whole[key]) for key, name in _OTHER.items()}
    )
    windows = parts.locals_(config, parts.sliding(config))
    mixers = [{"attention": local | {"window": size} if size else dict(whole)} for size in windows]
    sparse = parts.after_dense(config)
    listed = config.get("moe_layers_enum")
    if listed is not None:
        chosen = _numbers(config, "moe_layers_enum", listed)
        sparse = [index in chosen for index in range(layers)]
    d_expert = config.count("moe_intermediate_size")
    shared = config.count("share_expert_dim", default=lambda: parts.shared_width(config, d_expert), least=0)
    routed = parts.moe(config, d_expert=d_expert, d_shared=shared)
    draft = Draft(config, joined(mixers, feeds(config, sparse, routed)))
    near = {"window": parts.window(config)} if any(windows) else {}
    return parts.predicting(config, draft, {"attention": local | near, "mlp": parts.mlp(config)})


_OTHER = {"heads": "num_attention_heads", "kv_heads": "num_attention_groups", "head_dim": "head_dim"}


def _grouped(config: Config) -> Layer:
    heads = config.count("num_attention_heads")
    groups = config.count("num_attention_groups", "num_key_value_heads", default=heads)
    found: Layer = {"heads": heads, "kv_heads": groups, "head_dim": parts.head_dim(config, heads)}
    if config.get("share_q_dim"):
        found["q_rank"] = config.count("share_q_dim")
    return found


def _numbers(config: Config, key: str, value: object) -> set[int]:
    """Layers by number: a list, or a text with commas."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(
        str(word).strip().isdecimal() and len(str(word)) < 9 for word in words
    ):
        raise config.wrong(key, value, "numbers of layers")
    return {int(str(word)) for word in words}


def minimax_m3(config: Config) -> Draft:
    """MiniMax-M3: attention over the best blocks of keys behind the first layers."""
    parts.prediction_layers(config)
    d_expert = config.count("moe_intermediate_size", "intermediate_size")
    shared = config.count("n_shared_experts", default=0, least=0) * config.count(
        "shared_intermediate_size", default=d_expert
    )
    routed = parts.moe(config, d_expert=d_expert, d_shared=shared)
    mixer = parts.attention(config)
    if config.flag("attention_output_gate"):
        mixer["output_gate"] = True
    index, picked = _block_index(config)
    mixers: list[Layer] = [{"attention": mixer | ({"index": index} if has else {})} for has in picked]
    return Draft(
        config, joined(mixers, feeds(config, parts.after_dense(config), routed, "dense_intermediate_size"))
    )


def _block_index(config: Config) -> tuple[Layer, list[bool]]:
    """The indexer of MiniMax-M3, and for each layer whether it has one."""
    layers, table = depth(config), config.table("sparse_attention_config")
    if table is None or not table.flag("use_sparse_attention", default=True):
        return {}, [False] * layers
    listed = table.flags("sparse_attention_freq", length=layers)
    picked = [True] * layers if listed is None else listed
    values = table.flags("sparse_disable_index_value", length=layers)
    if values is not None and any(has and not item for has, item in zip(picked, values, strict=True)):
        raise config.refuse("values of its own beside the index keys (sparse_disable_index_value)")
    blocks, size = table.count("sparse_topk_blocks"), table.count("sparse_block_size")
    index = {
        "heads": table.count("sparse_num_index_heads"),
        "head_dim": table.count("sparse_index_dim"),
        "top_k": blocks * size,
        "grouped": True,
        "fp8": False,
    }
    return index, picked


def hunyuan(config: Config) -> Draft:
    """Hunyuan's mixtures: a shared expert, and in Hunyuan-Large a cache for two layers."""
    layers = depth(config)
    if config.get("num_experts") in (None, 1):
        return hunyuan_dense(config)
    experts = _alike(config, "num_experts", layers)
    chosen = _alike(config, "moe_topk", layers)
    many = (
        _alike(config, "num_shared_expert", layers) if config.flag("use_mixed_mlp_moe", default=True) else 0
    )
    wide = config.get("moe_intermediate_size")
    key = "intermediate_size" if wide is None else "moe_intermediate_size"
    d_expert = _alike(config, key, layers)
    routed = {"experts": experts, "experts_per_token": chosen, "d_expert": d_expert}
    routed |= {"d_shared": many * d_expert} if many else {}
    first = config.count("moe_layer_num_skipped", default=0, least=0)
    sparse = [index >= first for index in range(layers)]
    return Draft(config, joined(cross_layer(config), feeds(config, sparse, routed)))


def _alike(config: Config, key: str, layers: int) -> int:
    """A number that stands once, or once for each layer, then the same."""
    value = config.get(key)
    if isinstance(value, list):
        found = {config.whole(item, key, least=0) for item in config.list(key, length=layers) or ()}
        if len(found) != 1:
            raise config.refuse(f"layers of different {key}")
        return found.pop()
    return config.count(key, least=0)


def lfm2_moe(config: Config) -> Draft:
    """LFM2 with experts behind the first dense layers."""
    routed = parts.moe(config, d_expert=config.count("moe_intermediate_size"))
    first = config.count("num_dense_layers", default=2, least=0)
    sparse = [index >= first for index in range(depth(config))]
    return Draft(config, joined(short_convolutions(config), feeds(config, sparse, routed)), tied=True)


def ernie(config: Config) -> Draft:
    """ERNIE 4.5 with experts."""
    d_expert = config.count("moe_intermediate_size")
    shared = config.count("moe_num_shared_experts", default=0, least=0) * d_expert
    routed = parts.moe(config, d_expert=d_expert, d_shared=shared)
    layers = depth(config)
    every = config.count("moe_layer_interval", default=1)
    first = config.count("moe_layer_start_index", default=0, least=0)
    last = config.get("moe_layer_end_index")
    last = layers - 1 if last in (None, -1) else config.whole(last, "moe_layer_end_index", least=0)
    sparse = [(index + 1) % every == 0 and first <= index <= last for index in range(layers)]
    mixers = windowed(config, [None] * layers)
    return Draft(config, joined(mixers, feeds(config, sparse, routed)))


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
