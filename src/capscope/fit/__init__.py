"""Responses (and demands) to a posterior over abilities and items; the only room that knows torch and the GPU.

The public names stand in the stub beside this file; each is imported when it is first used. The package can be called
like its main function: ``capscope.fit(study, "2pl")`` is `capscope.fit.fitting.fit`.
"""

import lazy_loader

from capscope.members import make_callable

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

make_callable(__name__, "capscope.fit.fitting:fit")
