"""facerec.evaluation.report: the page, its plots, what errors it picks, hostile names, read-only folders."""

import os
import re
import xml.etree.ElementTree as ET
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import toy_classes
import toy_model
from report_pages import Tags, loads_nothing, read
from running import json_lines, run
from toy_searches import made_up, split

from facerec.datasets.pairs import Pairs
from facerec.errors import ConfigError
from facerec.evaluation.identification import identification, run_searches
from facerec.evaluation.report import plots
from facerec.evaluation.report.glossary import TERMS
from facerec.evaluation.report.page import Mistake, Mistakes, Page, Plot, Plots, Text, prepare, render, write
from facerec.evaluation.report.protocols import MOST, SearchPhotos, _wrong_pairs, _wrong_searches
from facerec.evaluation.report.tables import Table, identification_tables, verification_tables
from facerec.evaluation.verification import verification
from facerec.types import Threshold

HOSTILE = "<script>alert(1)</script>\n\"'><img src=x onerror=y>\x1b[31m \udcff {{ 7 * 7 }} &amp;"
RED = np.full((300, 200, 3), (255, 0, 0), np.uint8)


def some_page(name: str = HOSTILE) -> Page:
    matrix = plots.confusion_figure([[3, 1], [0, 2]], [name, "$x_{$"])
    return Page(
        name,
        ((name, name),),
        (
            Table(name, (name, "b"), ((name, "1"),), name),
            Plot(name, matrix, name),
            Text(name, name, (name,)),
            Plots(name, (Plot(name, matrix, name),), name),
            Mistakes(name, name, (Mistake((RED, None), name),)),
        ),
    )


# --------------------------------------------------------------------------------------------------- the page


def test_names_cannot_inject_anything() -> None:
    text = render(some_page())
    page = Tags(text)
    loads_nothing(page)
    shown = "<script>alert(1)</script>\\n\"'><img src=x onerror=y>\\x1b[31m \\udcff {{ 7 * 7 }} &amp;"
    assert page.text.count(shown) == 18  # but those in the attributes of pictures
    assert text.encode("utf-8")
    assert "\x1b" not in text


def test_plots_are_svg_without_scripts_and_pictures_small() -> None:
    page = Tags(render(some_page("ants")))
    svg, _ = page.images("svg+xml")
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter()}
    assert "script" not in tags
    assert b"ants" in svg
    (jpeg,) = page.images("jpeg")
    with PIL.Image.open(BytesIO(jpeg)) as picture:
        assert picture.size == (85, 128)
        red, green, blue = picture.getpixel((40, 60))  # type: ignore[misc]
    assert red > 240 > 20 > max(green, blue)
    assert len([attrs for tag, attrs in page.tags if attrs.get("class") == "none"]) == 1


def test_written_whole_for_the_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    prepare(folder)
    assert list(folder.iterdir()) == []
    path = write(folder, some_page())
    assert [path] == list(folder.iterdir()) == [folder / "report.html"]
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    write(folder, some_page("another"))
    assert b"another" in path.read_bytes() != before


def test_a_page_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, some_page("first"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"no report can be written there \(No space left on device\)"):
        write(tmp_path, some_page("second"))
    assert list(tmp_path.iterdir()) == [path]
    assert "first" in path.read_text("utf-8")


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/report", "closed"])
def test_a_folder_that_cannot_be_written_to(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "report.html.draft").mkdir()  # what a folder without rights is to root, who has them all
    with pytest.raises(ConfigError, match="no report can be written there") as raised:
        prepare(tmp_path / where)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_of_the_reports_name(inside: bool, tmp_path: Path) -> None:
    """Nobody's folder is deleted, and the work is not begun for nothing."""
    (tmp_path / "report.html").mkdir()
    if inside:
        (tmp_path / "report.html" / "mine.txt").touch()
    with pytest.raises(ConfigError) as raised:
        prepare(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / 'report.html'}: a folder has the report's name; move it, or give another folder to `report`"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_long_names_are_broken_and_long_captions_scroll() -> None:
    """Every element that shows names breaks them; a caption takes no more room than its pictures."""
    name = "x" * 3000
    html = render(Page(name, (("model", name),), (Mistakes("worst", name, (Mistake((None, None), name),)),)))
    rules = {
        selector.strip(): body
        for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", html.split("<style>")[1].split("</style>")[0])
        for selector in selectors.split(",")
        if "overflow" in body
    }
    assert {"h1", "h2", "th", "td", "p", "dd", "figcaption"} <= rules.keys()
    assert "max-height" in rules[".mistakes figcaption"]
    assert "overflow-y: auto" in rules[".mistakes figcaption"]
    assert html.count(name) == 5, "cut nowhere"


