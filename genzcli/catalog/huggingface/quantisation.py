"""`quantization_config` to a precision: what is stored how, and in what matrix products run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.draft import Draft
from genzcli.errors import CatalogError, shortened
from genzcli.spec.dtype import BITS
from genzcli.spec.dtype import base as base_of

_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32"}

#: ModelOpt's names: (weights, compute); no compute means that of the checkpoint's own dtype.
_MODELOPT = {
    "FP8": ("fp8", "fp8"),
    "FP8_PER_CHANNEL_PER_TOKEN": ("fp8", "fp8"),
    "FP8_PB_REAL": ("fp8", "fp8"),
    "FP8_PB_WO": ("fp8", ""),
    "MXFP8": ("fp8", "fp8"),
    "NVFP4": ("fp4", "fp4"),
    "NVFP4_AWQ": ("fp4", "fp4"),
    "W4A8_NVFP4_FP8": ("fp4", "fp8"),
    "W4A16_NVFP4": ("fp4", ""),
    "W4A8_MXFP4_FP8": ("mxfp4", "fp8"),
    "MXFP4": ("mxfp4", "mxfp4"),
    "W4A16_AWQ": ("int4", ""),
    "W4A8_AWQ": ("int4", "fp8"),
    "INT4_AWQ": ("int4", ""),
    "W8A8_SQ_PER_CHANNEL": ("int8", "int8"),
    "INT8_SQ": ("int8", "int8"),
    "W8A16": ("int8", ""),
}

#: What each part of a model is called in checkpoints, to see which a list of modules means.
_MODULES = {
    "attention": ("self_attn.q_proj", "self_attn.o_proj", "self_attn.q_a_proj", "self_attn.q_b_proj"),
    "dense": ("mlp.gate_proj", "mlp.up_proj", "mlp.gate_up_proj", "feed_forward.up_proj"),
    "shared": (
        "mlp.shared_experts.up_proj",
        "mlp.shared_expert.up_proj",
        "feed_forward.shared_expert.up_proj",
    ),
    "experts": (
        *("mlp.experts.7.up_proj", "mlp.experts.gate_up_proj", "block_sparse_moe.experts.7.w1"),
        *("feed_forward.experts.7.up_proj", "feed_forward.experts.gate_up_proj", "moe.experts.up_proj"),
    ),
}
_ROOTS = ("model", "model.language_model", "language_model.model")

Format = tuple[str, str]


def precision(config: Config, draft: Draft, beside: Mapping[str, Any] | None) -> dict[str, str]:
    """The precision of a checkpoint; `beside` is the hf_quant_config.json that lies next to the config."""
    base = _base(config)
    plain = {"weights": base, "kv": base, "activations": base, "compute": base}
    found = config.around("quantization_config", "compression_config")
    if found is None and beside is not None:
        found = {"quant_method": "modelopt", **beside}
    if found is None:
        return plain
    if not isinstance(found, Mapping):
        raise config.wrong("quantization_config", found, "a mapping")
    formats = _formats(config, found, len(draft.layers))
    main, most = formats[_main(draft)], formats["experts" if draft.has_experts else _main(draft)]
    words = {"weights": main[0] or base}
    own = {"experts": most[0] or base, "attention": formats["attention"][0] or base, "embeddings": base}
    words |= {part: word for part, word in own.items() if word != words["weights"]}
    _said(config, draft, formats)
    sparse = found.get("sparsity_config")
    if isinstance(sparse, Mapping) and ":" in (word := str(sparse.get("sparsity_structure"))):
        config.note(f"{word} sparsity of its weights (a matter of the plan: --sparsity {word})")
    return {**words, "kv": _cache(found) or base, "activations": base, "compute": most[1] or base}


def _base(config: Config) -> str:
    word = config.around("torch_dtype", "dtype")
    if word is None:
        config.note("a stated dtype (taken as bf16)")
        return "bf16"
    name = str(word).removeprefix("torch.")
    if name not in _DTYPES:
        raise config.wrong("torch_dtype", word, f"one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _main(draft: Draft) -> str:
    """Most of what is neither routed experts, attention nor embedding: shared experts, else dense MLPs.

    Where there are none of either, routers alone are left, and go with attention.
    """
    if any(layer.get("moe", {}).get("d_shared") for layer in draft.layers):
        return "shared"
    return "dense" if any("mlp" in layer for layer in draft.layers) else "attention"


def _said(config: Config, draft: Draft, formats: Mapping[str, Format]) -> None:
    """What a precision cannot say: dense layers beside shared experts, each in a format of its own."""
    both = _main(draft) == "shared" and any("mlp" in layer for layer in draft.layers)
    if both and formats["dense"] != formats["shared"]:
        config.note(f"the own format of dense MLPs ({formats['dense'][0] or 'not quantised'})")


def _formats(config: Config, found: Mapping[str, Any], layers: int) -> dict[str, Format]:
    """(storage, compute) of each part; empty words where it is not quantised."""
    listed = found.get("quantized_layers")
    if isinstance(listed, Mapping) and listed:
        return _by_layer(config, listed)
    groups = _groups(config, found)
    ignored = _ignored(config, found)
    places = sorted({layers // 4, layers // 2, 3 * layers // 4})
    return {part: _format(part, groups, ignored, places) for part in _MODULES}


def _by_layer(config: Config, listed: Mapping[str, Any]) -> dict[str, Format]:
    """Formats named module by module: the most frequent of each part."""
    votes: dict[str, list[str]] = {part: [] for part in _MODULES}
    for module, how in listed.items():
        algorithm = str(how.get("quant_algo") if isinstance(how, Mapping) else how)
        part = "attention" if "attn" in module else "dense"
        if "expert" in module:
            part = "shared" if "shared_expert" in module else "experts"
        votes[part].append(algorithm)
    best = {part: max(set(names), key=names.count) if names else "" for part, names in votes.items()}
    return {part: _modelopt(config, name) if name else ("", "") for part, name in best.items()}


def _format(
    part: str, groups: list[tuple[list[str], Format]], ignored: list[str], places: list[int]
) -> Format:
    """The format of a part by the rules of its modules in three layers."""
    votes: list[Format] = []
    for layer in places:
        names = [f"{root}.layers.{layer}.{module}" for root in _ROOTS for module in _MODULES[part]]
        if any(_matches(pattern, name) for pattern in ignored for name in names):
            votes.append(("", ""))
            continue
        fitting = [
            how for targets, how in groups if any(_targets(t, name) for t in targets for name in names)
        ]
        votes.append(fitting[0] if fitting else ("", ""))
    return max(set(votes), key=votes.count)


def _targets(target: str, name: str) -> bool:
    return target in ("Linear", "*") or _matches(target, name)


def _matches(pattern: str, name: str) -> bool:
    """Module lists hold parts of names, globs, or regular expressions behind `re:`."""
    if pattern.startswith("re:"):
        import re

        try:
            return re.match(pattern[3:], name) is not None
        except re.error:
            return False
    if "*" in pattern:
        from fnmatch import fnmatchcase

        return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern.rstrip('*')}*")
    return f".{pattern}." in f".{name}."


def _ignored(config: Config, found: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for key in (
        "ignore",
        "modules_to_not_convert",
        "exclude_modules",
        "ignored_layers",
        "exclude",
        "llm_int8_skip_modules",
    ):
        words += _modules(config, key, found.get(key))
    return words


def _modules(config: Config, key: str, listed: Any) -> list[str]:
    """A list of modules, or one alone."""
    if listed is None:
        return []
    words = [listed] if isinstance(listed, str) else listed
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise config.wrong(f"quantization_config.{key}", listed, "a list of modules")
    return words


# --- the methods ---


def _groups(config: Config, found: Mapping[str, Any]) -> list[tuple[list[str], Format]]:
    """(modules, format) of a method's rules; most have one rule for all."""
    method = str(found.get("quant_method") or found.get("quantization_method") or "")
    everything = ["*"]
    match method:
        case "fp8" | "fbgemm_fp8" | "finegrained_fp8":
            return [(everything, ("fp8", "fp8"))]
        case "mxfp4":
            return [(everything, ("mxfp4", ""))]
        case "awq" | "gptq" | "gptq_marlin" | "awq_marlin" | "auto-round" | "intel/auto-round" | "autoround":
            bits = found.get("bits", found.get("w_bit"))
            size = found.get("group_size", found.get("q_group_size"))
            return [(everything, (_integers(config, method, bits, size), ""))]
        case "bitsandbytes":
            return [(everything, ("int8", "int8") if found.get("load_in_8bit") else ("int4", ""))]
        case (
            "compressed-tensors"
            | "compressed_tensors"
            | "modelopt"
            | "modelopt_fp4"
            | "modelopt_fp8"
            | "modelopt_mixed"
        ):
            return _compressed(config, found)
        case "quark":
            return [(everything, _quark(config, found))]
    raise CatalogError(
        f"unknown quant_method {shortened(method)} in quantization_config",
        where=config.where,
        cure="known: fp8, fbgemm_fp8, mxfp4, awq, gptq, auto-round, bitsandbytes, "
        "compressed-tensors, modelopt, quark",
    )


