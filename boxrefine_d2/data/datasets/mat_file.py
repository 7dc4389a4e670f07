"""Reader of MATLAB files, as some data sets publish their labels."""

import os

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import check_regular_file

MAX_BYTES = 256 * 2**20


def read_mat(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """Return one variable of a MATLAB file as a flat array; a struct has named fields.

    Raises: UserError for a file that is missing, damaged or no MATLAB file of version 4 to 7.2, or
            that lacks the variable.
    """
    from scipy.io import loadmat  # imported here because few data sets have such files

    shown = f"MATLAB file {os.fspath(path)!r}"
    check_regular_file(path, "MATLAB file", MAX_BYTES)
    try:
        content = loadmat(path, variable_names=[name], squeeze_me=True)
    except Exception as error:  # SciPy raises many types of errors on a damaged file
        raise UserError(f"cannot read {shown}: {error}; was it cut short?") from error
    if name not in content:
        raise UserError(f"{shown} has no variable {name!r}")
    return np.atleast_1d(content[name]).ravel()
