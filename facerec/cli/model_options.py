"""The options about the model that embeds faces: --model, and --fast, which stands for one."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from facerec.cli.user_settings import EverydayOption

F = TypeVar("F", bound=Callable[..., Any])


class _ModelOption(EverydayOption):
    """--model, for which --fast may stand."""

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Take "int8" with --fast. Fails (exit code 2) if --model is given as well."""
        if not opts.get("fast"):
            return super().consume_value(ctx, opts)
        if "model" in opts:
            raise click.UsageError("--fast stands for --model int8; give one of the two", ctx)
        return "int8", ParameterSource.COMMANDLINE


def model_and_fast(**facts: Any) -> Callable[[F], F]:
    """Add --model, with these facts of a click option, and --fast. The command gets one value, `model`."""
    model = click.option("--model", setting="model", metavar="DIR|FILE|NAME", cls=_ModelOption, **facts)
    fast = click.option("--fast", is_flag=True, expose_value=False, help="The same as --model int8.")
    return lambda f: model(fast(f))
