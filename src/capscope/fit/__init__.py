"""Fits of responses (and demands): posteriors of abilities and items. The only room that imports torch and Pyro.

The public names are listed in the stub `__init__.pyi`; each is imported at first use. The package can be called
like its main function: ``capscope.fit(study, "2pl")`` is `capscope.fit.fitting.fit`.
"""

import lazy_loader

from capscope.members import make_callable

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

make_callable(__name__, "capscope.fit.fitting:fit")
