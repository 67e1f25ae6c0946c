"""The three tables, the study folder, splits and file formats; no modelling, no torch."""

from capscope.data.counts import LevelCounts, read_level_counts
from capscope.data.joining import Join, check_study, join_items, joins
from capscope.data.matrix import DemandMatrix, ResponseMatrix, demand_matrix, response_matrix
from capscope.data.reading import read_table, read_text
from capscope.data.shipped import shipped
from capscope.data.splits import Fold, ItemSplit, item_folds, task_labels
from capscope.data.study import Study
from capscope.data.tables import TABLES, TableName, validate

__all__ = [
    "TABLES",
    "DemandMatrix",
    "Fold",
    "ItemSplit",
    "Join",
    "LevelCounts",
    "ResponseMatrix",
    "Study",
    "TableName",
    "check_study",
    "demand_matrix",
    "item_folds",
    "join_items",
    "joins",
    "read_level_counts",
    "read_table",
    "read_text",
    "response_matrix",
    "shipped",
    "task_labels",
    "validate",
]
