"""The page over HTTP: what a browser is given, and what is refused."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import toy_model
from look_alike import look_alike
from page_client import Site, add, face_in, field
from toy_server import form, png, png_of, serving, toy_service

from facerec.gallery import proof
from facerec.gallery.maintenance import keep_crops
from facerec.gallery.unknown_faces import kept_faces
from facerec.inference.openvino_runtime import OpenVINOEmbedder
from facerec.server.keys import Keys, add_key
from facerec.server.pages.texts import Texts
from facerec.server.pages.view import HERE, initials, percent, size
from facerec.server.service import Service

TEXTS = HERE / "texts.toml"


def test_the_footer_says_what_is_kept(tmp_path: Path, embedder: OpenVINOEmbedder, site: Site) -> None:
    assert "It keeps nothing of a photo unless" in site.get("/").text
    with serving(toy_service(tmp_path / "other", embedder, keep_unknown=3)) as client:
        footer = Site(client).get("/").text.partition("<footer")[2]
        assert "unknown faces for 3 days" in footer
        assert "nothing" not in footer


@pytest.mark.parametrize("path", ["/", "/people", "/review", "/threshold", "/log", "/about"])
def test_every_page_is_there_in_an_empty_gallery(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert 'aria-current="page"' in answer.text
    assert "style=" not in answer.text
    assert not re.search(r"\son\w+=|<script(?! src)|https?://(?!www\.w3\.org)", answer.text)


def test_a_face_goes_to_the_browser_and_back(site: Site) -> None:
    """The server keeps nothing of the photo meanwhile."""
    said = face_in(site, png(0))
    assert "unknown" in said
    done = site.post("/faces", part=True, face=field(said, "face"), do="enroll", name="Ann Lee")
    assert "Ann Lee: enrolled with this face." in done.text
    assert "Ann Lee" in face_in(site, png(0, 1))
    again = site.post("/faces", part=True, face=field(said, "face"), do="enroll", name="Ann Lee")
    assert "Ann Lee is enrolled with this face already." in again.text


def test_a_face_keeps_its_frame_on_the_photo(site: Site) -> None:
    """The frame is a link to what is said of the face, and is called as that is."""
    row = png_of(np.hstack([toy_model.crop(person, 0) for person in (0, 1)]))
    seen = site.post("/identify", form(row), part=True).text
    frames = re.findall('<a href="#([^"]+)" class="is-unknown" aria-label="([^"]+)"', seen)
    assert [label for _, label in frames] == ["Face 1: unknown", "Face 2: unknown"]
    second = seen[seen.index('name="id" value="' + frames[1][0]) :]
    sent = {"id": field(second, "id"), "face": field(second, "face")}
    done = site.post("/faces", part=True, do="enroll", name="Ann Lee", **sent).text
    assert f'<div class="more" id="{frames[1][0]}">' in done
    assert 'data-who="Ann Lee" data-label="Face 2: Ann Lee"' in done
    for odd in ("", "face-0-0", 'face-0-1"><b>', "face-0-" + "9" * 5000):
        assert (
            'id="face-0-1"' in site.post("/faces", part=True, do="enroll", name="Ann Lee", **{**sent, "id": odd}).text
        )


def test_a_face_that_the_server_did_not_write_is_refused(site: Site) -> None:
    blob = field(face_in(site, png(0)), "face")
    for changed in (blob.replace('"alone":true', '"alone":false'), "0" * 64 + blob[64:], "", "é" * 80):
        answer = site.post("/faces", face=changed, do="enroll", name="Ann")
        assert answer.status_code == 409
        assert "This page is out of date" in answer.text
    assert "Nobody is enrolled yet" in site.get("/people").text


def test_said_not_to_be_somebody(site: Site) -> None:
    add(site, "Ann Lee", png(0), png(0, 1))
    stranger = png_of(look_alike(5))
    said = face_in(site, stranger)
    assert "This is not Ann Lee" in said
    done = site.post("/faces", part=True, face=field(said, "face"), person=field(said, "person"), do="not")
    assert "will not be taken for Ann Lee again" in done.text
    assert "This is not Ann Lee" not in face_in(site, stranger)
    gone = site.post("/faces", part=True, face=field(said, "face"), person="99", do="not")
    assert gone.status_code == 404


def test_a_removed_face_is_enrolled_again_only_when_that_is_said(site: Site) -> None:
    number = add(site, "Ann Lee", png(0))
    blob = field(face_in(site, png(0)), "face")
    assert site.post(f"/people/{number}/remove").status_code == 200
    refused = site.post("/faces", part=True, face=blob, do="enroll", name="Ann Lee")
    assert "removed on" in refused.text
    assert 'name="again"' in refused.text
    assert "`again`" not in refused.text
    done = site.post("/faces", part=True, face=blob, do="enroll", name="Ann Lee", again="1")
    assert "Ann Lee: enrolled with this face." in done.text


def test_a_name_is_shown_as_it_is_written(site: Site) -> None:
    name = "<b>O'Neil</b> & {{ t }}"
    number = add(site, name, png(0))
    for path in ("/people", f"/people/{number}", "/", "/log"):
        text = site.get(path).text
        assert "<b>O" not in text
        assert "&lt;b&gt;O&#39;Neil&lt;/b&gt; &amp; {{ t }}" in text


def test_a_person_is_renamed_merged_and_removed(site: Site) -> None:
    ann, anna = add(site, "Ann", png(0)), add(site, "Bob", png(1))
    site.post(f"/people/{ann}/name", name="Ann Lee")
    site.post(f"/people/{ann}/consent", note="signed", until="2031-01-31")
    text = site.get(f"/people/{ann}").text
    assert all(word in text for word in ("Ann Lee", "signed", "2031-01-31"))
    merged = site.post(f"/people/{anna}/merge", into="Ann Lee")
    assert merged.headers["location"] == f"/people/{ann}"
    assert "2 photos" in site.get(f"/people/{ann}").text
    assert site.get(f"/people/{anna}").status_code == 404
    asked = site.get(f"/people/{ann}/remove").text
    assert "Remove Ann Lee?" in asked
    shown = site.post(f"/people/{ann}/remove").text
    assert "Nothing is left" in shown
    counts = re.findall(r'<th scope="row">([^<]+)</th><td class="number">(\d+)</td><td class="number">(\d+)', shown)
    assert {kind for kind, _, _ in counts} >= {"vectors of faces", "hashes of photos", "the name", "the consent note"}
    assert all(int(before) and not int(after) for _, before, after in counts)


def test_one_photo_is_removed_and_the_last_one_takes_the_person_along(site: Site) -> None:
    ann = add(site, "Ann", png(0), png(0, 1))
    links = re.findall(rf"/people/{ann}/photos/\d+/remove", site.get(f"/people/{ann}").text)
    assert len(links) == 2
    assert site.post(links[0]).headers["location"] == f"/people/{ann}"
    assert "who is removed with it" in site.get(links[1]).text
    assert "Ann is removed" in site.post(links[1]).text


def test_search_finds_parts_of_names(site: Site) -> None:
    for person, name in enumerate(("Ann Lee", "Bob Ray", "Anna Ray")):
        add(site, name, png(person))
    found = site.get("/people?q=ann", part=True).text
    assert "<html" not in found
    assert re.findall('class="name">([^<]+)', found) == ["Ann Lee", "Anna Ray"]
    assert "Show more" in site.get("/people?most=2").text


def test_pictures_are_asked_for_once(service: Service) -> None:
    keep_crops(service.gallery.store, False)
    with serving(service) as client:
        site = Site(client)
        add(site, "Ann Lee", png(0))
        page = site.get("/people").text
        assert "Shall it keep a small picture" in page
        assert ">AL</span>" in page
        site.post("/people/pictures")
        assert "Shall it keep" not in site.get("/people").text
        site.post("/people/pictures", keep="1")
        number = add(site, "Bob", png(1))
        assert f"/api/v1/people/{number}/photos/" in site.get("/people").text


def test_what_waits_is_settled(tmp_path: Path, embedder: OpenVINOEmbedder) -> None:
    with serving(toy_service(tmp_path / "gallery", embedder, keep_unknown=30)) as client:
        site, store = Site(client), client.app.state.service.gallery.store
        add(site, "Ann", png(0), png(0, 1))
        site.post("/identify", form(png(3), png(3, 1), png(4), png(5)))
        page = site.get("/review").text
        assert "2 faces, last seen" in page
        assert len(kept_faces(store)) == 4
        groups = re.findall('name="numbers" value="([^"]+)"', page)
        assert site.get(f"/review/faces/{groups[0].partition(',')[0]}.png").headers["content-type"] == "image/png"
        done = site.post("/review/faces", part=True, numbers=groups[0], do="enroll", name="Cy")
        assert "Cy: enrolled." in done.text
        assert "1 unknown face is forgotten." in site.post("/review/faces", numbers=groups[1], do="forget").text
        assert "Cy" in face_in(site, png(3, 2))
        site.post("/review/forget")
        assert kept_faces(store) == []
        assert (
            "not kept any more" in site.post("/review/faces", part=True, numbers=groups[2], do="enroll", name="D").text
        )
        assert site.get("/review/faces/1.png").status_code == 404


def test_a_photo_that_was_held_back_waits(tmp_path: Path, embedder: OpenVINOEmbedder) -> None:
    with serving(toy_service(tmp_path / "gallery", embedder, keep_unknown=30)) as client:
        site = Site(client)
        ann, bob = add(site, "Ann", png(0), png(0, 1)), add(site, "Bob", png(1), png(1, 1))
        refused = site.post(f"/people/{ann}/photos", form(png(1, 2)))
        assert refused.status_code == 422
        assert "held back: nearer to Bob" in refused.text
        page = site.get("/review").text
        assert "To be enrolled as Ann, but most like Bob" in page
        numbers = field(page, "numbers")
        site.post("/review/faces", numbers=numbers, one=str(ann), other=str(bob), do="enroll")
        assert "3 photos" in site.get(f"/people/{bob}").text
        site.post(f"/people/{ann}/photos", form(png(1, 3)))
        numbers = field(site.get("/review").text, "numbers")
        site.post("/review/faces", numbers=numbers, one=str(ann), other=str(bob), do="claimed")
        assert "3 photos" in site.get(f"/people/{ann}").text


def test_neither_is_remembered_of_a_photo_that_was_held_back(tmp_path: Path, embedder: OpenVINOEmbedder) -> None:
    with serving(toy_service(tmp_path / "gallery", embedder, keep_unknown=30)) as client:
        site = Site(client)
        ann, _ = add(site, "Ann", png(0), png(0, 1)), add(site, "Bob", png(1), png(1, 1))
        photo = png_of((0.7 * toy_model.crop(1, 5) + 0.3 * toy_model.crop(9, 5)).astype(np.uint8))  # like Bob
        site.post(f"/people/{ann}/photos", form(photo))
        page = site.get("/review").text
        (neither,) = re.findall('name="do" value="([a-z]+)" data-key="n"', page)
        answered = {name: field(page, name) for name in ("numbers", "one", "other")}
        assert "not Ann, Bob" in site.post("/review/faces", do=neither, part=True, **answered).text
        site.post("/review/forget")
        site.post(f"/people/{ann}/photos", form(photo))
        page = site.get("/review").text
        assert ("To be enrolled as" in page, "Is this" in page, "1 face, seen" in page) == (False, False, True)
        assert 'class="who nobody"' in face_in(site, photo)


def test_two_people_who_look_alike_are_said_to_be_two(site: Site) -> None:
    ann = add(site, "Ann", png(0))
    add(site, "Cy", png(2))
    answer = site.post("/people", form(png_of(look_alike(5))), name="Bob")
    assert answer.status_code == 200, "it is told that Bob looks like Ann"
    page = site.get("/review").text
    assert "One person or two?" in page
    one, other = field(page, "one"), field(page, "other")
    assert str(ann) in {one, other}
    site.post("/review/people", one=one, other=other, do="apart")
    assert "One person or two?" not in site.get("/review").text
    page = site.get(f"/people/{one}").text
    assert "Said to be somebody else than" in page
    assert f'name="other" value="{other}"' in page
    assert site.post(f"/people/{one}/unite", other=other).headers["location"] == f"/people/{one}"
    assert "Said to be somebody else than" not in site.get(f"/people/{one}").text
    assert "One person or two?" in site.get("/review").text, "it is asked again"
    assert site.post(f"/people/{one}/unite", other="nobody").status_code == 404


@pytest.mark.parametrize(
    ("name", "photo", "said"), [("unknown", png(0), "unknown"), ("Ann <Lee>", b"no photo", "0 added, 0 skipped, 1 not")]
)
def test_the_name_that_was_typed_stays_when_somebody_cannot_be_added(
    name: str, photo: bytes, said: str, site: Site
) -> None:
    answer = site.post("/people", form(photo), name=name)
    assert answer.status_code == 422
    assert said in answer.text
    assert f'autocomplete="off" value="{name.replace("<", "&lt;").replace(">", "&gt;")}"' in answer.text


def test_a_key_to_enroll_says_that_two_are_two_but_does_not_merge(tmp_path: Path, service: Service) -> None:
    file = tmp_path / "keys.toml"
    key, reader = add_key(file, "helper", "enroll"), add_key(file, "reader", "read")
    with serving(service, keys=Keys(file)) as client:
        site = Site(client)
        site.client.post(f"{site.root}/sign-in", data={"key": key})
        add(site, "Ann", png(0))
        site.post("/people", form(png_of(look_alike(5))), name="Bob")
        page = site.get("/review").text
        assert ('value="merge"' in page, 'value="apart"' in page) == (False, True)
        assert "sign in with a key that may administer" in page
        one, other = field(page, "one"), field(page, "other")
        with httpx.Client(base_url=client.base_url) as second:
            second.post(f"{site.root}/sign-in", data={"key": reader})
            shown = Site(second).get("/review").text
            assert ("Your key may look here" in shown, 'name="do"' in shown) == (True, False)
        assert site.post("/review/people", one=one, other=other, do="merge").status_code == 403
        assert site.post("/review/people", one=one, other=other, do="apart").status_code == 200
        assert "One person or two?" not in site.get("/review").text


def test_the_rate_is_chosen_on_the_page(site: Site) -> None:
    for person in range(3):
        add(site, f"person {person}", png(person), png(person, 1))
    assert "There is no threshold yet" in site.get("/threshold").text, "the toy model has no strangers"
    assert site.post("/threshold", rate="0.3").status_code == 422


def test_whoever_has_no_key_is_sent_to_sign_in(tmp_path: Path, service: Service) -> None:
    file = tmp_path / "keys.toml"
    reader, admin = (add_key(file, scope, scope) for scope in ("read", "admin"))
    with serving(service, keys=Keys(file)) as client:
        site = Site(client)
        assert site.get("/people").headers["location"] == "/sign-in"
        assert site.get("/people", part=True).headers["hx-redirect"] == "/sign-in"
        assert site.client.post(f"{site.root}/sign-in", data={"key": "x"}).status_code == 401
        signed = site.client.post(f"{site.root}/sign-in", data={"key": reader})
        assert (signed.status_code, signed.headers["location"]) == (303, "/")
        assert "HttpOnly" in signed.headers["set-cookie"]
        people = site.get("/people").text
        assert "Add somebody" not in people
        assert 'href="/log"' not in people
        assert "Sign out" in site.get("/people/99").text, "an error page has the menu, too"
        assert site.post("/people", form(png(0)), name="Ann").status_code == 403
        site.post("/sign-out")
        assert site.get("/people").headers["location"] == "/sign-in"
        site.client.post(f"{site.root}/sign-in", data={"key": admin})
        add(site, "Ann", png(0))
        assert "by admin" in site.get("/log").text


def test_every_text_is_used_and_there_is_one_for_every_use() -> None:
    files = [*HERE.glob("*.py"), *HERE.glob("templates/*.html"), Path(proof.__file__)]
    code = "\n".join(path.read_text("utf-8") for path in files)
    quoted = set(re.findall(r"""["']([a-z_.]+)["']""", code))
    there = set(_keys(tomllib.loads(TEXTS.read_text("utf-8"))))
    assert set(re.findall(r"""t\(["']([a-z_]+\.[a-z_]+)["']""", code)) <= there
    put_together = {key for key in there - quoted if key.rpartition(".")[2].removesuffix("_lead") in quoted}
    assert there - quoted == put_together


def _keys(texts: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in texts.items():
        if isinstance(value, dict) and "one" not in value:
            yield from _keys(value, f"{name}.")
        else:
            yield before + name


def test_texts() -> None:
    t = Texts(TEXTS)
    assert [t("photos_of", n=n) for n in (0, 1, 2)] == ["0 photos", "1 photo", "2 photos"]
    assert t("person.since", day="2026-11-30") == "Enrolled since 2026-11-30"
    assert [initials(name) for name in ("Ann Lee", "Çelik", "Ann van der Lee")] == ["AL", "Ç", "AL"]
    assert [percent(share) for share in (0.0001, 0.01, 0.1234, 1.0)] == ["0.01 %", "1 %", "12 %", "100 %"]
    assert [size(count) for count in (12, 48_000, 1_230_000)] == ["12 bytes", "48 kB", "1.2 MB"]
