"""Item text and rubric to demand levels with their uncertainty: annotators, fusion, agreement.

The public names stand in the stub beside this file; each is imported when it is first used. The package can be called
like its main function.
"""

import lazy_loader

from capscope.members import make_callable

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

make_callable(__name__, "capscope.annotate.running:annotate")
