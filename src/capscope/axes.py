"""Names of array axes in their fixed order, and array types with these axes.

model  one AI model (the *subject* of item response theory)
item   one benchmark instance
dim    one demand dimension (a rubric), or one latent ability
level  one demand level, 0 to 5
draw   one draw from a posterior

``row`` is one observed response. Shapes stand in signatures as jaxtyping strings made of these words:
``Float[ndarray, "model dim"]`` is one number for each model and dimension. Tests check them at run time.
"""

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int
else:  # nothing checks shapes then, and importing jaxtyping takes an eighth of the start-up time of a command

    class _Unchecked:
        """Stands for an array type of jaxtyping: `Float[np.ndarray, " row"]` is `np.ndarray`."""

        def __class_getitem__(cls, array_and_axes: tuple[Any, str]) -> Any:  # noqa: ANN401 - a type
            return array_and_axes[0]

    Bool = Float = Int = _Unchecked

AXES = ("model", "item", "dim", "level", "draw")
"""The axis words in their fixed order."""

LEVELS = (0, 1, 2, 3, 4, 5)
"""The demand levels that rubrics define."""

FACETS = ("prompt", "scaffold", "effort", "judge", "run")
"""Conditions under which a model may answer an item more than once; those that a table has are part of its key."""

AGENT_FACETS = ("scaffold", "effort")
"""Facets that, with the model, make an agent: another scaffold or effort is another subject."""
CONDITIONS = ("prompt", "scaffold", "effort")
"""Facets whose values make an item another question instead of another run."""

RowFloats = Float[np.ndarray, " row"]
RowIndex = Int[np.ndarray, " row"]
ModelFloats = Float[np.ndarray, " model"]
ItemFloats = Float[np.ndarray, " item"]
ModelDim = Float[np.ndarray, "model dim"]
ItemDim = Float[np.ndarray, "item dim"]
ModelItem = Float[np.ndarray, "model item"]
ItemMask = Bool[np.ndarray, " item"]
FloatArray = NDArray[np.floating]
"""Any float array, where the shape is said in words."""
