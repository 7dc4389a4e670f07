"""Contract of a model whose training writes a network to a file of its own."""

from typing import Any

from torch import nn


class ProductModel(nn.Module):
    """Base class of the models whose training writes a network to a file.

    Attributes:
        product_file: name of the file, or folder, in OUTPUT_DIR.
        product_name: name of the network.
        map_network: the network that is written.
    """

    product_file: str
    product_name: str
    map_network: nn.Module

    def begin_step(self, iteration: int) -> None:
        """Prepare for an iteration: choose the part that learns, and apply the schedules.

        Most models do nothing here.
        """

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's groups. A group that does not learn in a step has no gradients."""
        raise NotImplementedError
