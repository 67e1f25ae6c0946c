"""The top level offers exactly what it says, and importing it loads nothing heavy."""

import subprocess
import sys

import capscope


def test_all_is_sorted_and_complete() -> None:
    assert list(capscope.__all__) == sorted(capscope.__all__)
    for name in capscope.__all__:
        assert getattr(capscope, name) is not None
    assert set(capscope.__all__) <= set(dir(capscope))


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(capscope, "no_such_name")


def test_importing_the_package_loads_no_heavy_library() -> None:
    program = "import sys, capscope; print(sorted({'torch', 'pandas', 'numpy', 'sklearn'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
