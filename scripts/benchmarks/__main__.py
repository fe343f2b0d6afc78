"""Measures speed and memory. Things that are compared take turns in one run.

scripts/bench                            every bench and what it measures
scripts/bench NAME [--json] [OPTIONS]    runs a bench: a table, or one JSON object; `NAME --help` explains it

Exit status 1: what was compared did not give the same answers, or a limit was not kept.
"""

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from scripts.benchmarks.common import machine, machine_line

SHARED = ("common",)  # modules that are no bench


def names() -> list[str]:
    """The names of the benches: of the modules here."""
    found = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if not module.ispkg]
    return [name for name in found if not name.startswith("_") and name not in SHARED]


def bench(name: str) -> ModuleType:
    """The module of a bench; SystemExit where there is none."""
    if name not in names():
        raise SystemExit(f"there is no bench {name}; `scripts/bench` lists them")
    return importlib.import_module(f"scripts.benchmarks.{name}")


def list_benches() -> None:
    """Print every bench and the first line of its docstring."""
    print(__doc__)
    for name in names():
        print(f"    {name:10} {(bench(name).__doc__ or '').splitlines()[0]}")


def parser(name: str) -> argparse.ArgumentParser:
    """The parser of a bench. Its help is the bench's docstring."""
    module = bench(name)
    made = argparse.ArgumentParser(
        f"scripts/bench {name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    module.add_options(made)
    return made


def main(arguments: list[str]) -> None:
    """Run the bench that the first argument names."""
    if not arguments or arguments[0] in ("-h", "--help"):
        list_benches()
        return
    name, *words = arguments
    module, options = bench(name), parser(name).parse_args(words)
    figures, facts = module.run(options), machine()
    if options.json:
        print(json.dumps({"bench": name, **figures, "machine": facts}))
    else:
        print(module.table(figures), machine_line(facts), sep="\n")
    if figures.get("same_answers") is False:
        raise SystemExit("what was compared did not give the same answers")
    if figures.get("holds") is False:
        raise SystemExit("a limit that this bench sets was not kept")


if __name__ == "__main__":
    main(sys.argv[1:])
