from .annotate import agreement as agreement
from .annotate import annotate as annotate
from .annotate import fuse as fuse
from .battery import Bank as Bank
from .battery import Battery as Battery
from .battery import harness_run as harness_run
from .battery import load_bank as load_bank
from .battery import run_battery as run_battery
from .battery import score_battery as score_battery
from .battery import select_battery as select_battery
from .data import LevelCounts as LevelCounts
from .data import Study as Study
from .data import read_level_counts as read_level_counts
from .data import shipped as shipped
from .errors import CapscopeError as CapscopeError
from .fit import Fit as Fit
from .fit import fit as fit
from .fit import load as load
from .fit import simulate as simulate
from .predict import Evaluation as Evaluation
from .predict import Predictions as Predictions
from .predict import evaluate as evaluate
from .profiles import audit as audit
from .profiles import compare as compare
from .profiles import explain as explain
from .report import report as report

__version__: str
