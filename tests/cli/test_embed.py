"""`facerec embed`, and the commands that take its shards in place of photos: they give the same answers."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import toy_model
import toy_shards
from click.testing import Result
from running import json_lines, run

from facerec.inference import shard_workers
from facerec.inference.shard_work import Asked

VARIES = ("seconds", "photos_per_second", "search_ms_p50", "search_ms_p99")


@pytest.fixture
def people(crops: Path, tmp_path: Path) -> Path:
    """Aligned photos of three people, one more person without a photo, and a damaged photo."""
    folder = shutil.copytree(crops / "people", tmp_path / "people")
    toy_model.save_crop(folder / "Ann Lee" / "9.png", 0, 7)
    toy_shards.shrink(folder)
    (folder / "Nobody").mkdir()
    (folder / "Ann Lee" / "bad.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def vectors(people: Path, toy: Path, tmp_path: Path) -> Path:
    """The shards of `people`."""
    result = embed(people, tmp_path / "vectors", toy)
    assert result.exit_code == 1
    return tmp_path / "vectors"


def embed(source: Path, output: Path, model: Path, *options: object) -> Result:
    words = ("--model", model, "--aligned", "--photos-per-shard", 3)
    return run("embed", source, "--output", output, *words, *options)


def answers(result: Result) -> tuple[int, list[dict[str, Any]], str]:
    """All that a command says, but for times."""
    lines = [{name: value for name, value in line.items() if name not in VARIES} for line in json_lines(result)]
    return result.exit_code, lines, result.stderr


# -------------------------------------------------------------------------------------------------------------- embed


def test_what_it_says(people: Path, toy: Path, tmp_path: Path) -> None:
    output = tmp_path / "vectors"
    result = embed(people, output, toy)
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, line.split(": ")[0]) == (1, str(people / "Ann Lee" / "bad.png"))
    assert result.stdout.startswith("3 shards, 8 photos, 7 faces, 1 failed (8 now, ")
    again = embed(people, output, toy)
    assert (again.exit_code, again.stderr) == (1, "")
    assert again.stdout == "3 shards, 8 photos, 7 faces, 1 failed (nothing to do)\n"


def test_json(people: Path, toy: Path, tmp_path: Path) -> None:
    *shards, summary = json_lines(embed(people, tmp_path / "vectors", toy, "--json"))
    names = [f"shard-0000{number}.parquet" for number in range(3)]
    assert [shard["shard"] for shard in shards] == names
    assert [shard["photos"] for shard in shards] == [3, 3, 2]
    assert summary.pop("seconds") >= 0
    assert summary.pop("photos_per_second") > 0
    counts = {"photos": 8, "faces": 7, "no_face": 0, "errors": 1}
    assert summary == {"summary": True, "shards": 3, **counts, "embedded_now": 8}


def test_all_is_well(crops: Path, toy: Path, tmp_path: Path) -> None:
    result = embed(crops / "people", tmp_path / "vectors", toy)
    assert (result.exit_code, result.stderr) == (0, "")


def test_two_workers_make_the_same_shards(people: Path, vectors: Path, toy: Path, tmp_path: Path) -> None:
    result = embed(people, tmp_path / "two", toy, "--workers", 2)
    assert result.exit_code == 1
    for shard in vectors.glob("*.parquet"):
        assert (tmp_path / "two" / shard.name).read_bytes() == shard.read_bytes()


def test_no_more_processes_start_than_shards_are_missing(
    people: Path, vectors: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    real = shard_workers._start

    def start(asked: Asked, threads: int) -> Any:
        started.append(threads)
        return real(asked, threads)

    monkeypatch.setattr(shard_workers, "_start", start)
    monkeypatch.setattr(shard_workers, "cores", lambda: 4)
    (vectors / "shard-00001.parquet").unlink()
    assert embed(people, vectors, toy, "--workers", 100).exit_code == 1
    assert started == [4]  # one process, which has all the cores


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "default"], "was begun with the model toy"),
        (["--min-face-size", "40"], "was begun with aligned crops (--aligned), and asked for is mtcnn"),
    ],
)
def test_another_way_is_one_line(vectors: Path, people: Path, toy: Path, options: list[str], words: str) -> None:
    given = options if "--model" in options else ["--model", toy, *options]
    result = run("embed", people, "--output", vectors, *given)
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in line
    assert "another --output" in line


def test_a_photo_in_place_of_a_list_is_one_line(crops: Path, toy: Path, tmp_path: Path) -> None:
    result = embed(crops / "ann.png", tmp_path / "vectors", toy)
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 2
    assert "ann.png: not UTF-8 text" in line


# ------------------------------------------------------------------------------------------------ in place of photos


def test_cluster(people: Path, vectors: Path, toy: Path) -> None:
    (people / "Nobody").rmdir()
    for options in ([], ["--labels"], ["--method", "dbscan", "--threshold", "0.5"]):
        photos = run("cluster", people, "--model", toy, "--aligned", "--json", *options)
        shards = run("cluster", vectors, "--model", toy, "--json", *options)
        assert answers(shards) == answers(photos)
        assert photos.exit_code == 1


def test_search(people: Path, vectors: Path, crops: Path, toy: Path) -> None:
    photos = run("search", crops / "ann.png", "--in", people, "--model", toy, "--aligned", "--json")
    shards = run("search", crops / "ann.png", "--in", vectors, "--model", toy, "--json")
    assert answers(shards) == answers(photos)


def test_enroll(people: Path, vectors: Path, toy: Path, tmp_path: Path) -> None:
    galleries = tmp_path / "of photos", tmp_path / "of shards"
    for folders in ((people, vectors), (vectors, people)):  # the second time all photos are known by their hash
        said = []
        for gallery, folder in zip(galleries, folders, strict=True):
            given = run("enroll", folder, "--model", toy, "--aligned", "--json", gallery=gallery)
            said.append(answers(given))
        assert said[0] == said[1]
        assert said[0][0] == 1
    assert [line["status"] for line in said[0][1][:-1]].count("skipped") == 7
    shown = [run("gallery", "show", "Ann Lee", "--json", gallery=gallery) for gallery in galleries]
    templates = [{**line, "enrolled": None} for line in json_lines(shown[0])]
    assert templates == [{**line, "enrolled": None} for line in json_lines(shown[1])]


def test_verification(people: Path, vectors: Path, toy: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    names = [path.relative_to(people).as_posix() for path in sorted(people.rglob("*.png"))]
    rows = [f"{a},{b},{int(a.split('/')[0] == b.split('/')[0])}" for a in names for b in names if a < b]
    pairs.write_text("\n".join(["a,b,same", *rows]).replace("0.png", "0.jpg"), "utf-8")
    words = ["evaluate", "verification", "--pairs", pairs, "--model", toy, "--json", "--skip-missing"]
    photos = run(*words, "--images", people, "--aligned")
    assert photos.exit_code == 0
    assert answers(run(*words, "--images", vectors)) == answers(photos)
    refused = run(*[word for word in words if word != "--skip-missing"], "--images", vectors)
    assert refused.exit_code == 2
    assert "1 of 8 photos is unreadable" in refused.stderr


def test_identification(people: Path, vectors: Path, crops: Path, toy: Path, tmp_path: Path) -> None:
    probes = tmp_path / "probes"
    for person, name in enumerate([*toy_model.NAMES, "Nobody", "Stranger"]):
        toy_model.save_crop(probes / name / "1.png", person, 5)
    shutil.copy(people / "Ann Lee" / "0.png", probes / "Ann Lee" / "copy.png")
    assert embed(probes, tmp_path / "probe vectors", toy).exit_code == 0
    words = ["evaluate", "identification", "--model", toy, "--json", "--skip-missing"]
    photos = run(*words, "--gallery-images", people, "--probe-images", probes, "--aligned")
    shards = run(*words, "--gallery-images", vectors, "--probe-images", tmp_path / "probe vectors")
    mixed = run(*words, "--gallery-images", vectors, "--probe-images", probes)
    assert answers(shards) == answers(photos) == answers(mixed)
    assert "byte for byte" in photos.stderr


def test_the_photos_need_not_be_there(people: Path, crops: Path, toy: Path, tmp_path: Path) -> None:
    (people / "Nobody").rmdir()
    vectors = tmp_path / "vectors"
    embed(people, vectors, toy)
    commands = {
        "cluster": (["cluster", "FOLDER", "--labels"], None),
        "search": (["search", crops / "ann.png", "--in", "FOLDER"], None),
        "enroll": (["enroll", "FOLDER"], "gallery"),
    }

    def ask(kind: str, folder: Path) -> dict[str, Any]:
        said = {}
        for name, (words, gallery) in commands.items():
            given = [folder if word == "FOLDER" else word for word in words]
            own = None if gallery is None else tmp_path / f"{gallery} {kind}"
            said[name] = answers(run(*given, "--model", toy, "--aligned", "--json", gallery=own))
        return said

    from_photos = ask("photos", people)
    shutil.rmtree(people)
    (vectors.parent / "moved").mkdir()
    from_shards = ask("shards", vectors.rename(vectors.parent / "moved" / "here"))
    assert from_shards == from_photos


def test_real_photos(small_samples: Path, tmp_path: Path) -> None:
    """Found by the detector as the shards say, not as the default."""
    looks = ["--detector", "yunet", "--min-face-size", "24"]
    made = run("embed", small_samples / "people", "--output", tmp_path / "vectors", *looks)
    assert made.exit_code == 0
    wanted = next(small_samples.rglob("*.jpg"))
    for words in (["cluster"], ["search", wanted, "--in"]):
        photos = run(*words, small_samples / "people", "--json", *looks)
        shards = run(*words, tmp_path / "vectors", "--json")
        assert json_lines(shards) == json_lines(photos)
    for options, other in ((["--detector", "mtcnn"], "mtcnn"), (["--aligned"], "aligned crops (--aligned)")):
        refused = run("cluster", tmp_path / "vectors", *options)
        assert refused.exit_code == 2
        assert f"was embedded with yunet, --min-face-size 24, --min-confidence 0.9, not with {other}" in refused.stderr


def test_shards_of_another_model_are_refused_in_one_line(vectors: Path, crops: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("a,b,same\nAnn Lee/0.png,Ann Lee/1.png,1\nAnn Lee/0.png,Çelik 王/0.png,0", "utf-8")
    for command in (
        ["cluster", vectors],
        ["search", crops / "ann.png", "--in", vectors],
        ["enroll", vectors / "."],
        ["evaluate", "verification", "--images", vectors, "--pairs", pairs, "--skip-missing"],
        ["evaluate", "identification", "--gallery-images", vectors, "--probe-images", vectors, "--skip-missing"],
    ):
        result = run(*command, gallery=tmp_path / "gallery")
        lines = [line for line in result.stderr.splitlines() if "Nobody" not in line]  # a folder without photos
        assert (result.exit_code, result.stdout, len(lines)) == (2, "", 1), result.stderr
        assert "holds vectors of the model toy" in lines[0]
    assert not (tmp_path / "gallery").exists()


def test_a_plan_of_somebody_else_is_no_folder_of_shards(people: Path, toy: Path, tmp_path: Path) -> None:
    (people / "plan.json").write_text('{"party": "on Sunday"}', "utf-8")
    result = run("enroll", people, "--model", toy, "--aligned", gallery=tmp_path / "gallery")
    assert "Ann Lee: 3 added" in result.stdout
    refused = embed(people, people, toy)
    assert refused.exit_code == 2
    assert "is no folder of shards; give another --output" in refused.stderr


def test_shards_that_are_missing_are_one_line(vectors: Path, toy: Path) -> None:
    (vectors / "shard-00001.parquet").unlink()
    result = run("cluster", vectors, "--model", toy)
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 2
    assert "1 shard of 3 missing, the first shard-00001.parquet; `facerec embed" in line


def test_a_damaged_shard_is_one_line(vectors: Path, toy: Path) -> None:
    shard = vectors / "shard-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    result = run("cluster", vectors, "--model", toy)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "shard-00001.parquet: no whole shard" in result.stderr.splitlines()[-1]


def test_crops_cannot_be_kept_of_shards(vectors: Path, toy: Path, tmp_path: Path) -> None:
    result = run("enroll", vectors, "--keep-crops", "--model", toy, gallery=tmp_path / "gallery")
    assert result.exit_code == 2
    assert "shards hold no crops that could be kept; leave out --keep-crops" in result.stderr


def test_the_plan_is_small_text(vectors: Path, people: Path) -> None:
    plan = json.loads((vectors / "plan.json").read_text("utf-8"))
    assert (plan["source"], plan["root"], plan["bare"]) == (str(people), str(people), ["Nobody"])
    assert [len(shard) for shard in plan["shards"]] == [3, 3, 2]
