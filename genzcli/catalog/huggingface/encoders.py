"""Encoder-decoders: T5 and its like, BART and its like."""

from __future__ import annotations

from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.draft import Draft, Layer, depth, width


def t5(config: Config) -> Draft:
    """T5, mT5, umT5, FLAN: heads of a width of their own, an MLP gated where its activation says so."""
    config.note("relative position biases")
    heads = config.count("num_heads")
    mixer: Layer = {"heads": heads, "kv_heads": heads, "head_dim": config.count("d_kv")}
    gated = str(config.get("feed_forward_proj") or "relu").startswith("gated")
    feed: Layer = {"d_ff": config.count("d_ff")} | ({} if gated else {"gated": False})
    before, behind = depth(config, "num_layers"), depth(config, "num_decoder_layers", "num_layers")
    # T5 ties its embeddings unless it says otherwise.
    return _both(config, mixer, mixer, feed, feed, before, behind, tied=True)


def bart(config: Config) -> Draft:
    """BART, mBART, Pegasus, Marian, NLLB, Whisper: plain MLPs; BART, mBART and Whisper learn positions."""
    config.note("biases")
    d_model = width(config)

    def mixer(side: str) -> Layer:
        heads = config.count(f"{side}_attention_heads")
        if d_model % heads:
            raise config.wrong(f"{side}_attention_heads", heads, f"a divisor of d_model {d_model}")
        return {"heads": heads, "kv_heads": heads, "head_dim": d_model // heads}

    def feed(side: str) -> Layer:
        return {"d_ff": config.count(f"{side}_ffn_dim"), "gated": False}

    learned = config.family in ("bart", "mbart")
    before = behind = config.count("max_position_embeddings") + 2 if learned else 0
    if config.family == "whisper":
        config.note(
            "the two convolutions ahead of the encoder, whose frames (50 a second) are input tokens here"
        )
        before, behind = config.count("max_source_positions"), config.count("max_target_positions")
    return _both(
        config,
        mixer("encoder"),
        mixer("decoder"),
        feed("encoder"),
        feed("decoder"),
        depth(config, "encoder_layers"),
        depth(config, "decoder_layers"),
        tied=True,
        positions=(before, behind),
    )


def _both(
    config: Config,
    mixer: Layer,
    second: Layer,
    feed: Layer,
    last: Layer,
    before: int,
    behind: int,
    *,
    tied: bool,
    positions: tuple[int, int] = (0, 0),
) -> Draft:
    """Encoder layers, and decoder layers that look at their output."""
    ahead: Layer = {"attention": mixer, "mlp": feed}
    decoder: Layer = {"attention": second, "cross_attention": second, "mlp": last, "norms": 3}
    heard, said = positions
    draft = Draft(config, [decoder] * behind, tied=tied, positions=said)
    draft.encoder = [ahead] * before, ({"positions": heard} if heard else {})
    return draft
