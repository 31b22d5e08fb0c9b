"""Vision towers of configs: how many patches, how wide, and how they become tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from genzcli.catalog.huggingface import parts
from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.draft import Draft, Layer, depth
from genzcli.errors import CatalogError

#: Layers of a tower, and the other keys of `vision:`.
Tower = tuple[list[Layer], dict[str, Any]]

#: Side of the square image whose tokens stand for one where the resolution is free.
_SIDE = 1024


def tower(config: Config, values: Mapping[str, Any], draft: Draft) -> Tower | None:
    """The tower of a config; None where it has none, or one of an unknown kind, which is noted."""
    if not isinstance(values.get("vision_config"), Mapping):
        if values.get("visual"):
            config.note("vision tower")
        return None
    inner = values["vision_config"]
    kind = str(inner.get("model_type") or values.get("model_type"))
    outer = str(values.get("model_type"))
    reader = _READERS.get(kind) or _READERS.get(outer)
    if reader is None or not (set(inner) - {"model_type"}):
        config.note("vision tower")
        return None
    own = Config(inner, config.where, outer=values, family=f"{kind} (vision_config)")
    own.defaults = _DEFAULTS.get(kind, {})
    own.defaulted = config.defaulted
    try:
        found = reader(own, draft)
    except CatalogError as error:  # the language model can be read without
        config.note(f"vision tower ({error.message})")
        return None
    for text in own.notes:
        config.note(text)
    return found


# --- pieces ---


def _plain(d_model: int, heads: int, d_ff: int, *, gated: bool = False, **mixer: Any) -> Layer:
    """A layer of a ViT: as many KV heads as heads."""
    width = mixer.pop("head_dim", None) or d_model // heads
    part: Layer = {"heads": heads, "kv_heads": heads, "head_dim": width, **mixer}
    return {"attention": part, "mlp": {"d_ff": d_ff} | ({} if gated else {"gated": False})}


def _usual(config: Config, *, gated: bool = False, **mixer: Any) -> tuple[Layer, int, int]:
    """A layer by the usual keys, the tower's width and its depth."""
    d_model, layers = config.count("hidden_size"), depth(config)
    heads = config.count("num_attention_heads")
    feed = config.count("intermediate_size")
    return _plain(d_model, heads, feed, gated=gated, **mixer), d_model, layers


