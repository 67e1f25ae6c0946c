"""The three tables, the study folder, splits and file formats; no modelling, no torch."""

from capscope.data.counts import LevelCounts, read_level_counts
from capscope.data.families import FROM_NAMES, families_of, family_by_name, read_families
from capscope.data.item_files import items_of_frame, read_items
from capscope.data.joining import Join, StudyCheck, check_study, join_items, joins
from capscope.data.known_levels import known_levels, rated_levels, typical_levels, with_gaps_filled
from capscope.data.reading import read_table, read_text
from capscope.data.response_file import ResponseFile, rows_in
from capscope.data.response_splits import (
    ITEM_SPLITS,
    MODEL_SPLITS,
    SPLITS,
    ResponseFold,
    SplitPlan,
    response_folds,
)
from capscope.data.responses import DemandMatrix, Responses, demand_matrix, response_matrix
from capscope.data.shipped import shipped
from capscope.data.splits import Fold, ItemSplit, item_folds, task_labels
from capscope.data.study import Study, refuse_overwriting
from capscope.data.tables import FUSED, TABLES, TableName, validate

__all__ = [
    "FROM_NAMES",
    "FUSED",
    "ITEM_SPLITS",
    "MODEL_SPLITS",
    "SPLITS",
    "TABLES",
    "DemandMatrix",
    "Fold",
    "ItemSplit",
    "Join",
    "LevelCounts",
    "ResponseFile",
    "ResponseFold",
    "Responses",
    "SplitPlan",
    "Study",
    "StudyCheck",
    "TableName",
    "check_study",
    "demand_matrix",
    "known_levels",
    "rated_levels",
    "typical_levels",
    "with_gaps_filled",
    "families_of",
    "family_by_name",
    "item_folds",
    "items_of_frame",
    "join_items",
    "joins",
    "read_families",
    "read_items",
    "read_level_counts",
    "read_table",
    "read_text",
    "refuse_overwriting",
    "response_folds",
    "response_matrix",
    "rows_in",
    "shipped",
    "task_labels",
    "validate",
]
