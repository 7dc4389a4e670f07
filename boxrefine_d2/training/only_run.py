"""Lock that allows one run at a time in an output directory.

A second run would delete files that the first one is writing.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from detectron2.utils import comm

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.atomic import remove_leftovers_in
from boxrefine_d2.files.locks import alone
from boxrefine_d2.files.outputs import check_output_folder


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Lock an OUTPUT_DIR for the run. All ranks call this together; the main one holds the lock.

    Raises: UserError, on all ranks, if another run is at work there, or if it cannot be written.
    """
    with ExitStack() as held:
        refusal = None
        if comm.is_main_process():
            try:
                check_output_folder(folder, flag="OUTPUT_DIR")
                held.enter_context(alone(folder / ".lock", _refusal(folder)))
                remove_leftovers_in(folder)
            except UserError as error:
                refusal = str(error)
        refusal = comm.all_gather(refusal)[0]
        if refusal is not None:
            raise UserError(refusal)
        yield


def _refusal(folder: Path) -> str:
    return (
        f"another run is at work in OUTPUT_DIR {str(folder)!r}; let it end, or stop it, and run "
        "the same command again, or give another OUTPUT_DIR"
    )
