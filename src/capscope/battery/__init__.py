"""Choose few items, run them, estimate scores without bias."""

from capscope.battery.bank import Bank
from capscope.battery.bank_building import BankSettings, build_bank
from capscope.battery.bank_storage import load_bank, read_names, save_bank
from capscope.battery.scoring import BatteryScores, score_battery
from capscope.battery.selection import METHODS, Battery, select_battery
from capscope.battery.storage import load_battery, save_battery

__all__ = [
    "METHODS",
    "Bank",
    "BankSettings",
    "Battery",
    "BatteryScores",
    "build_bank",
    "load_bank",
    "load_battery",
    "read_names",
    "save_bank",
    "save_battery",
    "score_battery",
    "select_battery",
]
