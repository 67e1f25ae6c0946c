"""The three tables, the study folder, splits and file formats; no modelling, no torch."""

from capscope.data.agents import (
    SEPARATOR,
    AgentDesign,
    agent_design,
    effort_ranks,
    subjects_of,
    with_agents,
    with_models_of,
)
from capscope.data.columns import guess_chance, known_chance
from capscope.data.demands import Demands, known_levels, rated_levels, typical_levels, with_gaps_filled
from capscope.data.joining import Join, StudyCheck, check_study, join_items, joins, refuse_foreign_demands
from capscope.data.levels import LevelCounts, items_of_frame, read_items, read_level_counts
from capscope.data.reading import read_table, read_text, shipped
from capscope.data.responses import DenseResponses, Facet, ResponseFile, Responses, rows_in
from capscope.data.splits import (
    AGENT_SPLITS,
    FROM_NAMES,
    ITEM_SPLITS,
    MODEL_SPLITS,
    SPLITS,
    Fold,
    ItemSplit,
    ResponseFold,
    SplitPlan,
    families_of,
    family_by_name,
    item_folds,
    read_families,
    response_folds,
    task_labels,
)
from capscope.data.study import Study, read_study
from capscope.data.study_folder import refuse_overwriting
from capscope.data.tables import (
    FUSED,
    TABLES,
    ArrowTable,
    TableName,
    as_frame,
    checked_columns,
    long_responses,
    validate,
)

ResponseMatrix, response_matrix = Responses, Responses.of
"""Names of version 0.1."""

__all__ = [
    "AGENT_SPLITS",
    "ArrowTable",
    "AgentDesign",
    "SEPARATOR",
    "agent_design",
    "effort_ranks",
    "subjects_of",
    "with_agents",
    "with_models_of",
    "as_frame",
    "long_responses",
    "FROM_NAMES",
    "FUSED",
    "guess_chance",
    "known_chance",
    "ITEM_SPLITS",
    "MODEL_SPLITS",
    "SPLITS",
    "TABLES",
    "Demands",
    "DenseResponses",
    "Facet",
    "Fold",
    "ItemSplit",
    "Join",
    "LevelCounts",
    "ResponseFile",
    "ResponseMatrix",
    "ResponseFold",
    "Responses",
    "SplitPlan",
    "Study",
    "StudyCheck",
    "TableName",
    "check_study",
    "checked_columns",
    "families_of",
    "family_by_name",
    "item_folds",
    "items_of_frame",
    "join_items",
    "joins",
    "known_levels",
    "rated_levels",
    "read_families",
    "read_items",
    "read_level_counts",
    "read_study",
    "read_table",
    "read_text",
    "refuse_foreign_demands",
    "refuse_overwriting",
    "response_folds",
    "response_matrix",
    "rows_in",
    "shipped",
    "task_labels",
    "typical_levels",
    "validate",
    "with_gaps_filled",
]
