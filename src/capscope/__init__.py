"""Item response theory and instance-level capability profiles for AI models.

Names are resolved on first use, so that importing the package loads neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capscope.battery import score_battery as score_battery
    from capscope.battery import select_battery as select_battery
    from capscope.data import LevelCounts as LevelCounts
    from capscope.data import Study as Study
    from capscope.data import read_level_counts as read_level_counts
    from capscope.data.formats import import_adele as import_adele
    from capscope.data.formats import import_tidy as import_tidy
    from capscope.errors import CapscopeError as CapscopeError
    from capscope.fit import CurvePosterior as CurvePosterior
    from capscope.fit import Fit as Fit
    from capscope.fit import IRTPosterior as IRTPosterior
    from capscope.fit import IRTSettings as IRTSettings
    from capscope.fit import StudyFitSettings as StudyFitSettings
    from capscope.fit import fit_curves as fit_curves
    from capscope.fit import fit_irt as fit_irt
    from capscope.fit import fit_study as fit_study
    from capscope.fit import load_fit as load_fit
    from capscope.fit import save_fit as save_fit
    from capscope.predict import Evaluation as Evaluation
    from capscope.predict import EvaluationSettings as EvaluationSettings
    from capscope.predict import Predictions as Predictions
    from capscope.predict import evaluate as evaluate
    from capscope.predict import predict_items as predict_items
    from capscope.profiles import AbilityProfiles as AbilityProfiles
    from capscope.profiles import DemandProfile as DemandProfile
    from capscope.profiles import ability_profiles as ability_profiles
    from capscope.profiles import demand_profile as demand_profile
    from capscope.report import run_demo as run_demo
    from capscope.report import summarize as summarize
    from capscope.report import write_report as write_report

__version__ = "0.1.0"

_HOMES = {
    "AbilityProfiles": "capscope.profiles",
    "CapscopeError": "capscope.errors",
    "CurvePosterior": "capscope.fit",
    "DemandProfile": "capscope.profiles",
    "Evaluation": "capscope.predict",
    "EvaluationSettings": "capscope.predict",
    "Fit": "capscope.fit",
    "IRTPosterior": "capscope.fit",
    "IRTSettings": "capscope.fit",
    "LevelCounts": "capscope.data",
    "Predictions": "capscope.predict",
    "Study": "capscope.data",
    "StudyFitSettings": "capscope.fit",
    "ability_profiles": "capscope.profiles",
    "demand_profile": "capscope.profiles",
    "evaluate": "capscope.predict",
    "fit_curves": "capscope.fit",
    "fit_irt": "capscope.fit",
    "fit_study": "capscope.fit",
    "import_adele": "capscope.data.formats",
    "import_tidy": "capscope.data.formats",
    "load_fit": "capscope.fit",
    "predict_items": "capscope.predict",
    "read_level_counts": "capscope.data",
    "run_demo": "capscope.report",
    "save_fit": "capscope.fit",
    "score_battery": "capscope.battery",
    "select_battery": "capscope.battery",
    "summarize": "capscope.report",
    "write_report": "capscope.report",
}

__all__ = [
    "AbilityProfiles",
    "CapscopeError",
    "CurvePosterior",
    "DemandProfile",
    "Evaluation",
    "EvaluationSettings",
    "Fit",
    "IRTPosterior",
    "IRTSettings",
    "LevelCounts",
    "Predictions",
    "Study",
    "StudyFitSettings",
    "ability_profiles",
    "demand_profile",
    "evaluate",
    "fit_curves",
    "fit_irt",
    "fit_study",
    "import_adele",
    "import_tidy",
    "load_fit",
    "predict_items",
    "read_level_counts",
    "run_demo",
    "save_fit",
    "score_battery",
    "select_battery",
    "summarize",
    "write_report",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the names have many types
    """Import a public name from its room on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'capscope' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
