"""Choose few items, run them, estimate scores without bias."""

from capscope.battery.scoring import BatteryScores, score_battery
from capscope.battery.selection import METHODS, Battery, select_battery
from capscope.battery.storage import load_battery, save_battery

__all__ = [
    "METHODS",
    "Battery",
    "BatteryScores",
    "load_battery",
    "save_battery",
    "score_battery",
    "select_battery",
]
