"""Frozen parts of a model that checkpoints leave out, because files hold them already."""

from typing import Any

from torch import Tensor, nn


def keep_out_of_checkpoints(model: nn.Module, *prefixes: str) -> None:
    """Leave the tensors with these prefixes out of the model's state dict.

    A state dict without them is whole: the parts keep the tensors that they were built with.
    """

    def leave_out(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
        for name in [x for x in state if x.removeprefix(prefix).startswith(prefixes)]:
            del state[name]

    def do_not_miss(module: nn.Module, keys: Any) -> None:
        keys.missing_keys[:] = [x for x in keys.missing_keys if not x.startswith(prefixes)]

    model.register_state_dict_post_hook(leave_out)
    model.register_load_state_dict_post_hook(do_not_miss)
