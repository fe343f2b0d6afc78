"""scripts/studies: the page is what the files give, every study is described, every command that is shown parses."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from running import ROOT

STUDIES = ROOT / "scripts" / "studies"
FILES = sorted((STUDIES / "results").glob("*.toml"))
MODULES = [path.stem for path in sorted(STUDIES.glob("*.py")) if "def parser(" in path.read_text("utf-8")]
PAGES = [ROOT / "README.md"]
PAGES += [
    page for top in ("facerec", "gallery", "scripts", "tests") for page in sorted((ROOT / top).rglob("README.md"))
]
COMMAND = re.compile(r"python -m scripts\.studies ([^`\n#]+)")


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def page() -> Any:
    return importlib.import_module("scripts.studies.page")


def module(name: str) -> ModuleType:
    return importlib.import_module(f"scripts.studies.{name}")


def commands(text: str) -> list[list[str]]:
    """The words behind `python -m scripts.studies [run]` in a text, of what is optional, too; `a|b` stands for a."""
    found = [line.strip().removeprefix("run ") for line in COMMAND.findall(text.replace("\\\n", " "))]
    return [shlex.split(re.sub(r"\|\S+", "", re.sub(r"[\[\]]", "", line))) for line in found if line]


def assert_parses(words: list[str]) -> None:
    name, *options = words
    if name in ("NAME", "render") or options == ["--help"]:
        return
    assert name in MODULES, f"there is no study {name}"
    module(name).parser().parse_args(options)


def test_the_page_is_what_the_files_give(page: Any) -> None:
    assert page.PAGE.read_text("utf-8") == page.page(), "run `python -m scripts.studies render`"


def test_a_changed_figure_makes_the_check_fail(page: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main = module("__main__")
    altered = tmp_path / "README.md"
    altered.write_text(page.page().replace("98.77", "98.78"), "utf-8")
    monkeypatch.setattr(main, "PAGE", altered)
    with pytest.raises(SystemExit, match=r"differs from results/; run `python -m scripts\.studies render`"):
        main.main(["render", "--check"])
    main.main(["render"])
    assert altered.read_text("utf-8") == page.page()
    main.main(["render", "--check"])


def test_the_list_names_every_study_and_its_question(page: Any) -> None:
    command = [sys.executable, "-m", "scripts.studies"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for study in page.read_studies():
        assert re.search(rf"^ +{study.name} +{re.escape(study.question)}$", said, re.MULTILINE), study.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_study_says_what_a_reader_asks(file: Path, page: Any) -> None:
    study = page.read_study(file)
    assert study.question.endswith("?")
    assert 1 <= len(re.findall(r"\.\s", study.answer + "\n")) <= 2, "two sentences at most"
    for text in (study.data, study.limits, study.made, study.command):
        assert text.strip()
    for result in study.tables:
        assert re.fullmatch(rf"{study.name}(-[\w-]+)?\.csv", result.file)
        assert len({line.count("|") for line in page.markdown_table(page.RESULTS / result.file).splitlines()}) == 1


def test_every_csv_belongs_to_one_study(page: Any) -> None:
    named = [result.file for study in page.read_studies() for result in study.tables]
    assert sorted(named) == sorted(path.name for path in page.RESULTS.glob("*.csv"))


@pytest.mark.parametrize("name", MODULES)
def test_every_script_is_a_study_and_shows_its_command(name: str, page: Any) -> None:
    assert page.RESULTS / f"{name}.toml" in FILES
    shown = commands(module(name).__doc__ or "")
    assert [name] in [words[:1] for words in shown]
    for words in [*shown, *commands(page.read_study(page.RESULTS / f"{name}.toml").command)]:
        assert_parses(words)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_on_a_page_parses(path: Path) -> None:
    for words in commands(path.read_text("utf-8")):
        assert_parses(words)


def test_a_study_that_is_not_there_is_refused() -> None:
    for name, words in (("nothing", "there is no study nothing"), ("people", "there is no study people")):
        with pytest.raises(SystemExit, match=words):
            module("__main__").main([name])
    with pytest.raises(SystemExit, match=r"gallery_kills is made by other commands:\nscripts/kill_gallery"):
        module("__main__").main(["gallery_kills"])


@pytest.mark.parametrize("before", [[], ["run"]])
def test_a_study_runs_with_and_without_the_word(before: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    main, ran = module("__main__"), []
    study = SimpleNamespace(main=lambda: ran.append(sys.argv))
    monkeypatch.setattr(main, "study_module", lambda name: study if name == "cohort" else None)
    monkeypatch.setattr(sys, "argv", [])
    main.main([*before, "cohort", "--data", "there"])
    assert ran == [["python -m scripts.studies cohort", "--data", "there"]]


def test_run_needs_a_name() -> None:
    for words, said in ((["run"], "usage: .* run NAME"), (["run", "nothing"], "there is no study nothing")):
        with pytest.raises(SystemExit, match=said):
            module("__main__").main(words)


def test_a_field_that_is_missing_or_unknown_is_named(page: Any, tmp_path: Path) -> None:
    whole = (page.RESULTS / "cohort.toml").read_text("utf-8")
    for altered, words in (
        (whole.replace("question =", "ask ="), "cohort.toml: a field is missing or unknown: .*ask"),
        (whole.replace('topic = "thresholds"', 'topic = "all"'), "topic 'all' is none of model, thresholds"),
    ):
        file = tmp_path / "cohort.toml"
        file.write_text(altered, "utf-8")
        with pytest.raises(SystemExit, match=words):
            page.read_study(file)
