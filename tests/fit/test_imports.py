"""A small fit does not wait for what it does not use."""

import subprocess
import sys

HEAVY = ("pyro", "sklearn", "scipy.stats", "scipy.optimize", "matplotlib")


def test_importing_the_fit_room_leaves_heavy_packages_alone():
    program = (
        "import sys; from capscope.fit import IRTSettings, fit_irt, fit_study; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
