"""The contract of a model whose training leaves a network in a file of its own."""

from typing import Any

from torch import nn


class ProductModel(nn.Module):
    """Base of such models.

    Attributes:
        product_file: the name of the file, or folder, in OUTPUT_DIR.
        product_name: the name of the network.
        map_network: the network that is kept.
    """

    product_file: str
    product_name: str
    map_network: nn.Module

    def begin_step(self, iteration: int) -> None:
        """Prepare for an iteration: which part learns, and what the schedules say. Most models have nothing to do."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's groups. One that rests in a step has no gradients."""
        raise NotImplementedError
