"""The documentation holds to the code: every README, and the help of every command."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import settings_table
from running import ROOT, run

from facerec.cli import path_types
from facerec.cli.main import main

FIRST = ROOT / "README.md"
READMES = [
    FIRST,
    *sorted(page for top in ("facerec", "gallery", "scripts", "tests") for page in (ROOT / top).rglob("README.md")),
]
PACKAGES = sorted(module.parent for module in (ROOT / "facerec").glob("*/__init__.py"))
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
every_readme = pytest.mark.parametrize("page", READMES, ids=lambda page: str(page.relative_to(ROOT)))


def fences(page: Path) -> list[str]:
    """The blocks of code on a page."""
    return FENCE.findall(page.read_text("utf-8"))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text("utf-8"))


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and sub-command with its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(main))


def examples(text: str) -> list[str]:
    """The command lines in a text, without prompt, comment and redirection."""
    lines = [
        line.strip().removeprefix("$ ").removeprefix(".venv/bin/") for line in text.replace("\\\n", " ").splitlines()
    ]
    return [line.split(" > ")[0] for line in lines if line.startswith("facerec ")]


@pytest.fixture(autouse=True)
def any_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let command lines be parsed whose files are not there."""
    monkeypatch.setattr(path_types.FilePath, "convert", click.Path.convert)
    monkeypatch.setattr(path_types.ModelName, "convert", click.STRING.convert)


def parse(example: str) -> tuple[str, ...]:
    """Parse a command line as click would, running nothing; returns the command's full name."""
    _, *words = shlex.split(example, comments=True)
    command: click.Command = main
    path: tuple[str, ...] = ()
    while isinstance(command, click.Group):
        path = (*path, words.pop(0))
        assert path in ALL, f"there is no {' '.join(path)}"
        command = ALL[path]
    command.make_context(" ".join(path), words)
    return path


def texts_of(command: click.Command) -> list[str]:
    return [parameter.help or "" for parameter in command.params if isinstance(parameter, click.Option)]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_has_an_example_that_runs(path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    shown = [parse(example) for example in examples(result.stdout)]
    assert shown, "no example"
    assert all(example[: len(path)] == path for example in shown)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_is_explained_and_every_command_gives_json(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert all(texts_of(command))
    if not isinstance(command, click.Group):
        assert "--json" in {option for parameter in command.params for option in parameter.opts}


def test_the_front_page_has_examples_that_run() -> None:
    assert {parse(example) for example in examples(run("--help").stdout)} == {("enroll",), ("identify",)}


# ---------------------------------------------------------------------------------------------- the first README


def listed(span: str) -> list[list[str]]:
    """The words of each command in `facerec gallery list, show NAME`, without facerec."""
    first, *others = (shlex.split(part) for part in span.removeprefix("facerec ").split(", "))
    group = first[:1] if first[0] in {path[0] for path in ALL if len(path) > 1} else []
    return [first, *([*group, *other] for other in others)]


def spans(page: Path) -> list[str]:
    """What a page says of commands in its text: `facerec ...`."""
    return re.findall(r"`(facerec [^`\n]+)`", prose(page))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_the_first_readme_names_every_command(path: tuple[str, ...]) -> None:
    assert any(tuple(words[: len(path)]) == path for span in spans(FIRST) for words in listed(span))


def test_the_first_readme_is_short_and_shows_a_picture_first() -> None:
    text = FIRST.read_text("utf-8")
    assert len(text.splitlines()) <= 300
    assert len(text.encode()) <= 20_000
    first = next(line for line in text.splitlines()[1:] if line)
    assert first.startswith("![")


def test_the_first_readme_shows_the_two_scripts() -> None:
    assert {"scripts/quickstart", "scripts/test"} <= set(re.findall(r"scripts/\w+", "".join(fences(FIRST))))


# ------------------------------------------------------------------------------------------------- every README


def test_every_room_has_a_readme() -> None:
    scripts = [ROOT / "scripts", *(ROOT / "scripts" / name for name in ("benchmarks", "studies", "default_model"))]
    assert [room for room in (*PACKAGES, *scripts, ROOT / "tests") if not (room / "README.md").is_file()] == []


@every_readme
def test_examples_run(page: Path) -> None:
    for fence in fences(page):
        for example in examples(fence):
            parse(example)


@every_readme
def test_python_is_python(page: Path) -> None:
    for code in PYTHON.findall(page.read_text("utf-8")):
        compile(code, str(page), "exec")


def test_the_readmes_show_the_main_commands() -> None:
    shown = {parse(example) for page in READMES for fence in fences(page) for example in examples(fence)}
    assert {("enroll",), ("identify",), ("verify",), ("train",), ("evaluate", "verification")} <= shown


@every_readme
def test_commands_and_options_in_the_text_exist(page: Path) -> None:
    for words in (words for span in spans(page) for words in listed(span)):
        path = max((path for path in ALL if tuple(words[: len(path)]) == path), key=len, default=())
        assert path or words[0].startswith("-"), f"there is no facerec {' '.join(words)}"
        command = ALL[path] if path else main
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= {*options, "--help"}, words


def test_options_in_the_text_exist() -> None:
    known = {option for command in ALL.values() for parameter in command.params for option in parameter.opts}
    known |= {option for command in ALL.values() for parameter in command.params for option in parameter.secondary_opts}
    for page in [FIRST, *(ROOT / "facerec").rglob("README.md")]:
        code = [span for span in re.findall(r"`([^`\n]+)`", prose(page)) if re.match(r"--|facerec", span)]
        named = {option for span in code for option in re.findall(r"(?<!\S)--[a-z-]+", span)}
        assert named <= {*known, "--help"}, page


@every_readme
def test_paths_exist(page: Path) -> None:
    elsewhere = r"PyPI source package [^|]*|--csv \S+"  # where a photo comes from; what a command writes
    text = re.sub(elsewhere, "", page.read_text("utf-8"))
    for path in re.findall(r"(?<![\w./-])(?:scripts|gallery|facerec|tests)/[\w/.-]*\w", text):
        placeholder = any(part.isupper() for part in re.split(r"[/.]", path))  # NAME in results/NAME.csv
        assert placeholder or (ROOT / path).exists() or (page.parent / path).exists(), path


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@every_readme
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if fragment:
            headings = re.findall(r"^#+ (.*)$", prose(target), re.MULTILINE)
            assert fragment in map(anchor, headings), link


@pytest.mark.parametrize(
    "package", [package for package in PACKAGES if package.name != "cli"], ids=lambda package: package.name
)
def test_a_table_of_modules_names_all_of_them_and_no_other(package: Path) -> None:
    table = re.compile(r"^\| module \| what \|\n\|[-|]+\n((?:\|.*\n?)+)", re.MULTILINE)
    rows = "".join(table.findall(prose(package / "README.md"))).splitlines()
    named = {name.removesuffix(".py") for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    modules = {entry.stem for entry in package.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file()}
    assert named == modules - {"__init__"}


def test_the_table_of_settings_is_that_of_the_code() -> None:
    page = settings_table.PAGE.read_text("utf-8")
    assert f"{settings_table.BEGIN}{settings_table.settings_table()}{settings_table.END}" in page
