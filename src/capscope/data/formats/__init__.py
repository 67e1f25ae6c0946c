"""Tables and logs of other tools as studies, and studies as their tables: one file for each format."""

from collections.abc import Callable

from capscope.data.formats.adele import import_adele
from capscope.data.formats.every_eval_ever import import_every_eval_ever
from capscope.data.formats.exporting import ExportReport
from capscope.data.formats.helm import import_helm
from capscope.data.formats.inspect_logs import import_inspect
from capscope.data.formats.irw import export_irw, import_irw
from capscope.data.formats.lm_eval import import_lm_eval
from capscope.data.formats.openai_batch import BatchNames, import_openai_batch
from capscope.data.formats.pyirt import export_pyirt, import_pyirt
from capscope.data.formats.report import ImportReport
from capscope.data.formats.score_tables import Columns
from capscope.data.formats.tidy import ExtraTables, export_tidy, import_tidy
from capscope.data.formats.torch_measure import export_torch_measure, import_torch_measure
from capscope.data.study import Study

FORMATS: dict[str, Callable[..., tuple[Study, ImportReport]]] = {
    "tidy": import_tidy,
    "adele": import_adele,
    "inspect": import_inspect,
    "lm-eval": import_lm_eval,
    "helm": import_helm,
    "every-eval-ever": import_every_eval_ever,
    "openai-batch": import_openai_batch,
    "pyirt": import_pyirt,
    "irw": import_irw,
    "torch-measure": import_torch_measure,
}
"""The formats that can be imported, by name."""

EXPORTS: dict[str, Callable[..., ExportReport]] = {
    "tidy": export_tidy,
    "pyirt": export_pyirt,
    "irw": export_irw,
    "torch-measure": export_torch_measure,
}
"""The formats that can be exported, by name."""

__all__ = [
    "EXPORTS",
    "FORMATS",
    "BatchNames",
    "Columns",
    "ExportReport",
    "ExtraTables",
    "ImportReport",
    "export_irw",
    "export_pyirt",
    "export_tidy",
    "export_torch_measure",
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
]
