"""Installs Detectron2 0.6 into the environment whose Python runs this file, unless it has one already.

Detectron2 is on no package index under its own name, and its official sources need a compiler. The archive named below
holds the Python tree of the official tag v0.6 (compared file by file: identical) without the C++ sources. From it, or
from a directory with the official tag (`--source DIR`), this builds a wheel `detectron2` 0.6 in pure Python: the
detectors train and run on CPU and GPU, since RoIAlign and NMS come from torchvision; what needs Detectron2's own
compiled operators (deformable convolution, rotated boxes) says so when it is called.

The sources are changed only as `EDITS` says, mostly after later fixes of the project itself; each edit fails if its
text is not where it is expected. An official build that is importable is used as it is. Run it after torch is installed.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

VERSION = "0.6"
ARCHIVE = f"pb1-detectron2=={VERSION}"
ARCHIVE_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
WHEEL_NAME = f"detectron2-{VERSION}-py3-none-any.whl"
RECORD_NAME = (
    "BUILD_RECORD.json"  # inside the package: where it came from; an official build has none
)
NOTICE = "# Changed by boxrefine_d2 (tools/build_detectron2.py); see BUILD_RECORD.json.\n"


class BuildError(RuntimeError):
    """The build cannot go on; the message is one line."""


class Edit(NamedTuple):
    """Replace `old` by `new` in `path`, which must hold it exactly `count` times."""

    path: str  # relative to the package detectron2
    old: str
    new: str
    count: int = 1


EDITS = (
    # Pillow 10 has no Image.LINEAR, the older name of BILINEAR.
    Edit("data/transforms/transform.py", "Image.LINEAR", "Image.BILINEAR"),
    # NumPy 1.24 dropped its aliases of Python's own types.
    Edit("data/build.py", "dtype=np.int)", "dtype=int)"),
    Edit("data/build.py", "dtype=np.int\n", "dtype=int\n"),
    Edit("data/datasets/pascal_voc.py", "dtype=np.str)", "dtype=str)"),
    Edit("evaluation/pascal_voc_evaluation.py", "astype(np.bool)", "astype(bool)", 2),
    Edit("evaluation/sem_seg_evaluation.py", "dtype=np.int)", "dtype=int)", 2),
    Edit("evaluation/sem_seg_evaluation.py", "dtype=np.float)", "dtype=float)", 2),
    Edit("evaluation/sem_seg_evaluation.py", "astype(np.float)", "astype(float)", 3),
    Edit("structures/masks.py", "astype(np.bool)", "astype(bool)", 2),
    Edit("structures/masks.py", "dtype=np.bool)", "dtype=bool)"),
    Edit("utils/video_visualizer.py", "dtype=np.bool)", "dtype=bool)"),
    Edit("utils/visualizer.py", "astype(np.bool)", "astype(bool)", 3),
    # NumPy 2 raises where copy=False cannot be kept.
    Edit("layers/mask_ops.py", "np.array(mask, copy=False)", "np.asarray(mask)"),
    # setuptools 82 has no pkg_resources.
    Edit("model_zoo/model_zoo.py", "import os\n", "import importlib.resources\nimport os\n"),
    Edit("model_zoo/model_zoo.py", "import pkg_resources\n", ""),
    Edit(
        "model_zoo/model_zoo.py",
        'pkg_resources.resource_filename(\n        "detectron2.model_zoo", os.path.join("configs", config_path)\n    )',
        'str(\n        importlib.resources.files("detectron2.model_zoo").joinpath("configs", config_path)\n    )',
    ),
    # PyTorch asks for the indexing by name.
    Edit(
        "modeling/anchor_generator.py",
        "torch.meshgrid(shifts_y, shifts_x)",
        'torch.meshgrid(shifts_y, shifts_x, indexing="ij")',
    ),
    # PyTorch is to drop its typed storages.
    Edit(
        "utils/comm.py",
        "    storage = torch.ByteStorage.from_buffer(buffer)\n"
        "    tensor = torch.ByteTensor(storage).to(device=device)\n",
        "    tensor = torch.frombuffer(bytearray(buffer), dtype=torch.uint8).to(device=device)\n",
    ),
    # PyTorch has no Caffe2 any more; the other exports stay.
    Edit(
        "export/__init__.py",
        "from .api import *\n",
        "try:\n    from caffe2.proto import caffe2_pb2 as _caffe2_pb2\nexcept ImportError:\n    pass\nelse:\n"
        "    from .api import *\n",
    ),
    # Without the compiled operators: COCO evaluation by pycocotools, and one clear error from rotated NMS.
    Edit(
        "evaluation/fast_eval_api.py",
        '        logger.info("COCOeval_opt.accumulate() finished in {:0.2f} seconds.".format(toc - tic))\n',
        '        logger.info("COCOeval_opt.accumulate() finished in {:0.2f} seconds.".format(toc - tic))\n'
        "\n\nif _C.IS_STAND_IN:\n    COCOeval_opt = COCOeval  # noqa: F811\n",
    ),
    Edit(
        "layers/nms.py",
        "from torchvision.ops import nms  # BC-compat\n",
        "from torchvision.ops import nms  # BC-compat\n\nfrom detectron2 import _C\n",
    ),
    Edit("layers/nms.py", "torch.ops.detectron2.nms_rotated(", "_C.nms_rotated("),
)

STAND_IN = '''\
"""Stands in for Detectron2's compiled operators, which this build does not have."""