def test_a_page_fits_a_phone_and_paper() -> None:
    """Tables scroll in a box of their own and break neither numbers nor words; on paper nothing is cut or dark."""
    page = Tags(html := render(some_page("ants")))
    viewports = [attrs["content"] for tag, attrs in page.tags if attrs.get("name") == "viewport"]
    assert viewports == ["width=device-width, initial-scale=1"]
    tags = [(tag, attrs.get("class")) for tag, attrs in page.tags]
    assert all(tags[i - 1] == ("div", "wide") for i, (tag, _) in enumerate(tags) if tag == "table")
    assert ("thead", None) in tags
    assert tags.count(("td", "short")) == 2
    screen, paper = html.split("<style>")[1].split("</style>")[0].split("@media print")
    assert re.search(r"\.wide \{[^}]*overflow-x: auto", screen)
    assert re.search(r"\.short \{ white-space: pre; \}", screen)
    assert not re.search(r"\bt[dh]\b[^{}]*\{[^}]*anywhere", screen), "a word is broken where it alone is too long"
    for rule in ("overflow: visible", "break-inside: avoid", "table-header-group", "background: none"):
        assert rule in paper


def test_each_term_is_explained_where_it_is_first_used() -> None:
    curve = Plot("DET", plots.det_figure([], ("false match rate (FMR)", "FNMR"), (0, 0), None))
    measures = Table("", ("measure",), (("auc",), ("TAR at FMR 1e-3",)), "95 % intervals")
    text = render(Page("x", (), (measures, curve, Table("", ("EER", "FMR"), (("Mr DETER",),), ""))))
    told = re.findall(r"<dt>(.*?)</dt>|<(table|img)", text)
    first = ["table", "95 % interval", "AUC", "FMR", "TAR"]  # its plural, too
    assert [term or tag for term, tag in told] == [*first, "img", "DET", "FNMR", "table", "EER"]


def test_words_are_told_with_code_and_a_page_has_its_own_terms() -> None:
    text = render(Page("x", (), (Text("Say", "take `full`, not <b>", ("a `b`",)),), {"full": "all of it"}))
    assert '<p class="lead">take <code>full</code>, not &lt;b&gt;</p>' in text
    assert "<li>a <code>b</code></li>" in text
    assert "<dt>full</dt><dd>all of it</dd>" in text


def test_terms_are_lines_in_plain_words() -> None:
    for term, meaning in TERMS.items():
        assert len(meaning) < 110, term
        assert not re.search(r"\b(FMR|FNMR|FPIR|FNIR|TAR|EER|AUC|ROC|DET)\b", meaning), "terms explain no terms"


def test_an_interval_without_width_does_not_tell_whether_anybody_erred() -> None:
    """An AUC has none if all pairs are decided rightly, and none if all are decided wrongly."""
    people = [f"{person}/{photo}.png" for person in "abcd" for photo in (0, 1)]
    photos = [*zip(people[::2], people[1::2], strict=True), *zip(people, people[2:] + people[:2], strict=True)]
    first, second = zip(*photos, strict=True)
    same = np.array([True] * 4 + [False] * 8)
    rows = {photo: np.eye(4, dtype=np.float32)["abcd".index(photo[0])] for photo in people}
    for labels, auc in ((same, 1), (~same, 0)):
        found = verification(Pairs(first, second, labels, None), rows)
        assert (found.auc, found.ci95["auc"]) == (auc, [auc, auc])
    assert "error" not in TERMS["95 % interval"]


