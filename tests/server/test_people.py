"""The people of a server: enrolled, listed, changed, removed."""

from dataclasses import replace

import httpx
import pytest
from row_detector import party
from toy_server import PNG, enroll, form, png, png_of

from facerec.gallery.proof import Proof
from facerec.gallery.store import Store, Who
from facerec.server import service as service_module
from facerec.server.service import Service


def test_a_person_comes_changes_and_goes(client: httpx.Client) -> None:
    made = enroll(client, "Ann Lee", png(0, 0), png(0, 1))
    assert [line["status"] for line in made["results"]] == ["added", "added"]
    assert made["person"] == client.get("/people/1").json()
    assert made["person"] | {"enrolled": ""} == {
        "id": 1, "name": "Ann Lee", "photos": 2, "enrolled": "", "consent": None, "until": None
    }  # fmt: skip
    changed = client.patch("/people/1", json={"name": "Anna", "consent": "signed", "until": "2030-01-31"}).json()
    assert (changed["name"], changed["consent"], changed["until"]) == ("Anna", "signed", "2030-01-31")
    assert client.patch("/people/1", json={"until": ""}).json()["until"] is None
    plan = client.delete("/people/1", params={"dry_run": True}).json()
    gone = client.delete("/people/1").json()
    assert plan == gone | {"dry_run": True}
    assert (gone["removed"], gone["templates"], gone["person_removed"], gone["remains"]) == ("Anna", 2, True, False)
    missing = client.get("/people/1")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:facerec:unknown-person")
    assert missing.json()["detail"] == "nobody with the number 1 is enrolled any more", "not where the gallery lies"
    assert client.get("/people").json() == {"people": [], "next": None}


def test_an_id_stays_and_is_never_given_again(client: httpx.Client) -> None:
    for person, name in enumerate(("Ann", "Bob")):
        enroll(client, name, png(person))
    client.patch("/people/1", json={"name": "Zoe"})
    assert client.get("/people/1").json()["name"] == "Zoe"
    client.delete("/people/2")
    assert enroll(client, "Bob", png(5))["person"]["id"] == 3


def test_enrolling_a_photo_again_changes_nothing(client: httpx.Client, service: Service) -> None:
    enroll(client, "Ann", png(0))
    before = service.log()
    again = client.post("/people", params={"name": "Ann"}, content=png(0), headers=PNG)
    assert (again.status_code, again.json()["results"][0]["status"]) == (200, "skipped")
    more = client.post("/people/1/photos", files=form(png(0), png(0, 1)))
    assert (more.status_code, more.json()["added"], more.json()["skipped"]) == (201, 1, 1)
    assert len(service.log()[0]) == len(before[0]) + 1


def test_a_photo_of_somebody_else_is_a_conflict(client: httpx.Client) -> None:
    enroll(client, "Ann", png(0))
    refused = client.post("/people", params={"name": "Bob"}, content=png(0), headers=PNG)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:facerec:not-enrolled")
    assert "enrolled as Ann" in refused.json()["detail"]
    assert refused.json()["results"][0]["status"] == "failed"
    assert client.get("/people", params={"containing": "bob"}).json()["people"] == []


def test_each_face_of_a_photo_is_enrolled_as_somebody(client: httpx.Client) -> None:
    both = png_of(party(0, 1))
    for face, name in enumerate(("Ann", "Bob")):
        made = client.post("/people", params={"name": name, "face": face}, content=both, headers=PNG)
        assert (made.status_code, made.json()["person"]["name"]) == (201, name)
    found = client.post("/identify", content=png_of(party(1, 0)), headers=PNG).json()["answers"]
    assert [answer["person"] for answer in found] == ["Bob", "Ann"]
    again = client.post("/people/2/photos", params={"face": 1}, content=both, headers=PNG).json()
    assert again["skipped"] == 1
    for photos, face, said in (
        ((both,), 2, "shows 2 faces"),
        ((both, both), 0, "not for 2"),
        ((b"x",), 0, "not an image"),
    ):
        refused = client.post("/people/1/photos", params={"face": face}, files=form(*photos))
        assert (refused.status_code, said in refused.json()["detail"]) == (422, True), refused.text


def test_removed_photos_come_back_only_if_asked_for(client: httpx.Client) -> None:
    enroll(client, "Ann", png(0), png(0, 1))
    assert client.delete("/people/1/photos/1").json()["person_removed"] is False
    refused = client.post("/people/1/photos", content=png(0), headers=PNG)
    assert (refused.status_code, "`again`" in refused.json()["detail"]) == (409, True)
    assert client.post("/people/1/photos", params={"again": True}, content=png(0), headers=PNG).status_code == 201


