"""First mistakes on a command line, and what was meant. Imported only when a line cannot be understood."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from genzcli.errors import GenzError, nearest

#: What serving software calls the options of `run`.
_ELSEWHERE = {
    "--tensor-parallel-size": "--tp",
    "--tensor-parallel": "--tp",
    "--tp-size": "--tp",
    "--pipeline-parallel-size": "--pp",
    "--pp-size": "--pp",
    "--data-parallel-size": "--dp",
    "--dp-size": "--dp",
    "--expert-parallel-size": "--ep",
    "--enable-expert-parallel": "--ep N",
    "--ep-size": "--ep",
    "--gpus": "-n",
    "--num-gpus": "-n",
    "--gpu": "HARDWARE, behind the model",
    "--hw": "HARDWARE, behind the model",
    "--hardware": "HARDWARE, behind the model",
    "--model": "MODEL, the first word",
    "--isl": "-i",
    "--input-len": "-i",
    "--input-tokens": "-i",
    "--prompt-tokens": "-i",
    "--osl": "-o",
    "--output-len": "-o",
    "--output-tokens": "-o",
    "--max-tokens": "-o",
    "--batch-size": "-b",
    "--max-num-seqs": "--concurrency",
    "--max-concurrency": "--concurrency",
    "--users": "--concurrency",
    "--quantization": "--precision",
    "--quant": "--precision",
    "--dtype": "--precision",
    "--kv-cache-dtype": "--precision kv=FORMAT",
    "--framework": "--stack",
    "--backend": "--stack",
    "--engine": "--stack",
    "--max-num-batched-tokens": "--chunk",
    "--chunked-prefill-size": "--chunk",
    "--speculative-model": "--draft",
    "--num-speculative-tokens": "--draft-tokens",
    "--gpu-memory-utilization": "--reserve, the share kept free",
    "--mem-fraction-static": "--reserve, the share kept free",
    "--num-beams": "--beams",
    "--cost": "--price",
    "--output-format": "--format",
}


def cure(error: Any, arguments: Sequence[str]) -> str:
    """What to write in place of a line that could not be read; empty where nothing is known."""
    try:
        match type(error).__name__:
            case "NoSuchOption":
                return _option(error, arguments)
            case "MissingParameter" if error.param is not None and error.ctx is not None:
                return _missing(error.param.name, error.ctx.info_name, arguments)
            case "UsageError" if "No such command" in error.message and arguments:
                return _command(arguments)
    except GenzError:  # a catalog that is broken is not what was asked about
        pass
    return ""


def _option(error: Any, arguments: Sequence[str]) -> str:
    """Options of other programs, long ones with one dash, and slips of the keyboard."""
    name = error.option_name
    here = _ELSEWHERE.get(name)
    if here is not None:
        return f"here that is {here}"
    written = next((word for word in arguments if len(word) > 2 and word.startswith(name)), name)
    known = [flag for item in error.ctx.command.params for flag in (*item.opts, *item.secondary_opts)]
    if written != name and not name.startswith("--"):
        if written[1].isdigit():
            return f"did you mean {written[1:]}, without the dash?"
        long = nearest(f"-{written.partition('=')[0]}", known, 1)
        return f"did you mean {long[0] + written[len(written.partition('=')[0]) :]}?" if long else ""
    near = nearest(name, [flag for flag in known if flag.startswith("--")]) if name.startswith("--") else []
    return f"did you mean {', '.join(near)}?" if near else ""


def _missing(parameter: str, command: str, arguments: Sequence[str]) -> str:
    """A question with one of its two words."""
    example = f"`genz {command} llama-3.1-70b h100-sxm`"
    given = [word for word in arguments[1:] if not word.startswith("-")][:1]
    if parameter != "hardware" or not given:
        return f"as {example}" if parameter in ("model", "hardware") else ""
    what = _is(given[0])
    if what in ("check", "sweep"):
        return f"{given[0]} is a scenario file: `genz {what} {shlex.quote(given[0])}`"
    if what == "hardware":
        return f"{given[0]} is hardware, and the model comes first: {example}"
    return f"name a chip or a platform behind the model, as {example}"


def _command(arguments: Sequence[str]) -> str:
    """A question without its verb."""
    what = _is(arguments[0])
    if what in ("check", "sweep"):
        return f"did you mean `genz {what} {shlex.join(arguments)}`?"
    if what and len(arguments) > 1:
        return f"did you mean `genz run {shlex.join(arguments)}`?"
    return f"did you mean `genz show {shlex.join(arguments)}`?" if what else ""


def _is(word: str) -> str:
    """model or hardware, or the command that answers a scenario file; empty for what is none of them."""
    from genzcli.catalog.load import Catalog
    from genzcli.cli.asking.scenarios import answered_by

    if command := answered_by(word):
        return command
    catalog = Catalog()
    for kind, load in (("model", catalog.model), ("hardware", catalog.hardware)):
        try:
            load(word)
            return kind
        except GenzError:
            continue
    return ""
