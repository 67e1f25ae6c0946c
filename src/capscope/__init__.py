"""Item response theory and instance-level capability profiles for AI models.

The public names are those of the stub beside this file, `__init__.pyi`; each is imported on first use, so that
importing the package loads neither torch nor pandas. Some names, such as `report`, are rooms as well as
functions: see `ROOMS` and `capscope.members.CallablePackage`.
"""

from importlib import import_module
from typing import Any

import lazy_loader

__version__ = "0.1.0"

ROOMS = ("annotate", "fit", "forecast", "predict", "report")
"""Public functions whose name is that of the room they stand in: the name gives the room, which can be called."""

EARLIER_NAMES = {
    "AbilityProfiles": "capscope.profiles",
    "AuditSettings": "capscope.profiles",
    "CurvePosterior": "capscope.fit",
    "DemandProfile": "capscope.profiles",
    "EvaluationSettings": "capscope.predict",
    "ExplainSettings": "capscope.profiles",
    "IRTPosterior": "capscope.fit",
    "IRTSettings": "capscope.fit",
    "StudyFitSettings": "capscope.fit",
    "ability_profiles": "capscope.profiles",
    "audit_study": "capscope.profiles",
    "bradley_terry": "capscope.profiles",
    "compare_models": "capscope.profiles",
    "demand_profile": "capscope.profiles",
    "export_irw": "capscope.data.formats",
    "export_pyirt": "capscope.data.formats",
    "export_tidy": "capscope.data.formats",
    "export_torch_measure": "capscope.data.formats",
    "fit_curves": "capscope.fit",
    "fit_irt": "capscope.fit",
    "fit_study": "capscope.fit",
    "import_adele": "capscope.data.formats",
    "import_every_eval_ever": "capscope.data.formats",
    "import_helm": "capscope.data.formats",
    "import_inspect": "capscope.data.formats",
    "import_irw": "capscope.data.formats",
    "import_lm_eval": "capscope.data.formats",
    "import_openai_batch": "capscope.data.formats",
    "import_pyirt": "capscope.data.formats",
    "import_tidy": "capscope.data.formats",
    "import_torch_measure": "capscope.data.formats",
    "load_fit": "capscope.fit",
    "paired_difference": "capscope.profiles",
    "predict_items": "capscope.predict",
    "report_fit": "capscope.report",
    "run_demo": "capscope.report",
    "save_fit": "capscope.fit",
    "suite_aggregates": "capscope.profiles",
    "summarize": "capscope.report",
}
"""Names of version 0.1 that are still found here; new code takes them from their room, or uses the public names."""

_find_public, _, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the names have many types
    """Import a public name on first use."""
    if name in ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in EARLIER_NAMES:
        return getattr(import_module(EARLIER_NAMES[name]), name)
    return _find_public(name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
