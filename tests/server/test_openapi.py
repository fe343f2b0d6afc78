"""The description of the API: complete, told in the README, and kept to whatever is sent."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from messages import strings
from running import ROOT
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from toy_server import API, enroll, png, serving, toy_service

from facerec.cli.arguments import ARGUMENT, options_elsewhere
from facerec.inference.openvino_runtime import OpenVINOEmbedder

README = ROOT / "facerec" / "server" / "README.md"
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]

SETTINGS = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, embedder: OpenVINOEmbedder) -> Iterator[httpx.Client]:
    """A client of a server with one person."""
    with serving(toy_service(tmp_path_factory.mktemp("served") / "gallery", embedder)) as opened:
        enroll(opened, "Ann", png(0))
        yield opened


@pytest.fixture(scope="module")
def described(client: httpx.Client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def operations(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each operation by its name, as in `GET /people`."""
    return {
        f"{method.upper()} {path.removeprefix(API)}": operation
        for path, own in described["paths"].items()
        for method, operation in own.items()
    }


def listed() -> dict[str, str]:
    """The requests in the README's table, and the scope of each."""
    rows = re.findall(r"^\| `([A-Z]+ /[^`]*)` \| (\w+) \|", README.read_text("utf-8"), re.MULTILINE)
    return dict(rows)


def scope_of(operation: dict[str, Any]) -> str:
    """What a key must be for."""
    (scope,) = operation["security"][0]["HTTPBearer"] if "security" in operation else ("none",)
    return scope


def test_the_readme_lists_every_request_and_its_scope(described: dict[str, Any]) -> None:
    assert listed() == {name: scope_of(operation) for name, operation in operations(described).items()}


def test_everything_is_described(described: dict[str, Any]) -> None:
    for name, operation in operations(described).items():
        assert operation["description"], name
        problem = operation["responses"]["default"]["content"]
        assert list(problem) == ["application/problem+json"], name
        done = next(each for status, each in operation["responses"].items() if status.startswith("2"))
        assert done["content"], name
    for schema in described["components"]["schemas"].values():
        assert schema["description"]


def test_the_examples_of_the_readme_are_of_the_api(described: dict[str, Any]) -> None:
    curls = re.findall(
        r"^curl .*(?:127\.0\.0\.1:8000|faces\.example\.org)(/\S+)$", README.read_text("utf-8"), re.MULTILINE
    )
    assert len(curls) >= 5
    patterns = [re.sub(r"\{\w+\}", r"\\d+", path) for path in described["paths"]]
    for path in curls:
        assert any(re.fullmatch(pattern, path) for pattern in patterns), path


def test_an_argument_in_a_message_of_the_server_is_what_a_request_sends(described: dict[str, Any]) -> None:
    """Or a request itself, or an option of `facerec serve`."""
    known = {part for path in described["paths"] for part in path.split("/")}
    known |= {name for schema in described["components"]["schemas"].values() for name in schema.get("properties", ())}
    known |= {each["name"] for one in operations(described).values() for each in one.get("parameters", ())}
    known |= {name for name, commands in options_elsewhere().items() if any("serve" in each for each in commands)}
    modules = sorted((ROOT / "facerec" / "server").rglob("*.py"))
    said = {name: path for path in modules for _, text in strings(path) for name, _ in ARGUMENT.findall(text)}
    assert len(said) > 3
    assert {name: path for name, path in said.items() if name not in known} == {}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fit", "unfit"])
def test_whatever_is_sent_the_answer_is_as_described(
    client: httpx.Client, described: dict[str, Any], mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=str(client.base_url).removesuffix(f"{API}/"))
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not (operation.body or any(operation.iter_parameters())):
            continue  # nothing can be unfit

        @SETTINGS
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        answered()
    assert client.get("/health").status_code == 200
