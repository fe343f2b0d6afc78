"""Lists the studies, runs one, or renders the page of their results (scripts/studies/README.md).

.venv/bin/python -m scripts.studies                           every study and its question
.venv/bin/python -m scripts.studies run NAME [OPTIONS...]     runs a study; with --help explains it
.venv/bin/python -m scripts.studies render [--check]          writes the page; with --check only says what differs

`run` may be left out.
"""

import difflib
import importlib
import sys
from itertools import groupby
from types import ModuleType

from scripts.studies.page import FOLDER, PAGE, TOPICS, page, read_studies


def list_studies() -> None:
    """Print every study's name and question, by topic."""
    print(__doc__)
    for topic, studies in groupby(read_studies(), lambda study: study.topic):
        print(TOPICS[topic])
        for study in studies:
            print(f"    {study.name:20} {study.question}")


def study_module(name: str) -> ModuleType:
    """The module of a study; SystemExit where there is none."""
    if (FOLDER / f"{name}.py").exists():
        module = importlib.import_module(f"scripts.studies.{name}")
        if hasattr(module, "parser"):
            return module
    commands = {study.name: study.command.strip() for study in read_studies()}
    if name in commands:
        raise SystemExit(f"{name} is made by other commands:\n{commands[name]}")
    raise SystemExit(f"there is no study {name}; `python -m scripts.studies` lists them")


def render(check: bool) -> None:
    """Write the page; or, to check, print how it differs from the files and exit with 1."""
    if not check:
        PAGE.write_text(page(), "utf-8")
        return
    old, new = PAGE.read_text("utf-8").splitlines(), page().splitlines()
    if old != new:
        print(*difflib.unified_diff(old, new, "README.md", "results/", n=0, lineterm=""), sep="\n")
        raise SystemExit("scripts/studies/README.md differs from results/; run `python -m scripts.studies render`")


def run(name: str = "", *options: str) -> None:
    """Run a study with its options; SystemExit where none is named or there is none of the name."""
    if not name:
        raise SystemExit("usage: python -m scripts.studies run NAME [OPTIONS...]")
    study = study_module(name)
    sys.argv = [f"python -m scripts.studies {name}", *options]
    study.main()


def main(arguments: list[str]) -> None:
    """Do what the first argument says."""
    if not arguments or arguments[0] in ("-h", "--help"):
        list_studies()
    elif arguments[0] == "render":
        if arguments[1:] not in ([], ["--check"]):
            raise SystemExit("usage: python -m scripts.studies render [--check]")
        render(check=len(arguments) > 1)
    else:
        run(*(arguments[1:] if arguments[0] == "run" else arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
