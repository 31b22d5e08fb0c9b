"""Calibration: how well a serving stack uses a chip. The only place efficiencies live."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from genzcli.spec.noun import Noun, choice, count, nouns, other, quantity, ratio, text, texts
from genzcli.spec.source import Source

if TYPE_CHECKING:
    from genzcli.numeric import Number


class OperatorFit(Noun):
    """Time of one operator kind: `(Tc^p + Tm^p)^(1/p) + fixed + per_k * k`.

    Tc = FLOP / (peak * compute_efficiency), Tm = bytes / (bandwidth * memory_efficiency).
    """

    compute_efficiency: Number = ratio("share of peak FLOP/s", above=0, most=1, default=1.0)
    memory_efficiency: Number = ratio("share of peak bandwidth", above=0, most=1, default=1.0)
    corner: float = ratio("p of the smooth corner: 0.5, 1, 2, 4 or inf", above=0, default=math.inf)
    fixed_s: Number = quantity("s", "launch and tail of one kernel", least=0, default=0.0)
    per_k_s: Number = quantity("s", "times the reduction length of a quantised GEMM", least=0, default=0.0)


class CollectiveFit(Noun):
    """Time of a collective: `corner(latency part + base, bytes part / efficiency)`."""

    efficiency: Number = ratio("share of the link bandwidth", above=0, most=1, default=1.0)
    base_s: Number = quantity("s", "launch of one collective", least=0, default=0.0)
    corner: float = ratio("p of the corner between latency and bandwidth", above=0, default=1.0)


class Profile(Noun):
    """Calibration of a (chip, serving stack), or of a class of chips where none was measured.

    Time of a pass = operators + exposed collectives + step + per_sequence * B + per_chip [tp > 1].
    `request`, `launch`, `burst` and `held_output` shape the queue of a server (`engine/metrics.py`).
    """

    name: str = text("catalog id")
    stack: str = text("serving stack: ideal, generic, vllm, tensorrt-llm, …")
    applies: tuple[str, ...] = texts("chips and classes it is for: h100-sxm, class:gpu, any", default=())
    operators: Mapping[str, OperatorFit] = nouns(
        OperatorFit,
        "by operator kind (gemm, attention, moe, elementwise, gather), optionally `.prefill`/`.decode`"
        " or `.fp8`; `default` for the rest",
    )
    collectives: Mapping[str, CollectiveFit] = nouns(
        CollectiveFit, "by level name or collective kind; `default` for the rest", default={}
    )
    step_s: Number = quantity("s", "host and scheduler, once a pass", least=0, default=0.0)
    per_sequence_s: Number = quantity("s", "host work a sequence and pass", least=0, default=0.0)
    per_chip_s: Number = quantity("s", "synchronising more than one chip, once a pass", least=0, default=0.0)
    request_s: Number = quantity(
        "s",
        "host work of a server ahead of a request's first token, HTTP and tokeniser",
        least=0,
        default=0.0,
    )
    launch_s: Number = quantity(
        "s",
        "host time of a server for an operator of a prefill, which no graph replays; delays the first token",
        least=0,
        default=0.0,
    )
    burst: Number = ratio(
        "share of a server's other requests whose prompts come together with one's own",
        most=1,
        default=0.0,
    )
    held_output: Number = ratio(
        "share of its output that a server's request has cache for: 1 set aside ahead, 0.5 as it grows",
        above=0,
        most=1,
        default=1.0,
    )
    reserve: Number = ratio("share of memory the software keeps for itself", least=0, most=0.95, default=0.0)
    page_tokens: Number = count("tokens a page of KV holds", default=1)
    activation_tokens: Number | None = count(
        "most tokens the software runs through a layer at once; bounds the memory of activations",
        default=None,
    )
    evidence: str = choice(
        "what the efficiencies rest on", "ideal", "measured", "published", "generic", default="generic"
    )
    note: str = text("what a reader should know: fitted to what, expected error", default="")
    aliases: tuple[str, ...] = texts("other names", default=())
    sources: Mapping[str, Source] = other("citation of each number, by its path", default={})