IS_STAND_IN = True


def get_compiler_version():
    return "not built"


def get_cuda_version():
    return "not built"


def has_cuda():
    return False


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)

    def missing_operator(*args, **kwargs):
        raise NotImplementedError(
            f"detectron2._C.{name}: this Detectron2 was built without its compiled operators; "
            "install an official build of Detectron2 to use it"
        )

    return missing_operator
'''

PROJECTS = {
    "point_rend": "projects/PointRend/point_rend",
    "deeplab": "projects/DeepLab/deeplab",
    "panoptic_deeplab": "projects/Panoptic-DeepLab/panoptic_deeplab",
}

# Upstream's requirements without upper bounds, and without black, future and pydot: the first formats the output of
# LazyConfig.to_py where it is there, the others belong to the Caffe2 export, which no current PyTorch has.
REQUIRES = [
    "Pillow>=7.1",
    "matplotlib",
    "pycocotools>=2.0.2",
    "termcolor>=1.1",
    "yacs>=0.1.8",
    "tabulate",
    "cloudpickle",
    "tqdm>4.29.0",
    "tensorboard",
    "fvcore>=0.1.5",
    "iopath>=0.1.7",
    "omegaconf>=2.1",
    "hydra-core>=1.1",
]

SETUP = f'''\
from setuptools import find_packages, setup

