"""Output directory of a data set: it gets all files of a finished run, or none."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from boxrefine_d2.errors import UserError

_UNFINISHED = ".unfinished-"


@contextmanager
def finished_folder(output: Path, put: Callable[[Path, Path], None]) -> Iterator[Path]:
    """Yield a temporary folder inside `output` to write in.

    If the block ends without an error, `put` moves the content of the folder to `output`. Then the
    folder is removed. Other files in `output` stay.

    Args:
        output: output directory; it is made if it does not exist.
        put: function of the temporary folder and `output`.
    Raises: UserError, naming the path, if the operating system refuses to write.
    """
    is_new = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
        for remains in output.glob(f"{_UNFINISHED}*"):  # left by a run that was killed
            shutil.rmtree(remains)
        temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=output))
        try:
            yield temporary
            put(temporary, output)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if is_new and not any(output.iterdir()):
                output.rmdir()
    except OSError as error:
        raise UserError(
            f"cannot write {str(output)!r}: {error.strerror or error}; free some space or name "
            "another --output"
        ) from error