def _integers(config: Config, method: str, bits: Any, group: Any = None) -> str:
    """Integers of so many bits and a 16-bit scale a group; the plain word is for 128, and a whole channel."""
    names = {8: "int8", 4: "int4", 3: "int3", 2: "int2"}
    name = names.get(bits) if isinstance(bits, int) else None
    if name is None:
        raise config.wrong("quantization_config.bits", bits, f"2, 3, 4 or 8 bits for {method}")
    return f"{name}g{group}" if f"{name}g{group}" in BITS else name


def _modelopt(config: Config, name: str) -> Format:
    if name not in _MODELOPT:
        raise config.wrong("quantization_config.quant_algo", name, f"one of {', '.join(_MODELOPT)}")
    return _MODELOPT[name]


def _compressed(config: Config, found: Mapping[str, Any]) -> list[tuple[list[str], Format]]:
    """compressed-tensors groups, or ModelOpt's one word for all."""
    groups = found.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        inner = found.get("quantization")
        algorithm = found.get("quant_algo") or (
            inner.get("quant_algo") if isinstance(inner, Mapping) else None
        )
        if algorithm is None:
            raise config.lacks("quantization_config.config_groups", "quantization_config.quant_algo")
        return [(["*"], _modelopt(config, str(algorithm)))]
    rules = []
    for group in groups.values():
        if not isinstance(group, Mapping) or not isinstance(group.get("weights"), Mapping):
            raise config.wrong("quantization_config.config_groups", group, "groups with 'weights'")
        storage = _scheme(config, group["weights"])
        acts = group.get("input_activations")
        if acts is not None and not isinstance(acts, Mapping):
            raise config.wrong("quantization_config.config_groups.input_activations", acts, "a mapping")
        targets = _modules(config, "config_groups.targets", group.get("targets")) or ["*"]
        rules.append((targets, (storage, base_of(_scheme(config, acts)) if acts else "")))
    return rules


