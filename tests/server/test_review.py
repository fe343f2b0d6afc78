"""What waits for a person, answered over HTTP by a program, as the page does it."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from look_alike import look_alike
from toy_server import PNG, Client, enroll, form, png, png_of, serving, toy_service

from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.server import service as service_module
from facerec.server.keys import Keys, add_key


@pytest.fixture
def client(tmp_path: Path, embedder: OpenVINOEmbedder) -> Iterator[Client]:
    """A client of a server that keeps unknown faces."""
    with serving(toy_service(tmp_path / "gallery", embedder, keep_unknown=30)) as opened:
        yield opened


def identify(client: httpx.Client, *photos: bytes) -> list[str | None]:
    answers = client.post("/identify", files=form(*photos)).json()["answers"]
    return [answer["person"] for answer in answers]


def groups(client: httpx.Client) -> list[list[int]]:
    """The ids of the unknown faces, by person."""
    return [[face["id"] for face in group] for group in client.get("/review").json()["groups"]]


def test_unknown_faces_become_a_person_new_or_known(client: httpx.Client) -> None:
    enroll(client, "Ann", png(0))
    identify(client, png(3), png(3, 1), png(4))
    two, one = groups(client)
    made = client.post("/review/faces/enroll", json={"faces": two, "name": "Cy"})
    assert (made.status_code, made.json()["added"], made.json()["person"]["name"]) == (201, 2, "Cy")
    more = client.post("/review/faces/enroll", json={"faces": one, "person": 1, "force": True}).json()
    assert (more["person"]["name"], more["person"]["photos"]) == ("Ann", 2)
    assert groups(client) == []
    assert identify(client, png(3, 2)) == ["Cy"]


def test_a_near_miss_is_dismissed_for_good(client: httpx.Client) -> None:
    ann = enroll(client, "Ann", png(0), png(0, 1))["person"]["id"]
    assert identify(client, png(3)) == [None]
    (faces,) = groups(client)
    said = {"faces": faces, "person": ann}
    assert client.post("/review/faces/not-same", json=said).json() == {"added": 1}
    assert client.post("/review/faces/not-same", json=said).json() == {"added": 0}
    assert client.get("/log").json()["entries"][-1]["action"] == "face vetoed"


def test_a_photo_held_back_is_settled(client: httpx.Client) -> None:
    for person, name in enumerate(("Ann", "Bob")):
        enroll(client, name, png(person), png(person, 1))
    assert client.post("/people/1/photos", content=png(1, 2), headers=PNG).status_code == 422
    (held,) = client.get("/review").json()["held_back"]
    assert (held["face"]["claimed"], held["nearest"]["person_id"]) == ("Ann", 2)
    faces = {"faces": [held["face"]["id"]]}
    refused = client.post("/review/faces/enroll", json=faces | {"person": 1})
    assert (refused.status_code, "held back" in refused.json()["detail"]) == (422, True)
    done = client.post("/review/faces/enroll", json=faces | {"person": 2})
    assert (done.status_code, done.json()["person"]["photos"]) == (201, 3)
    assert client.get("/review").json()["held_back"] == []


def test_faces_are_forgotten_some_or_all(client: httpx.Client) -> None:
    identify(client, png(3), png(4), png(5))
    first, *_ = groups(client)
    assert client.delete("/review/faces", params={"face": first}).json() == {"forgotten": 1}
    assert client.delete("/review/faces").json() == {"forgotten": 2}
    gone = client.get(f"/review/faces/{first[0]}/crop")
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:facerec:not-kept")
    for path, more in (("enroll", {"name": "Cy"}), ("not-same", {"person": 1})):
        enroll(client, "Ann", png(0)) if path == "not-same" else None
        refused = client.post(f"/review/faces/{path}", json={"faces": first, **more})
        assert (refused.status_code, refused.json()["type"]) == (404, "urn:facerec:not-kept")
    assert [person["name"] for person in client.get("/people").json()["people"]] == ["Ann"]


@pytest.mark.parametrize(
    "whose", [{}, {"name": "Cy", "person": 1}, {"name": "a\nb"}, {"name": ""}, {"person": 0}, {"nobody": 1}]
)
def test_faces_are_one_person_s_who_can_be_named(client: httpx.Client, whose: dict[str, Any]) -> None:
    identify(client, png(3))
    refused = client.post("/review/faces/enroll", json={"faces": groups(client)[0], **whose})
    assert refused.status_code == 422
    assert client.get("/people").json()["people"] == []


def test_two_people_are_two_until_that_is_taken_back(client: httpx.Client) -> None:
    enroll(client, "Ann", png(0))
    enroll(client, "Bob", png_of(look_alike(5)))
    (pair,) = client.get("/review").json()["alike"]
    one, other = pair["ids"]
    path = f"/people/{one}/not-same/{other}"
    assert client.put(path).json() == {"ids": [one, other], "two": True, "changed": True}
    assert client.put(path).json()["changed"] is False
    assert client.get("/review").json()["alike"] == []
    assert client.patch(f"/people/{one}", json={"merge_into": other}).status_code == 409
    assert client.delete(path).json() == {"ids": [one, other], "two": False, "changed": True}
    assert client.patch(f"/people/{one}", json={"merge_into": other}).status_code == 200
    assert client.put("/people/1/not-same/99").status_code == 404
    assert client.put(f"/people/{other}/not-same/{other}").status_code == 409


def test_crops_are_kept_or_dropped(client: httpx.Client) -> None:
    enroll(client, "Ann", png(0))
    assert client.get("/crops").json() == {"kept": True}
    assert client.put("/crops", json={"kept": False}).json() == {"kept": False}
    assert client.get("/people/1/photos/1/crop").status_code == 404
    client.put("/crops", json={"kept": True})
    enroll(client, "Ann", png(0, 1))
    assert client.get("/people/1/photos/2/crop").status_code == 200


def test_a_removal_is_proved(client: httpx.Client) -> None:
    enroll(client, "Ann Marie Lee", png(0), png(0, 1))
    gone = client.delete("/people/1", params={"prove": True}).json()
    assert (gone["removed"], gone["templates"], gone["person_removed"]) == ("Ann Marie Lee", 2, True)
    proof = gone["proof"]
    traces = {trace["kind"]: (trace["before"] > 0, trace["after"]) for trace in proof["traces"]}
    assert traces.items() >= {"vectors": (True, 0), "crops": (True, 0), "name": (True, 0)}.items()
    assert (proof["nothing_left"], proof["problems"]) == (True, [])
    last = client.get("/log").json()["entries"][proof["entry"] - 1]
    assert (last["action"], last["person"], last["hash"]) == ("removed", 1, proof["hash"])


def test_who_may_settle_what(tmp_path: Path, embedder: OpenVINOEmbedder) -> None:
    file = tmp_path / "keys.toml"
    keys = {scope: {"Authorization": f"Bearer {add_key(file, scope, scope)}"} for scope in ("read", "enroll", "admin")}
    with serving(toy_service(tmp_path / "gallery", embedder, keep_unknown=30), keys=Keys(file)) as client:
        client.post("/identify", content=png(3), headers=PNG | keys["read"])
        entry = client.get("/log", headers=keys["admin"]).json()["entries"][-1]
        assert (entry["action"], entry["facts"]["by"]) == ("unknown faces kept", "read"), "who asked is told"
        requests: list[tuple[str, str, Any]] = [
            ("POST", "/review/faces/enroll", {"faces": [1], "name": "Cy"}),
            ("POST", "/review/faces/not-same", {"faces": [1], "person": 1}),
            ("PUT", "/people/1/not-same/2", None),
            ("PUT", "/crops", {"kept": True}),
            ("DELETE", "/review/faces", None),
        ]
        for method, path, body in requests:
            refused = client.request(method, path, json=body, headers=keys["read"])
            assert refused.status_code == 403
            assert client.request(method, path, json=body, headers=keys["enroll"]).status_code != 403
        assert client.put("/crops", json={"kept": False}, headers=keys["enroll"]).status_code == 403
        assert client.put("/crops", json={"kept": False}, headers=keys["admin"]).status_code == 200


def test_who_is_enrolled_is_looked_through_once_in_each_state(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes time that grows with the square of the people."""
    looked: list[int] = []
    look = service_module.among_enrolled
    monkeypatch.setattr(service_module, "among_enrolled", lambda gallery: looked.append(1) or look(gallery))
    enroll(client, "Ann", png(0))
    for _ in range(2):
        assert client.get("/review").json()["alike"] == []
    identify(client, png(3))
    assert [len(groups(client)), len(looked)] == [1, 1], "an unknown face changes nothing among those enrolled"
    enroll(client, "Bob", png_of(look_alike(5)))
    for _ in range(2):
        assert [pair["people"] for pair in client.get("/review").json()["alike"]] == [["Ann", "Bob"]]
    assert len(looked) == 2


def test_unknown_faces_are_kept_while_a_long_change_is_made(client: Client) -> None:
    """Such as the enrollment of many photos."""
    begun, may_end = Event(), Event()

    def change() -> bool:
        begun.set()
        return may_end.wait(30)

    made = client.app.state.service.pool._changes.submit(change)
    assert begun.wait(30)
    try:
        assert identify(client, png(3)) == [None]
        assert len(groups(client)) == 1
        assert not made.done()
    finally:
        may_end.set()
