"""Tables of other tools as studies: one file for each format."""

from collections.abc import Callable

from capscope.data.formats.adele import import_adele
from capscope.data.formats.column_names import Columns
from capscope.data.formats.report import ImportReport
from capscope.data.formats.tidy import ExtraTables, import_tidy
from capscope.data.study import Study

FORMATS: dict[str, Callable[..., tuple[Study, ImportReport]]] = {"adele": import_adele, "tidy": import_tidy}
"""The formats that can be imported, by name."""

__all__ = ["FORMATS", "Columns", "ExtraTables", "ImportReport", "import_adele", "import_tidy"]
