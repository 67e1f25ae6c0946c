from .battery import Bank as Bank
from .battery import score_battery as score_battery
from .battery import select_battery as select_battery
from .data import LevelCounts as LevelCounts
from .data import Study as Study
from .data import read_level_counts as read_level_counts
from .errors import CapscopeError as CapscopeError
from .fit import Fit as Fit
from .fit import fit as fit
from .fit import load as load
from .fit import load_fit as load_fit
from .predict import Evaluation as Evaluation
from .predict import Predictions as Predictions
from .predict import evaluate as evaluate
from .predict import predict as predict
from .profiles import audit as audit
from .profiles import compare as compare
from .profiles import explain as explain
from .report import report as report

__version__: str
