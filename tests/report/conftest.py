import pytest

from report.worlds import World, counts_of, small_world


@pytest.fixture(scope="session")
def world() -> World:
    return small_world(counts_of())
