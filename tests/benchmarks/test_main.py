"""scripts/bench: finds the benches, runs one, prints its table or its JSON; every command that is shown parses."""

import importlib
import json
import re
import shlex
from types import ModuleType
from typing import Any

import pytest
from running import ROOT

FOLDER = ROOT / "scripts" / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem != "common")
PAGES = [ROOT / "README.md", *(page for top in ("facerec", "scripts") for page in sorted((ROOT / top).rglob("*.md")))]
TEXTS = [*PAGES, *sorted((ROOT / "scripts" / "studies" / "results").glob("*.toml")), *sorted(FOLDER.glob("*.py"))]
COMMAND = re.compile(r"scripts/bench ([a-z][^`\n#;(\"]*)")


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def main() -> Any:
    return importlib.import_module("scripts.benchmarks.__main__")


@pytest.fixture
def toy(main: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A bench that measures nothing, under the name of a real one."""
    toy = ModuleType("toy")
    toy.__doc__ = "Measures a toy."
    toy.add_options = lambda parser: parser.add_argument("--answers", default="same")  # type: ignore[attr-defined]
    toy.run = lambda options: {  # type: ignore[attr-defined]
        "ratio": 2.5, "same_answers": options.answers != "others", "holds": options.answers != "too large"
    }  # fmt: skip
    toy.table = lambda figures: f"ratio {figures['ratio']}"  # type: ignore[attr-defined]
    monkeypatch.setattr(main, "bench", {"toy": toy}.__getitem__)
    return toy


def shown_commands(text: str) -> list[list[str]]:
    """The words behind `scripts/bench`, of what is optional, too; `a|b` stands for a."""
    found = COMMAND.findall(text.replace("\\\n", " "))
    return [shlex.split(re.sub(r"\|\S+", "", re.sub(r"[\[\]]", "", line))) for line in found]


def test_every_module_is_a_bench_and_is_listed(main: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.names() == NAMES
    main.main([])
    listed = capsys.readouterr().out
    for name in NAMES:
        assert re.search(rf"^ +{name} +Measures ", listed, re.MULTILINE), name


@pytest.mark.parametrize("name", NAMES)
def test_every_bench_is_on_the_page_and_shows_its_command(main: Any, name: str) -> None:
    assert f"| `{name}` |" in (FOLDER / "README.md").read_text("utf-8")
    assert [words for words in shown_commands(main.bench(name).__doc__) if words[0] == name]


def test_commands_that_are_shown_parse(main: Any) -> None:
    values = {"DIR": ".", "N": "1", "FILE.csv": "figures.csv", "NAME...": "facerec"}
    shown = [words for page in TEXTS for words in shown_commands(page.read_text("utf-8"))]
    assert {words[0] for words in shown} == set(NAMES)
    for name, *options in shown:
        main.parser(name).parse_args([values.get(word, word) for word in options if word != "--help"])


def test_a_bench_gives_a_table_and_the_machine(main: Any, toy: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["toy"])
    figures, facts = capsys.readouterr().out.splitlines()
    assert figures == "ratio 2.5"
    assert facts.startswith("cpu ")


def test_a_bench_gives_one_json_object(main: Any, toy: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["toy", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["bench"], found["ratio"]) == ("toy", 2.5)
    assert {"cpu", "cores", "instructions", "numpy", "openvino", "facerec"} <= set(found["machine"])


def test_other_answers_and_limits_that_were_not_kept_are_a_failure(
    main: Any, toy: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="what was compared did not give the same answers"):
        main.main(["toy", "--answers", "others"])
    with pytest.raises(SystemExit, match="a limit that this bench sets was not kept"):
        main.main(["toy", "--answers", "too large"])
    assert "ratio 2.5" in capsys.readouterr().out


def test_an_unknown_bench_is_refused(main: Any) -> None:
    with pytest.raises(SystemExit, match="there is no bench speed; `scripts/bench` lists them"):
        main.main(["speed"])