def _scheme(config: Config, how: Any) -> str:
    """One tensor of compressed-tensors: bits, integer or float, and the size of a group."""
    bits, kind = how.get("num_bits"), str(how.get("type", "int"))
    if kind == "float" and bits == 4:
        return "mxfp4" if how.get("group_size") == 32 else "fp4"
    if kind == "float" and bits == 8:
        return "fp8"
    bits = bits if kind == "int" else None
    return _integers(config, "compressed-tensors", bits, how.get("group_size"))


def _quark(config: Config, found: Mapping[str, Any]) -> Format:
    rule = found.get("global_quant_config")
    rule = rule if isinstance(rule, Mapping) else {}
    weights = rule.get("weight")
    if not isinstance(weights, Mapping):
        raise config.lacks("quantization_config.global_quant_config.weight")
    inputs = rule.get("input_tensors")
    return _quark_dtype(config, weights), _quark_dtype(config, inputs) if isinstance(inputs, Mapping) else ""


def _quark_dtype(config: Config, how: Mapping[str, Any]) -> str:
    word = str(how.get("dtype"))
    if word == "fp4":
        return "mxfp4" if how.get("group_size") == 32 else "fp4"
    known = {"fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "int8": "int8", "int4": "int4", "uint4": "int4"}
    if word not in known:
        raise config.wrong(
            "quantization_config.global_quant_config.weight.dtype", word, "fp4, fp8_e4m3, int8 or int4"
        )
    return known[word]


def _cache(found: Mapping[str, Any]) -> str:
    """The format of the cache, where the checkpoint brings scales for one."""
    inner = found.get("quantization")
    word = found.get("kv_cache_quant_algo") or (
        inner.get("kv_cache_quant_algo") if isinstance(inner, Mapping) else ""
    )
    scheme = found.get("kv_cache_scheme")
    if isinstance(scheme, Mapping):
        kinds = {"float 8": "FP8", "int 8": "INT8", "float 4": "NVFP4"}
        word = kinds.get(f"{scheme.get('type')} {scheme.get('num_bits')}", "")
    return {"FP8": "fp8", "INT8": "int8", "NVFP4": "fp4"}.get(str(word or "").upper(), "")
