"""The small networks of SGRM: one for each image, trained side by side.

The layers are those of Kanezaki's unsupervised segmentation (ICASSP 2018, code), with two outputs.

Shapes: B images of H x W pixels, each with a network of its own.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# (channels in, channels out, side of the kernel); a batch normalisation follows each layer, and a
# ReLU all but the last. Together they have 22,822 parameters.
LAYERS = ((3, 64, 3), (64, 32, 1), (32, 64, 3), (64, 2, 1))


class NetworkPerImage:
    """Networks of equal shape, one for each image of a batch.

    The groups of one convolution are the networks. A batch normalisation reads the statistics of
    its own image alone, in each step.

    Args:
        seeds: for each network the seed of its parameters, which have PyTorch's distributions.
        lr, momentum: of stochastic gradient descent.
    """

    def __init__(
        self, seeds: Sequence[int], *, lr: float, momentum: float, device: torch.device | str
    ):
        self.lr, self.momentum = lr, momentum
        each = [_initial_parameters(seed) for seed in seeds]
        self.parameters = [torch.cat(same).to(device).requires_grad_() for same in zip(*each)]
        self._velocities = [torch.zeros_like(parameter) for parameter in self.parameters]

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits of background and object, (B, 2, H, W). Args: images: (B, 3, H, W)."""
        count = len(images)
        values = images.flatten(0, 1)[None]
        for layer, (_, _, side) in enumerate(LAYERS):
            weight, bias, scale, shift = self.parameters[4 * layer : 4 * layer + 4]
            values = F.conv2d(values, weight, bias, padding=side // 2, groups=count)
            values = F.batch_norm(values, None, None, scale, shift, training=True)
            if layer < len(LAYERS) - 1:
                values = values.relu_()
        logits: Tensor = values[0].unflatten(0, (count, 2))
        return logits

    def descend(self, losses: Tensor) -> None:
        """Make one step of gradient descent. Args: losses: (B,), one loss for each network."""
        gradients = torch.autograd.grad(losses.sum(), self.parameters)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(
                self.parameters, self._velocities, gradients, strict=True
            ):
                velocity.mul_(self.momentum).add_(gradient)
                parameter.sub_(velocity, alpha=self.lr)

    def keep(self, kept: Tensor) -> None:
        """Drop the other networks. Args: kept: (B,) bool."""

        def selected(values: Tensor) -> Tensor:
            rows: Tensor = values.detach().unflatten(0, (len(kept), -1))[kept].flatten(0, 1)
            return rows

        self.parameters = [selected(values).requires_grad_() for values in self.parameters]
        self._velocities = [selected(values) for values in self._velocities]


def _initial_parameters(seed: int) -> list[Tensor]:
    """Return the weight and the bias of each layer, and those of its batch normalisation."""
    generator = torch.Generator().manual_seed(seed)
    parameters = []
    for given, made, side in LAYERS:
        bound = (given * side**2) ** -0.5  # that of PyTorch's convolutions
        for shape in ((made, given, side, side), (made,)):
            parameters.append(torch.empty(shape).uniform_(-bound, bound, generator=generator))
        parameters += [torch.ones(made), torch.zeros(made)]
    return parameters
