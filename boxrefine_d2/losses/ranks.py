"""Denominators of losses that all ranks share."""

import torch
from detectron2.utils import comm
from torch import Tensor


def mean_over_ranks(values: Tensor) -> Tensor:
    """Return the mean of a tensor over all ranks; the tensor itself in a run of one process.

    A loss that is a sum divided by such a mean has, over all ranks together, the value of one
    process with the whole batch. The tensor is overwritten and has no gradient.
    """
    if comm.get_world_size() == 1:
        return values
    torch.distributed.all_reduce(values)
    means: Tensor = values / comm.get_world_size()
    return means
