"""Questions to a server have the answers that the library and the command line give."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import toy_model
from running import json_lines, run
from toy_server import PNG, enroll, form, png, serving, toy_service

from facerec.errors import ImageError
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.server.costs import RATES
from facerec.server.pool import Together
from facerec.server.service import Service
from facerec.types import Image


def answers(client: httpx.Client, *photos: bytes, **asked: Any) -> list[dict[str, Any]]:
    found = client.post("/identify", files=form(*photos), params=asked)
    assert found.status_code == 200, found.text
    return found.json()["answers"]


def without_ids(line: dict[str, Any]) -> dict[str, Any]:
    """An answer as the command line gives it."""
    candidates = [{key: each[key] for key in ("person", "distance")} for each in line["candidates"]]
    return {key: value for key, value in line.items() if key != "person_id"} | {"candidates": candidates}


def test_identify_answers_as_the_command_line(
    client: httpx.Client, service: Service, toy: Path, tmp_path: Path
) -> None:
    for person, name in enumerate(toy_model.NAMES):
        enroll(client, name, png(person))
    photos = [toy_model.save_crop(tmp_path / "asked" / f"{n}.png", person, 3) for n, person in enumerate((0, 2, 9))]
    found = answers(client, *(photo.read_bytes() for photo in photos), top=2)
    words = ("identify", *photos, "--aligned", "--top", 2, "--model", toy, "--json")
    printed = json_lines(run(*words, gallery=service.gallery.folder))
    assert [without_ids(line) for line in found] == [line | {"image": Path(line["image"]).name} for line in printed]
    assert [line["person_id"] for line in found] == [1, 3, None]
    assert [each["person_id"] for each in found[0]["candidates"]] == [1, 3]


def test_a_photo_is_a_form_s_or_the_body_itself(client: httpx.Client) -> None:
    enroll(client, "Ann", png(0))
    (first,) = answers(client, png(0, 1))
    (second,) = client.post("/identify", content=png(0, 1), headers=PNG).json()["answers"]
    assert (first.pop("image"), second.pop("image")) == ("0.png", "photo 1")
    assert first == second


def test_what_is_no_photo_is_an_answer_beside_the_others(client: httpx.Client) -> None:
    enroll(client, "Ann", png(0))
    found = answers(client, b"no photo", png(0, 1), png(0)[:200])
    assert [line["decision"] for line in found] == ["error", "match", "error"]
    assert found[0]["reason"].startswith("0.png: not an image facerec reads")


def test_thresholds_as_asked_for(client: httpx.Client) -> None:
    enroll(client, "Ann", png(0))
    assert answers(client, png(0, 1), threshold=0.0)[0]["decision"] == "unknown"
    both = client.post("/identify", files=form(png(0)), params={"threshold": 1, "fpir": 0.1})
    assert (both.status_code, "one of them" in both.json()["detail"]) == (422, True)
    none = client.post("/identify", files=form(png(0)), params={"fpir": 0.1})
    assert (none.status_code, none.json()["type"]) == (422, "urn:facerec:config")
    assert "no strangers to calibrate with" in none.json()["detail"]


def test_verify_compares_two_photos(client: httpx.Client) -> None:
    same = client.post("/verify", files=form(png(0), png(0, 1))).json()
    different = client.post("/verify", files=form(png(0), png(1))).json()
    assert (same["same"], same["image_a"], different["same"]) == (True, "0.png", False)
    for photos in (form(png(0)), form(png(0), png(0), png(0))):
        assert client.post("/verify", files=photos).status_code == 422
    broken = client.post("/verify", files=form(png(0), b"no photo"))
    assert (broken.status_code, broken.json()["type"]) == (422, "urn:facerec:image")


def test_faces_and_their_quality(client: httpx.Client) -> None:
    seen, broken = client.post("/faces", files=form(png(0), b"no photo")).json()["photos"]
    assert (seen["faces"][0]["box"], seen["error"]) == ([0, 0, 112, 112], None)
    assert seen["faces"][0]["quality"]["problems"] == []
    assert (broken["faces"], broken["error"].startswith("1.png: not an image")) == ([], True)


def test_the_threshold_is_shown_and_set(client: httpx.Client, service: Service) -> None:
    nobody = client.get("/calibration").json()
    assert (nobody["threshold"], nobody["strangers"]) == (0.5, None)
    enroll(client, "Ann", png(0))
    strangers = client.put("/calibration/strangers", files=form(*(png(person) for person in range(10, 20)))).json()
    assert (strangers["strangers"], strangers["given_strangers"]) == (10, 10)
    assert client.put("/calibration", json={"fpir": 0.2}).json()["within"] == 2
    printed = service.gallery.calibration()
    assert printed is not None
    assert client.get("/calibration").json()["ci95"]["fpir"] == list(printed.interval)
    assert client.delete("/calibration/strangers").json()["given_strangers"] == 0
    for rate in (0, 1, "x", None):
        assert client.put("/calibration", json={"fpir": rate}).status_code == 422


def test_the_gallery_may_change_outside_the_server(client: httpx.Client, service: Service, toy: Path) -> None:
    enroll(client, "Ann", png(0))
    folder = service.gallery.folder
    assert isinstance(folder, Path)
    photo = toy_model.save_crop(folder.parent / "b" / "b.png", 1, 0)
    (line,) = answers(client, png(1, 1))
    assert line["person"] is None
    assert run("enroll", photo, "--name", "Bob", "--aligned", "--model", toy, gallery=folder).exit_code == 0
    (line,) = answers(client, png(1, 1))
    assert (line["person"], line["person_id"]) == ("Bob", 2)
    assert run("gallery", "remove", "Bob", "--yes", gallery=folder).exit_code == 0
    (line,) = answers(client, png(1, 1))
    assert line["person"] is None


def test_many_at_once_get_what_each_alone_gets(client: httpx.Client) -> None:
    for person in range(6):
        enroll(client, f"P{person}", png(person))
    alone = [answers(client, png(person, 1)) for person in range(6)]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda number: answers(client, png(number % 6, 1)), range(30)))
    for number, found in enumerate(together):
        assert found[0]["person"] == f"P{number % 6}"
        assert found[0]["distance"] == pytest.approx(alone[number % 6][0]["distance"], abs=1e-5)


def test_health_and_metrics(client: httpx.Client) -> None:
    assert client.get("/health").json()["status"] == "ok"
    answers(client, png(0))
    client.get("/nothing")
    lines = client.get("/metrics").text.splitlines()
    assert 'facerec_requests_total{method="POST",route="/api/v1/identify",status="200"} 1' in lines
    assert 'facerec_requests_total{method="GET",route="none",status="404"} 1' in lines
    assert "facerec_photos_total 1" in lines
    assert "facerec_requests_inside 0" in lines


def test_what_waits_for_a_person(tmp_path: Path, embedder: OpenVINOEmbedder) -> None:
    with serving(toy_service(tmp_path / "gallery", embedder, keep_unknown=7)) as client:
        enroll(client, "Ann", png(0))
        enroll(client, "Anna", png(0, 1))
        answers(client, png(5), png(5, 1), png(6))
        found = client.get("/review").json()
        assert sorted(map(len, found["groups"])) == [1, 2]
        assert [pair["ids"] for pair in found["alike"]] in ([[1, 2]], [[2, 1]])
        face = found["groups"][0][0]
        assert face["source"].startswith("memory: ")
        assert client.get(f"/review/faces/{face['id']}/crop").content.startswith(b"\x89PNG")
        assert client.delete("/review/faces").json() == {"forgotten": 3}
        assert client.get("/review").json()["groups"] == []
        assert client.get(f"/review/faces/{face['id']}/crop").status_code == 404


# --------------------------------------------------------------------------------------------------------- Together


def test_calls_of_many_threads_are_answered_in_batches() -> None:
    batches: list[int] = []
    begun, go = threading.Event(), threading.Event()

    def doubled(numbers: list[int]) -> list[int]:
        batches.append(len(numbers))
        begun.set()
        assert go.wait(30)
        return [2 * number for number in numbers]

    together = Together(doubled, most=4)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(together, [0])
        assert begun.wait(30)
        rest = [threads.submit(together, [number, number + 10]) for number in range(1, 6)]
        while len(together._waiting) < 5:
            time.sleep(0.001)
        go.set()
        assert first.result() == [0]
        assert [each.result() for each in rest] == [[2 * number, 2 * number + 20] for number in range(1, 6)]
    assert batches == [1, 4, 4, 2]


def test_a_bad_item_spoils_no_other_call() -> None:
    def checked(images: list[Image]) -> list[int]:
        if any(image.size == 0 for image in images):
            raise ImageError("empty")
        return [int(image.sum()) for image in images]

    together = Together(checked, most=4)
    with ThreadPoolExecutor(2) as threads:
        with together._lock:
            bad, good = (threads.submit(together, [np.ones(size, np.uint8)]) for size in (0, 3))
            while len(together._waiting) < 2:
                time.sleep(0.001)
        with pytest.raises(ImageError):
            bad.result(30)
        assert good.result(30) == [3]


def test_openapi_is_served(client: httpx.Client) -> None:
    text = client.get("/openapi.json").text
    assert json.loads(text)["info"]["title"] == "facerec"
    assert "application/problem+json" in text


def test_what_a_rate_costs(client: httpx.Client) -> None:
    assert client.get("/calibration/costs").json() == {"costs": []}, "nobody is enrolled"
    for person in range(3):
        enroll(client, f"person {person}", png(person), png(person, 1))
    assert client.put("/calibration/strangers", files=form(*(png(4, n) for n in range(3)))).status_code == 200
    costs = client.get("/calibration/costs").json()["costs"]
    assert [cost["fpir"] for cost in costs] == list(RATES)
    assert [cost["threshold"] for cost in costs] == sorted(cost["threshold"] for cost in costs)
    (cost,) = client.get("/calibration/costs", params={"fpir": 0.01}).json()["costs"]
    assert cost == next(each for each in costs if each["fpir"] == 0.01)
    assert cost["threshold"] == pytest.approx(client.get("/calibration").json()["threshold"])
    assert cost["missed"]["searches"] == 6
    assert cost["missed"]["rate"] == cost["missed"]["errors"] / 6
    for unfit in ([0.0], [1.0], ["x"], [0.01] * 21):
        assert client.get("/calibration/costs", params={"fpir": unfit}).status_code == 422
