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
    from capscope.data.formats import export_irw as export_irw
    from capscope.data.formats import export_pyirt as export_pyirt
    from capscope.data.formats import export_tidy as export_tidy
    from capscope.data.formats import export_torch_measure as export_torch_measure
    from capscope.data.formats import import_adele as import_adele
    from capscope.data.formats import import_every_eval_ever as import_every_eval_ever
    from capscope.data.formats import import_helm as import_helm
    from capscope.data.formats import import_inspect as import_inspect
    from capscope.data.formats import import_irw as import_irw
    from capscope.data.formats import import_lm_eval as import_lm_eval
    from capscope.data.formats import import_openai_batch as import_openai_batch
    from capscope.data.formats import import_pyirt as import_pyirt
    from capscope.data.formats import import_tidy as import_tidy
    from capscope.data.formats import import_torch_measure as import_torch_measure
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
    from capscope.profiles import AuditSettings as AuditSettings
    from capscope.profiles import DemandProfile as DemandProfile
    from capscope.profiles import ExplainSettings as ExplainSettings
    from capscope.profiles import ability_profiles as ability_profiles
    from capscope.profiles import audit_study as audit_study
    from capscope.profiles import bradley_terry as bradley_terry
    from capscope.profiles import compare_models as compare_models
    from capscope.profiles import demand_profile as demand_profile
    from capscope.profiles import explain as explain
    from capscope.profiles import paired_difference as paired_difference
    from capscope.profiles import suite_aggregates as suite_aggregates
    from capscope.report import report_fit as report_fit
    from capscope.report import run_demo as run_demo
    from capscope.report import summarize as summarize
    from capscope.report import summarize_irt as summarize_irt
    from capscope.report import with_study as with_study
    from capscope.report import write_report as write_report

__version__ = "0.1.0"

_HOMES = {
    "AbilityProfiles": "capscope.profiles",
    "AuditSettings": "capscope.profiles",
    "CapscopeError": "capscope.errors",
    "CurvePosterior": "capscope.fit",
    "DemandProfile": "capscope.profiles",
    "Evaluation": "capscope.predict",
    "EvaluationSettings": "capscope.predict",
    "ExplainSettings": "capscope.profiles",
    "Fit": "capscope.fit",
    "IRTPosterior": "capscope.fit",
    "IRTSettings": "capscope.fit",
    "LevelCounts": "capscope.data",
    "Predictions": "capscope.predict",
    "Study": "capscope.data",
    "StudyFitSettings": "capscope.fit",
    "ability_profiles": "capscope.profiles",
    "audit_study": "capscope.profiles",
    "bradley_terry": "capscope.profiles",
    "compare_models": "capscope.profiles",
    "demand_profile": "capscope.profiles",
    "evaluate": "capscope.predict",
    "explain": "capscope.profiles",
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
    "read_level_counts": "capscope.data",
    "report_fit": "capscope.report",
    "run_demo": "capscope.report",
    "save_fit": "capscope.fit",
    "score_battery": "capscope.battery",
    "select_battery": "capscope.battery",
    "suite_aggregates": "capscope.profiles",
    "summarize": "capscope.report",
    "summarize_irt": "capscope.report",
    "with_study": "capscope.report",
    "write_report": "capscope.report",
}

__all__ = [
    "AbilityProfiles",
    "AuditSettings",
    "CapscopeError",
    "CurvePosterior",
    "DemandProfile",
    "Evaluation",
    "EvaluationSettings",
    "ExplainSettings",
    "Fit",
    "IRTPosterior",
    "IRTSettings",
    "LevelCounts",
    "Predictions",
    "Study",
    "StudyFitSettings",
    "ability_profiles",
    "audit_study",
    "bradley_terry",
    "compare_models",
    "demand_profile",
    "evaluate",
    "explain",
    "export_irw",
    "export_pyirt",
    "export_tidy",
    "export_torch_measure",
    "fit_curves",
    "fit_irt",
    "fit_study",
    "import_adele",
    "import_every_eval_ever",
    "import_helm",
    "import_inspect",
    "import_irw",
    "import_lm_eval",
    "import_openai_batch",
    "import_pyirt",
    "import_tidy",
    "import_torch_measure",
    "load_fit",
    "paired_difference",
    "predict_items",
    "read_level_counts",
    "report_fit",
    "run_demo",
    "save_fit",
    "score_battery",
    "select_battery",
    "suite_aggregates",
    "summarize",
    "summarize_irt",
    "with_study",
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