def _square(config: Config) -> int:
    """Patches of the one image size."""
    return (config.count("image_size") // config.count("patch_size")) ** 2


def _free(config: Config, patch: int, merge: int) -> int:
    """Tokens of an image of 1024 x 1024 where any size goes in."""
    config.note(f"other image sizes than {_SIDE} x {_SIDE} (give --image-size)")
    return round(_SIDE / (patch * merge)) ** 2


def _values(config: Config, frames: int = 1) -> int:
    side = config.count("patch_size", "spatial_patch_size")
    return config.count("in_channels", "num_channels", "in_chans", default=3) * side * side * frames


# --- families ---


def qwen(config: Config, draft: Draft) -> Tower:
    """Qwen2-VL to Qwen3.5: any size, four patches a token, merged by an MLP; Qwen3-VL has more of these."""
    newer, older = "2_5" in config.family, "qwen2_vl" in config.family
    d_model = config.count("embed_dim") if older else config.count("hidden_size")
    layers, heads = depth(config, "depth"), config.count("num_heads")
    feed = int(config.number("mlp_ratio") * d_model) if older else config.count("intermediate_size")
    layer = _plain(d_model, heads, feed, gated=newer)
    side, merge = config.count("patch_size", "spatial_patch_size"), config.count("spatial_merge_size")
    merged = d_model * merge * merge
    stack = [layer] * layers
    if newer:
        near = _plain(
            d_model,
            heads,
            feed,
            gated=True,
            chunk=(config.count("window_size") // side) ** 2,
        )
        whole = config.places("fullatt_block_indexes") or ()
        stack = [layer if index in whole else near for index in range(layers)]
    text = draft.d_model
    early = config.places("deepstack_visual_indexes") or ()
    return stack, {
        "d_model": d_model,
        "patch": _values(config, config.count("temporal_patch_size", default=1)),
        "merge": merge * merge,
        "tokens": _free(config, side, merge),
        "token_side": side * merge,
        "projector": [merged, merged, text],
        **({"projectors": 1 + len(early)} if early else {}),
        **(
            {"positions": rows}
            if (rows := config.count("num_position_embeddings", default=0, least=0))
            else {}
        ),
    }


def siglip(config: Config, draft: Draft) -> Tower:
    """Gemma 3: one image size, patches averaged down to `mm_tokens_per_image`, one matrix."""
    layer, d_model, layers = _usual(config)
    patches = _square(config)
    tokens = config.whole(config.outer.get("mm_tokens_per_image", 256), "mm_tokens_per_image")
    if tokens > patches:
        raise config.wrong("mm_tokens_per_image", tokens, f"at most the {patches} patches")
    return [layer] * layers, {
        "d_model": d_model,
        "patch": _values(config),
        "merge": patches // tokens,
        "tokens": tokens,
        "projector": [d_model, draft.d_model],
        "positions": patches,
    }


def gemma4(config: Config, draft: Draft) -> Tower:
    """Gemma 4: gated MLPs, patches averaged, a position table for each of two axes."""
    layer, d_model, layers = _usual(config, gated=True, head_dim=config.count("head_dim", default=0, least=0))
    pool = config.count("pooling_kernel_size")
    return [layer | {"norms": 4}] * layers, {
        "d_model": d_model,
        "patch": _values(config),
        "merge": pool * pool,
        "tokens": config.count("default_output_length"),
        "projector": [d_model, draft.d_model],
        "positions": 2 * config.count("position_embedding_size"),
    }


def llama4(config: Config, draft: Draft) -> Tower:
    """Llama 4: tiles of one size, each seen alone; four patches shuffled into one token."""
    tile = _square(config)
    layer, d_model, layers = _usual(config, chunk=tile)
    ratio = config.number("pixel_shuffle_ratio")
    if not 1e-3 < ratio <= 1:
        raise config.wrong("pixel_shuffle_ratio", ratio, "a share above 0, at most 1")
    times = round(1 / ratio)
    merged = d_model * times * times
    inner, out = config.count("projector_input_dim"), config.count("projector_output_dim")
    config.note("further tiles of an image (give --image-tokens)")
    return [layer] * layers, {
        "d_model": d_model,
        "patch": _values(config),
        "merge": times * times,
        "tokens": tile // (times * times),
        "projector": [merged, inner, out, draft.d_model],
        "positions": tile + 1,
    }


def mllama(config: Config, draft: Draft) -> Tower:
    """Llama 3.2 vision: tiles that see one another, positions for each of nine arrangements of four."""
    layer, d_model, layers = _usual(config)
    layers += depth(config, "num_global_layers")
    tiles, patches = config.count("max_num_tiles"), _square(config) + 1
    arranged = len(config.list("supported_aspect_ratios") or range(8)) + 1
    return [layer] * layers, {
        "d_model": d_model,
        "patch": _values(config),
        "tokens": tiles * patches,
        "projector": [config.count("vision_output_dim"), draft.d_model],
        "positions": patches * (1 + arranged * tiles),
    }


def clip(config: Config, draft: Draft) -> Tower:
    """LLaVA: a CLIP of one image size, two matrices behind it."""
    layer, d_model, layers = _usual(config)
    return [layer] * layers, {
        "d_model": d_model,
        "patch": _values(config),
        "tokens": _square(config),
        "projector": [d_model, draft.d_model, draft.d_model],
        "positions": _square(config) + 1,
    }


def pixtral(config: Config, draft: Draft) -> Tower:
    """Pixtral, and Mistral Small 3.1, which merges four patches first: gated MLPs, any size."""
    layer, d_model, layers = _usual(config, gated=True)
    merge = config.whole(config.outer.get("spatial_merge_size", 1), "spatial_merge_size")
    front = [d_model * merge * merge] if merge > 1 else []
    return [layer] * layers, {
        "d_model": d_model,
        "patch": _values(config),
        "merge": merge * merge,
        "tokens": _free(config, config.count("patch_size"), merge),
        "token_side": config.count("patch_size") * merge,
        "projector": [*front, d_model, draft.d_model, draft.d_model],
    }


def kimi(config: Config, draft: Draft) -> Tower | None:
    """MoonViT of Kimi-VL and K2.5: any size, four patches merged by an MLP."""
    if config.get("mm_projector_type") not in (None, "patchmerger"):
        config.note("vision tower")
        return None
    d_model = config.count("vt_hidden_size", "hidden_size")
    layers = depth(config, "vt_num_hidden_layers", "num_hidden_layers")
    heads = config.count("vt_num_attention_heads", "num_attention_heads")
    layer = _plain(d_model, heads, config.count("vt_intermediate_size", "intermediate_size"))
    sides = config.list("merge_kernel_size", length=2) or [2, 2]
    merge = config.whole(sides[0], "merge_kernel_size") * config.whole(sides[1], "merge_kernel_size")
    rows = config.count("init_pos_emb_height") * config.count("init_pos_emb_width")
    return [layer] * layers, {
        "d_model": d_model,
        "patch": _values(config),
        "merge": merge,
        "tokens": _free(config, config.count("patch_size"), round(merge**0.5)),
        "token_side": config.count("patch_size") * round(merge**0.5),
        "projector": [d_model * merge, d_model * merge, draft.d_model],
        "positions": rows,
    }


def mllama_text(config: Config) -> Draft:
    """Llama 3.2 vision: some layers look at the image in place of the text before them."""
    mixer, feed, layers = parts.attention(config), parts.mlp(config), depth(config)
    places = config.places("cross_attention_layers")
    if places is None:
        raise config.lacks("cross_attention_layers")
    across: Layer = {"cross_attention": mixer, "mlp": feed}
    own: Layer = {"attention": mixer, "mlp": feed}
    return Draft(config, [across if index in places else own for index in range(layers)])


#: What the classes assume; configs of Qwen2.5-VL often hold three keys.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "qwen2_vl": {
        "depth": 32,
        "embed_dim": 1280,
        "mlp_ratio": 4,
        "num_heads": 16,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
    "qwen2_5_vl": {
        "depth": 32,
        "intermediate_size": 3420,
        "num_heads": 16,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    "mllama_vision_model": {"num_global_layers": 8, "max_num_tiles": 4},
}

_READERS: Mapping[str, Callable[[Config, Draft], Tower | None]] = {
    **dict.fromkeys(
        ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "qwen3_5_vision"),
        qwen,
    ),
    "siglip_vision_model": siglip,
    "gemma4_vision": gemma4,
    "llama4_vision_model": llama4,
    "mllama_vision_model": mllama,
    "clip_vision_model": clip,
    "pixtral": pixtral,
    **dict.fromkeys(("kimi_k25", "kimi_vl", "moonvit", "kimi_k3"), kimi),
}
