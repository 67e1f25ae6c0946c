"""Options that all tests share."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--exact", action="store_true", help="Pins: compare numbers to the last bit (one machine).")
    parser.addoption("--rough", action="store_true", help="Pins: compare keys and kinds only (other library versions).")
