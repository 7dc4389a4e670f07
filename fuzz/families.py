"""The families, in the order in which they are tried."""

from .configs import Configs
from .family import Family
from .images import ImageFolders, Images
from .labels import Labels
from .paths import Paths
from .processes import Processes
from .texts import Texts
from .weights import Weights

FAMILIES: dict[str, type[Family]] = {
    family.name: family
    for family in (Images, ImageFolders, Labels, Configs, Weights, Paths, Texts, Processes)
}