projects = {{f"detectron2.projects.{{name}}": path for name, path in {PROJECTS!r}.items()}}
setup(
    name="detectron2",
    version="{VERSION}",
    author="FAIR",
    url="https://github.com/facebookresearch/detectron2",
    description="Detectron2 {VERSION} without compiled operators, built by boxrefine_d2",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["detectron2", "detectron2.*"]) + list(projects),
    package_dir=projects,
    package_data={{
        "detectron2": ["{RECORD_NAME}"],
        "detectron2.model_zoo": ["configs/**/*.yaml", "configs/**/*.py"],
    }},
    python_requires=">=3.7",
    install_requires={REQUIRES!r},
)
'''


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--source",
        type=Path,
        metavar="DIR",
        help="the official tag v0.6, unpacked (default: the archive from the package index)",
    )
    parser.add_argument(
        "--build-dir",
        type=Path,
        default=Path("build"),
        metavar="DIR",
        help="where the wheel is kept for this and other environments (default: build)",
    )
    options = parser.parse_args(argv)
    try:
        print(install(options.source, options.build_dir))
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def install(source: Path | None, build_dir: Path) -> str:
    """Makes `import detectron2` work in this environment. Returns: one line that says what was done.

    Raises: BuildError if the sources cannot be had, are not the expected ones, or do not build.
    """
    installed = find_installed()
    if installed is not None and read_recipe(installed) in (None, recipe()):
        return f"detectron2 is importable already ({installed}); nothing to do"
    wheel = build_dir / WHEEL_NAME
    if source is None and wheel.exists() and read_wheel_recipe(wheel) == recipe():
        done = f"detectron2 {VERSION} installed from {wheel}"
    else:
        with tempfile.TemporaryDirectory() as scratch:
            build_wheel(source, Path(scratch), wheel)
        done = f"detectron2 {VERSION} built and installed; the wheel is {wheel}"
    run_pip("install", "--no-deps", "--no-index", "--force-reinstall", str(wheel))
    return done


def recipe() -> str:
    """Identifies this version of the build: a wheel with another recipe is built again."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def find_installed() -> Path | None:
    """Folder of the package detectron2 that this Python imports, compiled operators included; None without one.

    Raises: BuildError if there is one that cannot be imported.
    """
    code = (
        "import importlib.util, sys\n"
        "if importlib.util.find_spec('detectron2') is None: sys.exit()\n"
        "import detectron2, detectron2._C\n"
        "print(detectron2.__file__)"
    )
    probe = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    if probe.returncode != 0:
        raise BuildError(
            f"a detectron2 is installed but cannot be imported ({last_line(probe.stderr)}); "
            "repair it, or remove it with `pip uninstall detectron2`"
        )
    return Path(probe.stdout.strip()).parent if probe.stdout.strip() else None


def read_recipe(package: Path) -> str | None:
    """The recipe that an installed Detectron2 was built by; None for an official one."""
    record = package / RECORD_NAME
    return json.loads(record.read_text())["recipe"] if record.exists() else None


def read_wheel_recipe(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as packed:
        return json.loads(packed.read(f"detectron2/{RECORD_NAME}"))["recipe"]


def build_wheel(source: Path | None, scratch: Path, wheel: Path) -> None:
    """Builds the wheel `wheel` from the directory `source`, or from the archive if that is None."""
    origin = f"directory {source}" if source else f"{ARCHIVE} sha256:{ARCHIVE_SHA256}"
    tree = scratch / "tree"
    copy_sources(source or fetch_archive(scratch), tree)
    apply_edits(tree / "detectron2", EDITS)
    (tree / "detectron2" / "_C.py").write_text(STAND_IN)
    record = {"origin": origin, "recipe": recipe(), "edits": [edit._asdict() for edit in EDITS]}
    (tree / "detectron2" / RECORD_NAME).write_text(json.dumps(record, indent=1) + "\n")
    (tree / "setup.py").write_text(SETUP)
    run_pip(
        "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(scratch), str(tree)
    )
    wheel.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(scratch / WHEEL_NAME, wheel)


def fetch_archive(scratch: Path) -> Path:
    """Downloads the archive by its hash and unpacks it. Returns: the folder that holds its setup.py."""
    wanted = scratch / "archive.txt"
    wanted.write_text(f"{ARCHIVE} --hash=sha256:{ARCHIVE_SHA256}\n")
    try:
        # pip asks the archive's own setup.py for its metadata, and that imports torch: no isolation.
        run_pip(
            *("download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"),
            *("--require-hashes", "-r", str(wanted), "-d", str(scratch)),
        )
    except BuildError as error:
        raise BuildError(
            f"the archive {ARCHIVE} cannot be had ({error}); the same steps work on the official "
            f"tag v0.6 of Detectron2, unpacked: {sys.executable} {__file__} --source DIR"
        ) from None
    (archive,) = scratch.glob("*.tar.gz")
    shutil.unpack_archive(archive, scratch / "archive")
    (root,) = (scratch / "archive").iterdir()
    return root


def copy_sources(source: Path, tree: Path) -> None:
    """Copies from `source` what the wheel is built of. The model zoo's yaml files end up inside the package:

    the official tag has them in `configs` and links them, the archive has them in place.
    """
    if not (source / "detectron2" / "__init__.py").is_file():
        raise BuildError(f"{source} holds no Detectron2: it has no detectron2/__init__.py")
    if f'__version__ = "{VERSION}"' not in (source / "detectron2" / "__init__.py").read_text():
        raise BuildError(
            f"{source} is not Detectron2 {VERSION}: detectron2/__init__.py names another"
        )
    shutil.copytree(source / "detectron2", tree / "detectron2")
    for path in PROJECTS.values():
        shutil.copytree(source / path, tree / path)
    shutil.copy(source / "LICENSE", tree)
    zoo_configs = tree / "detectron2" / "model_zoo" / "configs"
    if (source / "configs").is_dir() and not zoo_configs.is_dir():
        shutil.copytree(source / "configs", zoo_configs)
    if not any(zoo_configs.rglob("*.yaml")):
        raise BuildError(f"{source} has no model zoo configs")


def apply_edits(package: Path, edits: Iterable[Edit]) -> None:
    """Applies `edits` to the files below `package` and marks each changed file at its head.

    Raises: BuildError, before anything is written, if a file does not hold an edit's text as often as it should.
    """
    changed: dict[Path, str] = {}
    for edit in edits:
        path = package / edit.path
        if not path.is_file():
            raise BuildError(f"{edit.path}: no such file in these sources")
        text = changed.get(path) or path.read_text(encoding="utf-8")
        found = text.count(edit.old)
        if found != edit.count:
            raise BuildError(
                f"{edit.path}: {edit.old!r} found {found} times, expected {edit.count}"
            )
        changed[path] = text.replace(edit.old, edit.new)
    for path, text in changed.items():
        path.write_text(NOTICE + text, encoding="utf-8")


def run_pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise BuildError(f"pip {arguments[0]}: {last_line(finished.stderr)}")


def last_line(text: str) -> str:
    """The last line that says what went wrong: pip's last ERROR if there is one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no message"])[-1]


if __name__ == "__main__":
    sys.exit(main())
