"""Shards: what is written is read again, and nothing else is taken for it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import toy_model

from facerec.errors import DataError, ImageError, NoFaceError
from facerec.faces.detector import make_detector
from facerec.faces.quality import measure
from facerec.faces.settings import DetectorSettings
from facerec.inference.embedder import Embedder
from facerec.inference.loading import load_embedder
from facerec.inference.pipeline import embed_photos
from facerec.inference.shard_plan import Recipe, make_plan, read_plan, write_plan
from facerec.inference.shard_work import Asked, make_shards, prepare, totals
from facerec.inference.shards import Counts, check_shard, read_shard, write_shard
from facerec.photos.folders import find_photos, photo_hash
from facerec.types import Photo


def archive(source: Path, output: Path, embedder: Embedder, per_shard: int = 3, aligned: bool = True) -> Asked:
    """Embed a folder of aligned crops in this process."""
    asked = Asked(output, str(embedder.path), aligned)
    recipe = Recipe.of(embedder.card, aligned, asked.settings)
    plan, _ = prepare(source, asked, recipe, per_shard)
    list(make_shards(asked, plan, embedder))
    return asked


def same(a: Photo, b: Photo) -> bool:
    """Whether two photos are the same to the last bit, but for the crops."""
    errors = (type(a.error), str(a.error)) == (type(b.error), str(b.error))
    whole = (a.path, a.remarks, len(a.faces)) == (b.path, b.remarks, len(b.faces))
    faces = all(
        (x.box, x.confidence, x.turned, measure(x)) == (y.box, y.confidence, y.turned, measure(y))
        and np.array_equal(x.landmarks, y.landmarks)
        for x, y in zip(a.faces, b.faces, strict=True)
    )
    return errors and whole and faces and np.array_equal(a.vectors, b.vectors)


def test_real_photos_come_back_as_they_were(small_samples: Path, tmp_path: Path) -> None:
    source = tmp_path / "photos"
    shutil.copytree(small_samples, source)
    (source / "bad.jpg").write_bytes(b"no picture")
    toy_model.save_crop(source / "no face.png", 0, 0)
    embedder = load_embedder()
    asked = archive(source, tmp_path / "vectors", embedder, 4, aligned=False)
    plan = read_plan(asked.output)
    kept = [photo for number in range(len(plan.shards)) for photo in read_shard(asked.output, plan, number)]
    fresh = list(embed_photos(find_photos(source), make_detector(112), embedder))
    assert all(same(a, b) for a, b in zip(fresh, kept, strict=True))
    assert [photo.digest for photo in kept] == [photo_hash(photo.path) for photo in kept]
    assert {type(photo.error) for photo in kept} == {type(None), ImageError, NoFaceError}
    faces = sum(len(photo.faces) for photo in fresh)
    assert totals(asked.output, plan) == Counts(len(fresh), faces, 1, 1)


def test_a_shard_is_plain_parquet(crops: Path, tmp_path: Path, embedder: Embedder) -> None:
    """As the README describes it, by pyarrow alone."""
    source = tmp_path / "crops"
    shutil.copytree(crops, source)
    (source / "bad.png").write_bytes(b"no picture")
    asked = archive(source, tmp_path / "vectors", embedder, 100)
    file = pyarrow.parquet.ParquetFile(asked.output / "shard-00000.parquet")
    rows = file.read().to_pylist()
    assert [row["path"] for row in rows] == [path.relative_to(source).as_posix() for path in find_photos(source)]
    bad = rows.pop([row["path"] for row in rows].index("bad.png"))
    assert (bad["decision"], bad["face"], bad["vector"], bad["box"]) == ("error", None, None, None)
    assert str(source / "bad.png") in bad["reason"]
    for row in rows:
        path = source / row["path"]
        assert (row["decision"], row["reason"], row["face"]) == ("face", None, 0)
        assert (row["bytes"], row["changed_ns"]) == (path.stat().st_size, path.stat().st_mtime_ns)
        assert row["sha256"] == photo_hash(path)
        assert row["box"] == [0, 0, 112, 112]
        assert np.linalg.norm(row["vector"]) == pytest.approx(1, abs=1e-6)
        assert len(row["landmarks"]) == 10
    assert str(file.schema_arrow.field("vector").type) == f"fixed_size_list<element: float>[{toy_model.DIMENSION}]"
    facts = json.loads(file.metadata.metadata[b"facerec"])
    card = embedder.card
    assert (facts["model"], facts["fingerprint"], facts["dimension"]) == ("toy", card.fingerprint, toy_model.DIMENSION)
    assert facts["counts"] == {"photos": 9, "faces": 8, "no_face": 0, "errors": 1}


def test_names_that_are_no_text_survive(tmp_path: Path, embedder: Embedder) -> None:
    name = b"caf\xe9\n.png".decode("utf-8", "surrogateescape")
    try:
        toy_model.save_crop(tmp_path / "photos" / name, 0, 0)
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes only Unicode names")
    asked = archive(tmp_path / "photos", tmp_path / "vectors", embedder)
    (photo,) = read_shard(asked.output, read_plan(asked.output), 0)
    assert photo.path.name == name
    assert len(photo.faces) == 1


@pytest.fixture
def made(crops: Path, tmp_path: Path, embedder: Embedder) -> Path:
    return archive(crops, tmp_path / "vectors", embedder).output


def test_damage_is_one_line_with_the_remedy(made: Path) -> None:
    plan, shard = read_plan(made), made / "shard-00001.parquet"
    whole = shard.read_bytes()
    middle = len(whole) // 3
    for damaged in (b"", whole[:-1], whole[:middle], whole[:middle] + bytes(64) + whole[middle + 64 :], b"x" * 999):
        shard.write_bytes(damaged)
        with pytest.raises(DataError, match=r"shard-00001\.parquet: .*; delete it, then `facerec embed`"):
            read_shard(made, plan, 1)
    shard.unlink()
    with pytest.raises(DataError, match="no such file"):
        read_shard(made, plan, 1)


def test_no_damaged_byte_goes_unnoticed(made: Path) -> None:
    """What is read from a damaged shard is an error, or what was written: never other faces."""
    plan, shard = read_plan(made), made / "shard-00001.parquet"
    whole, expected, noticed = shard.read_bytes(), read_shard(made, plan, 1), 0
    for place in range(0, len(whole), 29):
        shard.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = read_shard(made, plan, 1)
        except DataError:
            noticed += 1
        else:
            assert all(same(a, b) and a.digest == b.digest for a, b in zip(found, expected, strict=True))
    assert noticed > 100


def test_another_shard_in_its_place_is_refused(made: Path) -> None:
    plan = read_plan(made)
    shutil.copy(made / "shard-00000.parquet", made / "shard-00001.parquet")
    with pytest.raises(DataError, match=r"another folder's shard \(its shard differs\)"):
        check_shard(made, plan, 1)
    other = replace(plan, recipe=replace(plan.recipe, fingerprint="feed"))
    with pytest.raises(DataError, match="its fingerprint differs"):
        check_shard(made, other, 0)


def test_a_shard_has_all_photos_of_its_plan(made: Path) -> None:
    plan = read_plan(made)
    photos = read_shard(made, plan, 0)
    with pytest.raises(AssertionError):
        write_shard(made, plan, 0, photos[:-1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"format": 3}',
        '{"format": "facerec-shards-1", "shards": [[1]]}',
        '{"format": "facerec-shards-2"}',
    ],
)
def test_a_damaged_plan_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text, "utf-8")
    with pytest.raises(DataError, match=r"plan\.json: .* embed again, into a new folder$"):
        read_plan(tmp_path)


def test_a_list_names_the_photos(crops: Path, tmp_path: Path, embedder: Embedder) -> None:
    people = [path for path in find_photos(crops) if path.parent.parent.name == "people"]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join([*map(str, reversed(people)), "", str(people[0])]), "utf-8")
    recipe = Recipe.of(embedder.card, True, DetectorSettings())
    plan = make_plan(listed, recipe, 4)
    assert [path for number in range(2) for path in plan.paths(number)] == sorted(people)
    assert (plan.root, len(plan.shards[0]), len(plan.shards[1])) == (str(crops / "people"), 4, 2)
    write_plan(plan, tmp_path)
    again = read_plan(tmp_path)
    assert (again.recipe, again.shards, again.root) == (plan.recipe, plan.shards, plan.root)