# ---------------------------------------------------------------------------------------------------- mistakes


def test_the_worst_pairs_are_the_nearest_false_and_the_farthest_missed() -> None:
    rng = np.random.default_rng(0)
    distances = rng.uniform(0, 4, 200).astype(np.float32)
    distances[:5] = np.inf
    same = rng.uniform(size=200) < 0.5
    pairs = Pairs(tuple(f"{i}/a.png" for i in range(200)), tuple(f"{i}/b.png" for i in range(200)), same, None)
    asked: list[Path] = []

    def pictures(paths: object) -> dict[Path, np.ndarray]:
        asked.extend(paths)  # type: ignore[arg-type]
        return {}

    paths = {photo: Path("in", photo) for photo in pairs.photos}
    false, missed = _wrong_pairs(pairs, distances, Threshold(1.5, "x"), paths, pictures)
    rows = sorted(zip(distances.tolist(), range(200), strict=True))
    nearest = [i for d, i in rows if d <= 1.5 and not same[i]]
    farthest = [i for d, i in reversed(rows) if 1.5 < d < np.inf and same[i]]
    assert [m.caption for m in false.mistakes] == [
        f"{i}/a.png and {i}/b.png: {distances[i]:.3f}" for i in nearest[:MOST]
    ]
    assert [m.caption.split("/")[0] for m in missed.mistakes] == [str(i) for i in farthest[:MOST]]
    assert false.note.startswith(f"{MOST} of {len(nearest)} ")
    assert len(asked) == 4 * MOST


def test_the_worst_searches() -> None:
    def at(degrees: float) -> np.ndarray:
        return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)

    gallery = {"Ann": [at(0), None, at(10)], "Bob": [at(120)], "Cy": [None]}
    probes = {
        "Ann": [at(5), at(80), at(100), None],
        "Bob": [at(121)],
        "Cy": [at(5)],
        "stranger": [at(118), at(9), at(240)],
    }
    named = {who: [(Path(who, f"{i}.png"), row) for i, row in enumerate(rows)] for who, rows in gallery.items()}
    searched = [(Path("probes", who, f"{i}.png"), row) for who, rows in probes.items() for i, row in enumerate(rows)]
    seen: list[Path] = []

    def pictures(paths: object) -> dict[Path, np.ndarray]:
        seen.extend(paths)  # type: ignore[arg-type]
        return dict.fromkeys(seen, RED)

    false, missed = _wrong_searches(
        run_searches(gallery, probes), Threshold(0.3, "x"), SearchPhotos(searched, named), pictures
    )
    assert [m.caption.split(" at ")[0] for m in false.mistakes] == [
        "stranger/0.png (stranger) is taken for Bob", "stranger/1.png (stranger) is taken for Ann",
    ]  # fmt: skip
    # Neither the one without a face, nor Cy, who could not be enrolled: nothing could be seen in their pictures.
    assert [m.caption.split(":")[0] for m in missed.mistakes] == [
        "Ann/2.png (Ann) is named Bob", "Ann/1.png (Ann) is unknown",
    ]  # fmt: skip
    assert Path("Ann/2.png") in seen  # the enrolled photo of hers that is nearest
    assert all(picture is not None for m in (*false.mistakes, *missed.mistakes) for picture in m.pictures)


# ------------------------------------------------------------------------------------------------------ tables


