"""Decisions from evaluations: release gates, evaluation plans, judge-corrected scores, routing.

The public names are listed in the stub `__init__.pyi`; each is imported at first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
