"""Responses (and demands) to a posterior over abilities and items; the only room that knows torch and the GPU.

The public names stand in the stub beside this file; each is imported when it is first used. The package can be called
like its main function: ``capscope.fit(study, "2pl")`` is `capscope.fit.fitting.fit`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Room(ModuleType):
    """This package as the function `fit`, which is imported when it is called or looked at."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on as they are
        """Fit a model; see `capscope.fit.fitting.fit`."""
        return self.__wrapped__(*args, **kwargs)

    @property
    def __wrapped__(self) -> Any:  # noqa: ANN401 - a function of another module
        return import_module("capscope.fit.fitting").fit


sys.modules[__name__].__class__ = _Room