def test_a_rate_of_too_few_comparisons_is_no_figure() -> None:
    """With 200 impostor pairs none may match at an FMR of 1e-3, nor at any below 5e-3."""
    counts = {"photos": 9, "photos_missing": 0, "photos_unreadable": 0, "photos_without_face": 0, "poor_faces": 0}
    ci = {"tar_at_fmr": {"1e-2": [0.7, 0.9], "1e-3": [0.6, 0.9]}}
    line: dict[str, Any] = (
        dict.fromkeys(("accuracy_mean", "auc", "eer", "accuracy_se", "model", "model_fingerprint"), 0.5) | counts
    )
    line |= {"pairs": 402, "genuine": 200, "impostor": 202, "failures_to_enrol": 2, "failures_to_enrol_impostor": 2}
    line |= {"tar_at_fmr": {"1e-2": 0.8, "1e-3": 0.7}, "ci95": ci, "skipped": 0, "photos_per_second": 1.0}
    rows = {row[0]: row[1:] for row in verification_tables(line)[0].rows}
    assert rows["TAR at FMR 1e-2"] == ("0.80000", "0.70000 to 0.90000")
    assert rows["TAR at FMR 1e-3"] == ("-", "needs 1,000 impostor pairs, here 200")


def test_accuracy_of_unequal_kinds_of_pairs_is_put_beside_that_of_one_answer(faces: Path, toy: Path) -> None:
    """As it is after leaving out LFW's people of one photo: 3,000 genuine pairs and 229 others."""
    rows = ["p0/0.png,p0/1.png,1", "p0/0.png,p0/2.png,1", "p2/0.png,p2/1.png,1", "p0/0.png,p2/1.png,0"]
    (faces / "pairs.csv").write_text("\n".join(["a,b,same", *rows]), "utf-8")
    command = ("evaluate", "verification", "--images", faces, "--pairs", faces / "pairs.csv", "--aligned")
    said = "One and the same answer to every pair would be right for 75.0 % of them."
    assert said in " ".join(run(*command, "--model", toy).stdout.split())
    (faces / "pairs.csv").write_text("\n".join(["a,b,same", *rows[2:]]), "utf-8")
    assert "same answer" not in run(*command, "--model", toy).stdout
    (faces / "pairs.csv").write_text("\n".join(["a,b,same", *rows[:3]]), "utf-8")
    assert "All pairs left are genuine pairs, so there are no figures." in run(*command, "--model", toy).stdout


def test_so_is_a_rate_of_too_few_strangers() -> None:
    gallery, probes = split(made_up(0, 30, 5, noise=0.8), 10, 2)
    names = ("photos", "photos_missing", "photos_unreadable", "photos_without_face", "poor_faces")
    line: dict[str, Any] = identification(gallery, probes, None).to_json() | dict.fromkeys(names, 0)
    line |= {"model": "m", "model_fingerprint": "f", "gallery_threshold": None, "gallery_threshold_source": None}
    rows = {row[0]: row[1:] for row in identification_tables(line)[0].rows if row[0].startswith("FNIR")}
    assert rows["FNIR at FPIR 0.003"] == ("-", "needs 334 searches by strangers, here 100")
    assert rows["FNIR at FPIR 0.01"][0] == f"{line['fnir_at_fpir']['0.01']:.5f}"


# ----------------------------------------------------------------------------------------------- the commands


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Four people, one of a hostile name; of p2 a photo that is another person's."""
    for person, name in enumerate(("p0", "<b>p1", "p2", "p3")):
        for photo in range(3):
            toy_model.save_crop(tmp_path / "faces" / name / f"{photo}.png", person, photo)
    toy_model.save_crop(tmp_path / "faces" / "p2" / "2.png", 0, 9)
    return tmp_path / "faces"


