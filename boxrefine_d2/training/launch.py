"""One process, Detectron2's `launch`, or torchrun: the same main function."""

import gc
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from detectron2.engine import launch as detectron2_launch
from detectron2.utils import comm


def run_distributed(main: Callable[..., Any], args: Any) -> Any:
    """Runs ``main(args)`` in every process that this call stands for.

    Under torchrun (also on CPUs, with gloo) the processes exist already and are joined; otherwise Detectron2 starts
    ``args.num_gpus`` of them on ``args.num_machines`` machines.
    """
    if under_torchrun():
        return run_torchrun(main, args)
    return detectron2_launch(
        main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )


def run_torchrun(main: Callable[..., Any], args: Any) -> Any:
    """Runs ``main(args)`` as one of torchrun's processes, or alone."""
    if not under_torchrun():
        return main(args)
    join_torchrun()
    try:
        result = main(args)
        # all leave together: gloo may abort a process whose peers are gone or go while it still ends
        dist.barrier()
        return result
    finally:
        leave_torchrun()


def leave_torchrun() -> None:
    """Leaves the groups and forgets them, so that gloo's threads end before Python does.

    One that lets go of a tensor while the interpreter ends may abort the process, with all of its work done.
    """
    dist.destroy_process_group()
    comm._LOCAL_PROCESS_GROUP = None
    comm._get_global_gloo_group.cache_clear()
    gc.collect()  # a parallel model refers to its group, and is often part of a cycle


def under_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def join_torchrun() -> None:
    """Joins torchrun's processes and makes Detectron2's group of this machine."""
    local_rank = int(os.environ["LOCAL_RANK"])
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if hasattr(comm, "create_local_process_group"):  # Detectron2 after 0.6
        comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
        return
    rank, per_machine = dist.get_rank(), int(os.environ["LOCAL_WORLD_SIZE"])
    for first in range(0, dist.get_world_size(), per_machine):
        group = dist.new_group(list(range(first, first + per_machine)))
        if first <= rank < first + per_machine:
            comm._LOCAL_PROCESS_GROUP = group
