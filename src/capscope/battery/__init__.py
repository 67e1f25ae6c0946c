"""Batteries: choose few items, run them adaptively, and estimate scores and abilities without bias.

Three families can be extended: item selectors (`SELECTORS`), score estimators (`ESTIMATORS`) and graders (`GRADERS`).

The public names are listed in the stub `__init__.pyi`; each is imported at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
