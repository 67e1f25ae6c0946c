from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def write(tmp_path):
    """Write a file of the given text or bytes."""

    def writer(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writer


@pytest.fixture
def shared():
    """Return a folder of the shared data, or skip."""

    def folder(name):
        if not (SHARED / name).is_dir():
            pytest.skip(f"the shared data set {name} is not here")
        return SHARED / name

    return folder
