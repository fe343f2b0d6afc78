"""Fixtures every test may use, and --full."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --full, which lets the tests marked `full` run."""
    parser.addoption("--full", action="store_true", help="also run what the default run samples: the whole of LFW")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests marked `full`, saying so, unless --full is given."""
    if config.getoption("--full"):
        return
    skip = pytest.mark.skip(reason="the whole of LFW: runs with --full")
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real faces beside the checkout; tests that need it are marked `real`."""
    if not SHARED.is_dir():
        pytest.skip(f"no research data at {SHARED}")
    return SHARED
