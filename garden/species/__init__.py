"""One module per flower; each has ``variety``, which draws what one plant's flowers are like."""

from collections.abc import Callable

from numpy.random import Generator

from garden.plant import Variety
from garden.species import daisy, dandelion, poppy, rose, sunflower, tulip

SPECIES: dict[str, Callable[[Generator], Variety]] = {
    "daisy": daisy.variety,
    "dandelion": dandelion.variety,
    "poppy": poppy.variety,
    "rose": rose.variety,
    "sunflower": sunflower.variety,
    "tulip": tulip.variety,
}