def test_two_people_become_one(client: httpx.Client) -> None:
    for person, name in enumerate(("Ann", "Bob")):
        enroll(client, name, png(person))
    merged = client.patch("/people/2", json={"merge_into": 1}).json()
    assert (merged["id"], merged["name"], merged["photos"]) == (1, "Ann", 2)
    assert client.get("/people/2").status_code == 404
    refused = client.patch("/people/1", json={"merge_into": 1})
    assert (refused.status_code, "the same person, 'Ann'" in refused.json()["detail"]) == (409, True)


def test_a_name_that_is_taken_or_unfit_is_refused(client: httpx.Client) -> None:
    for person, name in enumerate(("Ann", "Bob")):
        enroll(client, name, png(person))
    for name, status in {"Bob": 409, "unknown": 422, "a\nb": 422, "": 422}.items():
        refused = client.patch("/people/1", json={"name": name})
        assert (refused.status_code, refused.headers["content-type"]) == (status, "application/problem+json")
    assert client.get("/people/1").json()["name"] == "Ann"


def test_a_change_is_made_as_a_whole_or_not(client: httpx.Client) -> None:
    for person, name in enumerate(("Ann", "Bob")):
        enroll(client, name, png(person))
    before = client.get("/people/1").json()
    assert client.patch("/people/1", json={"name": "Anna", "until": "tomorrow"}).status_code == 422
    assert client.patch("/people/1", json={"name": "Bob", "until": "2030-01-01"}).status_code == 409
    assert client.patch("/people/1", json={"name": "Anna", "merge_into": 2}).status_code == 422
    assert client.patch("/people/1", json={"consent": "signed", "name": "unknown"}).status_code == 422
    assert client.patch("/people/1", json={"merge_into": 10**30}).status_code == 422
    assert client.patch("/people/1", json={}).json() == client.get("/people/1").json() == before


def test_photos_and_crops_of_a_person(client: httpx.Client) -> None:
    enroll(client, "Ann", png(0), png(0, 1))
    enroll(client, "Bob", png(1))
    photos = client.get("/people/1/photos").json()["photos"]
    assert [(photo["id"], photo["source"]) for photo in photos] == [(1, "memory: 0.png"), (2, "memory: 1.png")]
    crop = client.get("/people/1/photos/1/crop")
    assert (crop.headers["content-type"], crop.content[:4]) == ("image/png", b"\x89PNG")
    for refused in (client.get("/people/1/photos/3/crop"), client.delete("/people/1/photos/3")):  # Bob's
        assert (refused.status_code, refused.json()["type"]) == (404, "urn:facerec:not-kept")
        assert "Ann has no photo with the number 3" in refused.json()["detail"]


def test_a_face_that_is_not_somebody_is_never_named_so(client: httpx.Client) -> None:
    enroll(client, "Ann", png(0))
    alike = png(0, 1)
    assert client.post("/identify", content=alike, headers=PNG).json()["answers"][0]["person"] == "Ann"
    said = client.post("/people/1/not-same", content=alike, headers=PNG).json()
    assert (said["added"], said["decision"]) == (True, "unknown")
    assert client.post("/identify", content=alike, headers=PNG).json()["answers"][0]["person"] is None


def test_lists_come_in_pages(client: httpx.Client) -> None:
    names = [f"P{person}" for person in range(5)]
    for person, name in enumerate(names):
        enroll(client, name, png(person))
    first = client.get("/people", params={"limit": 2}).json()
    assert [person["name"] for person in first["people"]] == names[:2]
    client.delete("/people/2")  # P1, where the page ended
    rest = client.get("/people", params={"limit": 9, "cursor": first["next"]}).json()
    assert ([person["name"] for person in rest["people"]], rest["next"]) == (names[2:], None)
    assert client.get("/people", params={"cursor": "no"}).json()["type"] == "urn:facerec:cursor"
    page = client.get("/log", params={"limit": 3}).json()
    following = client.get("/log", params={"limit": 3, "cursor": page["next"]}).json()["entries"]
    assert [entry["number"] for entry in page["entries"] + following] == [1, 2, 3, 4, 5, 6]
    wrong = client.get("/log", params={"cursor": first["next"]})
    assert wrong.status_code == 422, "a cursor of another list"


@pytest.mark.parametrize("path", ["/people/0", "/people/x", "/people/-1", f"/people/{2**70}", "/people?limit=0"])
def test_what_is_no_id_or_limit_is_refused_in_one_line(client: httpx.Client, path: str) -> None:
    refused = client.get(path)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:facerec:invalid")
    assert "\n" not in refused.json()["detail"]


def test_a_proof_does_not_say_where_the_gallery_is(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `check` finds names files by their paths."""
    prove = service_module.remove_and_prove

    def with_problems(store: Store, who: Who) -> Proof:
        return replace(prove(store, who), problems=(f"{store.folder}/a.db: damaged", f"{store.folder}: busy"))

    monkeypatch.setattr(service_module, "remove_and_prove", with_problems)
    ann = enroll(client, "Ann", png(0))["person"]["id"]
    assert client.delete(f"/people/{ann}?prove=true").json()["proof"]["problems"] == ["a.db: damaged", "busy"]
