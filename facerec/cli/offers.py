"""What a shell offers for names while they are typed: people, backbones, models, and files."""

from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from facerec.gallery.address import place_of
from facerec.gallery.glance import names_at_a_glance

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def people(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the people of the command's gallery."""
    folder = ctx.params.get("gallery_folder")
    return _beginning(incomplete, names_at_a_glance(place_of(folder)) if folder else [])


def photo_then_people(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer photos for the first word and people for the next; only people with --people."""
    given: Any = ctx.params.get(str(parameter.name))
    return people(ctx, parameter, incomplete) if given or ctx.params.get("people") else [_file(incomplete)]


def some(names: Sequence[str], *, or_file: bool = False) -> Completer:
    """Return a completer of these names. or_file: files are offered while nothing is typed, and if no name fits."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = _beginning(incomplete, names)
        return [_file(incomplete)] if or_file and not (incomplete and found) else found

    return complete


def _beginning(incomplete: str, names: Sequence[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _file(incomplete: str) -> CompletionItem:
    return CompletionItem(incomplete, type="file")
