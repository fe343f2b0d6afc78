"""Keys: who may do what, revoked at once, kept as hashes, named in the log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from running import json_lines, run
from toy_server import PNG, form, png, serving

from facerec.errors import ConfigError
from facerec.server import access
from facerec.server.keys import Key, Keys, add_key, read_keys, remove_key
from facerec.server.service import Service


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


@pytest.fixture
def keys(file: Path) -> dict[str, dict[str, str]]:
    """A header for each scope, with a key of that name."""
    return {scope: {"Authorization": f"Bearer {add_key(file, scope, scope)}"} for scope in ("read", "enroll", "admin")}


@pytest.fixture
def locked(service: Service, file: Path, keys: dict[str, Any]) -> Iterator[httpx.Client]:
    """A client of a server with keys."""
    with serving(service, keys=Keys(file)) as client:
        yield client


REQUESTS = {
    "read": [("GET", "/people"), ("POST", "/identify"), ("GET", "/metrics"), ("GET", "/calibration")],
    "enroll": [("POST", "/people?name=Ann"), ("PATCH", "/people/1"), ("POST", "/people/1/photos")],
    "admin": [("DELETE", "/people/1"), ("GET", "/log"), ("PUT", "/calibration"), ("DELETE", "/calibration/strangers")],
}


def test_each_scope_does_what_it_may(locked: httpx.Client, keys: dict[str, Any]) -> None:
    scopes = list(REQUESTS)
    for needed, requests in REQUESTS.items():
        for method, path in requests:
            for scope in scopes:
                body: dict[str, Any] = {"PATCH": {"json": {}}, "PUT": {"json": {}}, "POST": {"content": png(0)}}.get(
                    method, {}
                )
                headers = keys[scope] | (PNG if method == "POST" else {})
                status = locked.request(method, path, headers=headers, **body).status_code
                may = scopes.index(scope) >= scopes.index(needed)
                assert (status == 403) != may, (method, path, scope)
                assert status != 401
    merge = locked.patch("/people/1", json={"merge_into": 2}, headers=keys["enroll"])
    assert (merge.status_code, "admin" in merge.json()["detail"]) == (403, True)


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Bearer", "Basic YTpi", "Bearer \xe4"])
def test_without_a_key_only_health_is_told(locked: httpx.Client, header: str | None) -> None:
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    assert locked.get("/health", headers=headers).status_code == 200
    for method, path in [each for requests in REQUESTS.values() for each in requests]:
        refused = locked.request(method, path, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


def test_a_revoked_key_is_refused_at_once(locked: httpx.Client, file: Path, keys: dict[str, Any]) -> None:
    assert locked.get("/people", headers=keys["read"]).status_code == 200
    remove_key(file, "read")
    assert locked.get("/people", headers=keys["read"]).status_code == 401
    assert locked.get("/people", headers=keys["admin"]).status_code == 200
    file.unlink()
    gone = locked.get("/people", headers=keys["admin"])
    assert (gone.status_code, gone.json()["type"]) == (503, "urn:facerec:keys")
    assert str(file) not in gone.text


def test_the_log_names_the_key_of_each_change(locked: httpx.Client, service: Service, keys: dict[str, Any]) -> None:
    locked.post("/people", data={"name": "Ann"}, files=form(png(0), png(0, 1)), headers=keys["enroll"])
    locked.patch("/people/1", json={"name": "Anna"}, headers=keys["admin"])
    locked.delete("/people/1", headers=keys["admin"])
    entries = locked.get("/log", headers=keys["admin"]).json()["entries"]
    named = [(entry["action"], entry["facts"].get("by")) for entry in entries]
    assert named[-4:] == [("enrolled", "enroll")] * 2 + [("renamed", "admin"), ("removed", "admin")]
    assert {by for _, by in named[:-4]} == {None}
    assert service.gallery.check().problems == ()


def test_the_file_holds_hashes_and_is_its_owner_s(file: Path, keys: dict[str, dict[str, str]]) -> None:
    text = file.read_text("utf-8")
    assert not any(header["Authorization"].removeprefix("Bearer ") in text for header in keys.values())
    assert file.stat().st_mode & 0o077 == 0
    assert [key.scope for key in read_keys(file).values()] == ["read", "enroll", "admin"]


def test_what_somebody_wrote_into_the_file_stays(file: Path, keys: dict[str, Any]) -> None:
    file.write_text("# ours\n" + file.read_text("utf-8") + "per_minute = 7\n", "utf-8")
    add_key(file, "more", "read")
    remove_key(file, "enroll")
    assert file.read_text("utf-8").startswith("# ours\n[read]")
    assert {name: key.per_minute for name, key in read_keys(file).items()} == {"read": 600, "admin": 7, "more": 600}


@pytest.mark.parametrize("head", ["[phone]", "[ phone ]", '["phone"]', "['phone']", "  [phone]  # ours"])
def test_a_key_is_revoked_however_its_table_is_written(file: Path, head: str) -> None:
    for name in ("phone", "phone-2"):
        add_key(file, name, "read")
    file.write_text(file.read_text("utf-8").replace("[phone]", head), "utf-8")
    remove_key(file, "phone")
    assert list(read_keys(file)) == ["phone-2"]


@pytest.mark.parametrize("text", ["phone = {{ sha256 = '{0}' }}\n", "phone.sha256 = '{0}'\nphone.scope = 'read'\n"])
def test_a_key_that_cannot_be_taken_out_is_not_said_to_be_revoked(file: Path, text: str) -> None:
    file.write_text(before := text.format(64 * "0"), "utf-8")
    with pytest.raises(ConfigError, match="'phone' holds still; take its lines out of the file by hand"):
        remove_key(file, "phone")
    assert file.read_text("utf-8") == before
    refused = run("serve", "--keys", file, "--revoke-key", "phone")
    assert (refused.exit_code, "is revoked" in refused.stdout) == (2, False)


def test_a_session_does_not_pass_to_another_key_of_the_same_name(
    locked: httpx.Client, file: Path, keys: dict[str, Any]
) -> None:
    root = str(locked.base_url.copy_with(path="/"))
    opened = locked.post(f"{root}sign-in", data={"key": keys["read"]["Authorization"].removeprefix("Bearer ")})
    assert (opened.status_code, locked.get("/people").status_code) == (303, 200)
    remove_key(file, "read")
    add_key(file, "read", "admin")
    assert [locked.get(path).status_code for path in ("/people", "/log")] == [401, 401]


DAMAGED = {
    "[a]\nscope = 'all'\nsha256 = '" + 64 * "0" + "'": "`scope` of 'a' must be",
    "[a]\nscope = 'read'": "is damaged",
    "[a]\nsha256 = '" + 64 * "0" + "'\nper_minute = 0": "is damaged",
    "[a]\nsha = 1": "unknown setting 'sha'",
    "a = 1": "must be a table",
    "['a b']\nsha256 = '" + 64 * "0" + "'": "cannot be a key's name",
    "[a": "not TOML",
    "": "holds no key",
}


@pytest.mark.parametrize("text", DAMAGED, ids=list(DAMAGED.values()))
def test_a_damaged_file_is_refused_in_one_line(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=DAMAGED[text]) as refused:
        Keys(file)
    assert str(file) in str(refused.value)


def test_keys_are_made_and_revoked_on_the_command_line(file: Path) -> None:
    (made,) = json_lines(run("serve", "--keys", file, "--new-key", "phone", "--scope", "enroll", "--json"))
    assert (made["name"], made["scope"]) == ("phone", "enroll")
    found = Keys(file).find(made["key"])
    assert found is not None
    assert found.may("read")
    assert not found.may("admin")
    again = run("serve", "--keys", file, "--new-key", "phone")
    assert (again.exit_code, "there is a key 'phone'" in again.stderr) == (2, True)
    assert run("serve", "--keys", file, "--revoke-key", "phone").exit_code == 0
    for words in (("--revoke-key", "phone"), ("--new-key", "a b")):
        assert run("serve", "--keys", file, *words).exit_code == 2
    missing = run("serve", "--new-key", "phone")
    assert (missing.exit_code, "--keys" in missing.stderr) == (2, True)


def test_a_key_has_its_rate(locked: httpx.Client, file: Path, keys: dict[str, Any]) -> None:
    file.write_text(file.read_text("utf-8").replace('scope = "read"', 'scope = "read"\nper_minute = 6'), "utf-8")
    statuses = [locked.get("/people", headers=keys["read"]).status_code for _ in range(4)]
    assert statuses == [200, 429, 429, 429]
    refused = locked.get("/people", headers=keys["read"])
    assert 1 <= int(refused.headers["retry-after"]) <= 11
    assert locked.get("/people", headers=keys["admin"]).status_code == 200, "another key has its own"


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(access.time, "monotonic", lambda: now)
    rates, key = access.Rates(), Key("a", "read", "", per_minute=60)
    for _ in range(10):
        rates.take(key)
    with pytest.raises(access.ProblemError):
        rates.take(key)
    now += 1.0
    rates.take(key)
    with pytest.raises(access.ProblemError):
        rates.take(key)
