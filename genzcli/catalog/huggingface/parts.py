"""Parts that families share: attention, experts, which layers slide, which have experts."""

from __future__ import annotations

from typing import Any

from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.draft import Draft, Layer, depth, width


def attention(config: Config, prefix: str = "", **extra: Any) -> Layer:
    """Softmax attention from the usual keys; `prefix` is that of a second set of them."""
    heads = config.count(
        f"{prefix}num_attention_heads", *(() if prefix else ("n_head", "n_heads", "num_heads"))
    )
    kv_heads = config.count(
        f"{prefix}num_key_value_heads", *(() if prefix else ("num_kv_heads",)), default=heads
    )
    found: Layer = {"heads": heads, "kv_heads": kv_heads, "head_dim": head_dim(config, heads, prefix)}
    biases(config)
    return found | {key: value for key, value in extra.items() if value}


def head_dim(config: Config, heads: int, prefix: str = "") -> int:
    """The width of a head: stated, or the model's width over its heads."""

    def share() -> int:
        if width(config) % heads:
            raise config.lacks(f"{prefix}head_dim")
        return width(config) // heads

    others = () if prefix else ("kv_channels", "attention_head_dim")
    return config.count(f"{prefix}head_dim", *others, default=share)


def biases(config: Config) -> None:
    """Note the biases, where a config has any."""
    keys = ("attention_bias", "mlp_bias", "use_bias", "bias", "use_qkv_bias", "qkv_bias", "add_bias_linear")
    if any(config.values.get(key) is True for key in keys):
        config.note("biases")


def mlp(config: Config, *keys: str, gated: bool = True, default: int | None = None) -> Layer:
    """A dense MLP, its width under the first of these keys."""
    d_ff = config.count(*(keys or ("intermediate_size",)), default=default)
    return {"d_ff": d_ff} | ({} if gated else {"gated": False})


def moe(config: Config, *, d_expert: int, d_shared: int = 0, gated: bool = True, **extra: Any) -> Layer:
    """Routed experts from the usual keys, of the width that the family says."""
    experts = config.count("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    chosen = config.count(
        "num_experts_per_tok",
        "num_experts_per_token",
        "experts_per_token",
        "top_k_experts",
        "moe_top_k",
        "moe_k",
    )
    if chosen > experts:
        raise config.wrong("num_experts_per_tok", chosen, f"at most the {experts} experts there are")
    found: Layer = {"experts": experts, "experts_per_token": chosen, "d_expert": d_expert}
    found |= {"d_shared": d_shared} if d_shared else {}
    found |= {} if gated else {"gated": False}
    found |= _limits(config)
    return found | {key: value for key, value in extra.items() if value}


def _limits(config: Config) -> Layer:
    """Group-limited routing; a greedy router has groups in its config and takes no notice."""
    groups = config.count("n_group", "num_expert_group", default=1, least=0)
    chosen = config.count("topk_group", default=groups, least=0)
    if config.get("topk_method") == "greedy" or not 0 < chosen < groups:
        return {}
    return {"groups": groups, "groups_per_token": chosen}


def shared_width(config: Config, d_expert: int) -> int:
    """Shared experts of the routed ones' width, none where the config names none."""
    return config.count("n_shared_experts", "num_shared_experts", default=0, least=0) * d_expert


# --- which layer is what ---


def sliding(config: Config, *, pattern: int | None = None, default: bool = False) -> list[bool]:
    """For each layer whether it is local: `layer_types`, every n-th global, or all alike (`default`)."""
    layers = depth(config)
    known = {"sliding_attention": True, "chunked_attention": True, "full_attention": False}
    types = config.words("layer_types", length=layers, known=known)
    if types is not None:
        return [known[kind] for kind in types]
    every = config.get("sliding_window_pattern", "_sliding_window_pattern") or pattern
    if every:
        step = config.whole(every, "sliding_window_pattern")
        return [(index + 1) % step != 0 for index in range(layers)]
    return [default] * layers


def window(config: Config, *, key: str = "sliding_window") -> int | None:
    """The sliding window; none where it is as long as the context."""
    value = config.get(key)
    if value is None or value in (0, -1, False):
        return None
    width, longest = config.whole(value, key), config.get("max_position_embeddings")
    return None if isinstance(longest, int) and width >= longest else width


def locals_(config: Config, slides: list[bool], key: str = "sliding_window") -> list[int | None]:
    """The window of each layer, none where it sees everything."""
    if not any(slides):
        return [None] * len(slides)
    if config.get(key) is None:
        raise config.lacks(key)
    width = window(config, key=key)
    return [width if slide else None for slide in slides]


def after_dense(config: Config, *, default: int = 0) -> list[bool]:
    """For each layer whether it has experts: after the first dense ones, or by a list, every n-th."""
    layers = depth(config)
    types = config.words("mlp_layer_types", length=layers, known=("dense", "sparse"))
    if types is not None:
        return [kind != "dense" for kind in types]
    first = config.count("first_k_dense_replace", "moe_layer_start_index", default=default, least=0)
    step = config.get("moe_layer_freq", "moe_layer_interval")
    if isinstance(step, list):
        return config.flags("moe_layer_freq", "moe_layer_interval", length=layers) or []
    every = 1 if step is None else config.whole(step, "moe_layer_freq")
    return [index >= first and index % every == 0 for index in range(layers)]


def by_step(config: Config) -> list[bool]:
    """For each layer whether it has experts, as the Qwens write it."""
    step = config.count("decoder_sparse_step", default=1)
    dense = config.places("mlp_only_layers") or ()
    return [index not in dense and (index + 1) % step == 0 for index in range(depth(config))]


#: How many multi-token-prediction modules there are, as configs call it.
_MODULES = ("num_mtp_modules", "num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers")


def prediction_layers(config: Config) -> None:
    """Note the multi-token-prediction layers of a family whose layers these are is not known."""
    if any(config.values.get(key) for key in (*_MODULES, "mtp_transformer_layers")):
        config.note("multi-token-prediction layers")


def predicting(config: Config, draft: Draft, layer: Layer | None = None, default: int = 0) -> Draft:
    """The model with its multi-token-prediction modules, each one `layer`: the model's last if left out.

    A module shares embedding and head with the model; what shares less, or stacks layers, is left out.
    """
    modules = config.count(*_MODULES, default=default, least=0)
    if not modules or config.get("use_mtp") is False:
        return draft
    if config.get("mtp_use_dedicated_embeddings") or config.count("mtp_transformer_layers", default=1) > 1:
        config.note("multi-token-prediction layers")
        return draft
    draft.mtp = modules, layer or draft.layers[-1]
    return draft
