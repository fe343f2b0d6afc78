"""A folder of people that is nested too deep: half a class is never one person."""

from pathlib import Path

import pytest
import toy_model
from complaints import refused
from running import json_lines, run

from facerec.errors import DataError
from facerec.photos.folders import by_person, identity_folders

OF_ONE = {
    "deeper": ["Ann/1.jpg", "Ann/deeper/2.jpg"],
    "deepest": ["Ann/camera/card/1.jpg", "Ann/camera/card/2.jpg"],
    "years": ["Ann/2023/1.jpg", "Ann/2024/1.jpg", "Ann/2024/portraits/2.jpg"],
    "school years": ["Ann/2023-2024/1.jpg", "Ann/2024-2025/1.jpg", "Ann/1990s/1.jpg"],
    "months": ["Ann/2024/05/1.jpg", "Ann/2024/06/1.jpg", "Ann/2024/06/11/1.jpg", "Ann/2024/06/12/1.jpg"],
    "days": ["Ann/2024-05-01/1.jpg", "Ann/2024-06-02 in Rome/1.jpg", "Ann/3.7.2024/1.jpg"],
    "one named": ["Ann/2024/1.jpg", "Ann/2025/1.jpg", "Ann/portraits/1.jpg"],
    "views": ["Ann/Frontal/1.jpg", "Ann/profile/1.jpg"],
    "system": ["Ann/1.jpg", "Ann/a/1.jpg", "Ann/@eaDir/1.jpg", "Ann/.thumbnails/1.jpg"],
    "no photos": ["Ann/a/1.jpg", "Ann/b/notes.txt"],
}
OF_SEVERAL = {
    "a class": (["3A/Ann/1.jpg", "3A/Bob/1.jpg"], "3A", "Ann, Bob"),
    "with a photo of all": (["3A/all.jpg", "3A/Ann/1.jpg", "3A/Bob/1.jpg"], "3A", "Ann, Bob"),
    "deeper": (["school/3A/Ann/1.jpg", "school/3A/Bob/1.jpg"], "school/3A", "Ann, Bob"),
    "wrapped": (["people/Ann/2024/1.jpg", "people/Bob/2024/1.jpg"], "people", "Ann, Bob"),
    "by year": (["3A/2024/Ann/1.jpg", "3A/2024/Bob/1.jpg", "3A/2025/Ann/2.jpg"], "3A/2024", "Ann, Bob"),
    "many": ([f"3A/{name}/1.jpg" for name in "abcde"], "3A", "a, b, c and 2 more"),
    "born": (["3A/Ann 2010/1.jpg", "3A/Bob 2011/1.jpg"], "3A", "Ann 2010, Bob 2011"),
    "numbers": (["3A/01/1.jpg", "3A/02/1.jpg"], "3A", "01, 02"),
    "long numbers": (["3A/20240501/1.jpg", "3A/20240502/1.jpg"], "3A", "20240501, 20240502"),
}


def _album(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("kind", OF_ONE)
def test_folders_of_one_person_stay_one_person(kind: str, tmp_path: Path) -> None:
    people = identity_folders(_album(tmp_path, [*OF_ONE[kind], "Bob/1.jpg"]))
    assert list(people) == ["Ann", "Bob"]
    assert len(people["Ann"]) == sum(
        name.endswith(".jpg") and "@" not in name and "/." not in name for name in OF_ONE[kind]
    )


@pytest.mark.parametrize("kind", OF_SEVERAL)
def test_a_folder_of_several_people_is_refused(kind: str, tmp_path: Path) -> None:
    photos, folder, names = OF_SEVERAL[kind]
    _album(tmp_path, [*photos, "Cy/1.jpg"])
    with pytest.raises(DataError) as caught:
        identity_folders(tmp_path)
    place = tmp_path / folder
    assert str(caught.value) == (
        f"{place}: holds several folders with photos ({names}), which may be several people's; give {place} if each "
        "is one person's (or a class), else put their photos into one folder"
    )
    found = by_person(tmp_path)
    assert (list(found.people), list(found.nested)) == (["Cy"], [folder.split("/")[0]])
    assert "Ann" in names or identity_folders(place)


def test_beside_a_class_of_several_a_class_of_one_is_known(tmp_path: Path) -> None:
    _album(tmp_path, ["3A/Ann/1.jpg", "3A/Bob/1.jpg", "3B/Cy/1.jpg", "Dan/1.jpg", "Dan/more/2.jpg", "Eve/2024/1.jpg"])
    found = by_person(tmp_path)
    assert (list(found.people), list(found.nested)) == (["Dan", "Eve"], ["3A", "3B"])
    assert str(found.nested["3B"]) == f"{tmp_path / '3B'}: holds a folder with photos (Cy), which may be a person's"
    with pytest.raises(DataError, match=r"several people's \(1 more like it\); give .*3A if each"):
        identity_folders(tmp_path)


def test_enroll_holds_back_a_class_and_enrolls_the_others(toy: Path, tmp_path: Path) -> None:
    school = tmp_path / "school"
    for number, name in enumerate(["3A/Ann", "3A/Bob", "Cy/2023", "Cy/2024"]):
        toy_model.save_crop(school / name / "1.png", min(number, 2), number)
    given = ["--aligned", "--model", toy, "--gallery", tmp_path / "gallery"]
    result = run("enroll", school, *given)
    assert result.exit_code == 1
    held, each = school / "3A", f"facerec enroll {school / '3A'}"
    assert result.stderr.splitlines() == [
        f"{held}: holds several folders with photos (Ann, Bob), which may be several people's; `{each}` if each is a "
        f"person, `{each} --name 3A` if all are 3A"
    ]
    assert [line["person"] for line in json_lines(run("gallery", "list", "--json", "--gallery", given[-1]))] == ["Cy"]
    assert run("enroll", school / "3A", *given).exit_code == 0
    assert run("enroll", tmp_path, *given).exit_code == 2, "nothing else is in it"


def test_every_other_command_refuses_it(toy: Path, tmp_path: Path) -> None:
    for name in ("3A/Ann", "3A/Bob"):
        toy_model.save_crop(tmp_path / "school" / name / "1.png", 0, 0)
    school = tmp_path / "school"
    for command in (
        ["check-data", school],
        ["evaluate", "identification", "--gallery-images", school, "--probe-images", school],
    ):
        refused(run(*command, "--aligned", "--model", toy), school / "3A", "holds several folders", "give")
