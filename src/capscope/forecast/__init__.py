"""Forecasts of published scores: missing and future scores of a table, structure, change over time.

The public names are listed in the stub `__init__.pyi`; each is imported at first use. The package can be called
like its main function, `capscope.forecast.forecasting.forecast`.
"""

import lazy_loader

from capscope.members import make_callable

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

make_callable(__name__, "capscope.forecast.forecasting:forecast")
