"""Launch of a main function in one process, by Detectron2's `launch`, or under torchrun."""

import gc
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from detectron2.engine import launch as detectron2_launch
from detectron2.utils import comm


def run_distributed(main: Callable[..., Any], args: Any) -> Any:
    """Run ``main(args)`` in every process of a run.

    Under torchrun (also on CPUs, with gloo) the processes exist already, and this process joins
    them. Otherwise Detectron2 starts ``args.num_gpus`` processes on each of ``args.num_machines``
    machines.
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
    """Run ``main(args)`` as one of torchrun's processes, or alone."""
    if not under_torchrun():
        return main(args)
    join_torchrun()
    try:
        result = main(args)
        # All processes leave together: gloo may abort a process whose peers leave before it ends.
        dist.barrier()
        return result
    finally:
        leave_torchrun()


def leave_torchrun() -> None:
    """Destroy the process groups; the threads of gloo then end before Python does.

    A thread that frees a tensor while the interpreter ends may abort the process after its work.
    """
    dist.destroy_process_group()
    comm._LOCAL_PROCESS_GROUP = None
    comm._get_global_gloo_group.cache_clear()
    gc.collect()  # a parallel model refers to its group and is often part of a reference cycle


def under_torchrun() -> bool:
    """Return True if torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def join_torchrun() -> None:
    """Join torchrun's processes and make Detectron2's group of the processes on this machine."""
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
