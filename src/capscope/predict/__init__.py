"""Chance of success on unseen items; assessors side by side on held-out answers.

The public names are listed in the stub `__init__.pyi`; each is imported at first use. The package can be called
like its main function, `capscope.predict.prediction_run.predict`.
"""

import lazy_loader

from capscope.members import make_callable

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

make_callable(__name__, "capscope.predict.prediction_run:predict")