def test_report_of_verification(faces: Path, toy: Path, tmp_path: Path) -> None:
    rows = ["<b>p1/0.png,p2/0.png,0", "p0/0.png,p2/2.png,0", "p2/1.png,p2/2.png,1", "p0/0.png,p0/1.png,1"]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,same", *rows]), "utf-8")
    command = ("evaluate", "verification", "--images", faces, "--pairs", tmp_path / "pairs.csv", "--aligned")
    result = run(*command, "--model", toy, "--json", "--report", tmp_path / "out")
    (line,) = json_lines(result)
    assert (result.exit_code, result.stderr) == (0, f"The report is {tmp_path / 'out' / 'report.html'}\n")
    page = read(tmp_path / "out")
    for said in (
        line["model"],
        line["model_fingerprint"],
        str(tmp_path / "pairs.csv"),
        "numpy",
        "UTC",
        "TAR at FMR 1e-3",
    ):
        assert said in page.text
    assert "1 of 1 different people within the threshold 0.500 (made up for tests)" in page.text
    assert "p0/0.png and p2/2.png: " in page.text
    assert "p2/1.png and p2/2.png: " in page.text
    assert (len(page.images("svg+xml")), len(page.images("jpeg"))) == (3, 4)


def test_report_of_identification(faces: Path, toy: Path, tmp_path: Path) -> None:
    (tmp_path / "gallery").mkdir()
    for name in ("p0", "<b>p1", "p2"):
        (tmp_path / "gallery" / name).mkdir()
        os.link(faces / name / "0.png", tmp_path / "gallery" / name / "0.png")
    (tmp_path / "groups.csv").write_text("<b>p1,<i>x\np0,y\n", "utf-8")
    command = ("evaluate", "identification", "--gallery-images", tmp_path / "gallery", "--probe-images", faces)
    options = ("--gallery-sizes", "1,3", "--groups", tmp_path / "groups.csv", "--report", tmp_path / "out")
    result = run(*command, "--aligned", "--model", toy, *options)
    assert result.exit_code == 0
    page = read(tmp_path / "out")
    for said in ("by gallery size", "by group", "<i>x", "FNIR at FPIR 0.01", "p2/2.png (p2) is named p0"):
        assert said in page.text
    assert (len(page.images("svg+xml")), len(page.images("jpeg"))) == (3, 2)


def test_report_of_classification(tmp_path: Path) -> None:
    names = ("<b>green", "blue", "$x_{$")
    toy_classes.write_classifier(tmp_path / "model", names)
    for kind, name in enumerate(names):
        for number in range(2):
            home = names[0] if (kind, number) == (1, 1) else name
            toy_classes.save_picture(tmp_path / "photos" / home / f"{kind}<i>{number}.png", kind, number)
    (tmp_path / "photos" / "blue" / "bad.png").write_bytes(b"no picture")
    command = ("evaluate", "classification", "--images", tmp_path / "photos", "--model", tmp_path / "model")
    assert run(*command, "--skip-missing", "--report", tmp_path / "out").exit_code == 0
    page = read(tmp_path / "out")
    assert "<b>green/1<i>1.png: <b>green, taken for blue at " in page.text
    assert "1 of 1 wrong." in page.text
    (svg,) = page.images("svg+xml")
    assert b"$x_{$" in svg
    (jpeg,) = page.images("jpeg")
    with PIL.Image.open(BytesIO(jpeg)) as picture:
        assert picture.size == (128, 128)


@pytest.mark.parametrize("kind", ["verification", "identification"])
def test_an_unwritable_folder_is_one_line_before_a_photo_is_read(
    kind: str, faces: Path, toy: Path, tmp_path: Path
) -> None:
    (tmp_path / "pairs.csv").write_text("a,b,same\np0/0.png,none.png,1\n", "utf-8")
    inputs = {
        "verification": ("--images", faces, "--pairs", tmp_path / "pairs.csv"),
        "identification": ("--gallery-images", faces, "--probe-images", faces),
    }[kind]
    result = run("evaluate", kind, *inputs, "--aligned", "--model", toy, "--report", tmp_path / "pairs.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    wanted = "no report can be written there (File exists); give another folder to --report"
    assert result.stderr.splitlines() == [f"Error: {tmp_path / 'pairs.csv'}: {wanted}"]
