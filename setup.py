"""Packaging: the bounds of what is needed; requirements.txt holds the pinned environment."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

# Folders at the top of the repository that a wheel carries inside the package.
CARRIED = {"boxrefine_d2.configs": "configs", "boxrefine_d2.tools": "tools"}


def read_version() -> str:
    text = (ROOT / "boxrefine_d2" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, flags=re.MULTILINE)
    if match is None:
        raise RuntimeError('boxrefine_d2/__init__.py has no line __version__ = "..."')
    return match.group(1)


def read_description() -> str:
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="boxrefine_d2",
    version=read_version(),
    description="Box-based refinement for weakly supervised and unsupervised localization, as a Detectron2 extension",
    long_description=read_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=[*find_packages(include=["boxrefine_d2", "boxrefine_d2.*"]), *CARRIED],
    package_dir=CARRIED,
    package_data={
        "boxrefine_d2": [
            "**/*.pth",
            "**/*.safetensors",
            "**/*.json",
            "**/*.html",
            "**/*.css",
            "**/*.md",
            "**/*.txt",
        ],
        "boxrefine_d2.configs": ["**/*.yaml"],
    },
    include_package_data=False,
    python_requires=">=3.11",
    install_requires=[
        "detectron2>=0.6",
        "fvcore>=0.1.5",
        "iopath>=0.1.10",
        "numpy>=2.0",
        "pillow>=10.1",
        "pycocotools>=2.0.8",
        "pyyaml>=6.0",
        "safetensors>=0.4",
        "scikit-image>=0.24",
        "scipy>=1.13",
        "tabulate>=0.9",
        "timm>=1.0.20",
        "torch>=2.5",
        "torchvision>=0.20",
        "tqdm>=4.60",
        "yacs>=0.1.8",
    ],
    # Two OpenCV distributions overwrite each other's cv2, so the choice is the user's.
    extras_require={
        "opencv": ["opencv-python-headless>=4.8"],
        "opencv-contrib": ["opencv-contrib-python-headless>=4.8"],
        "pretrain": ["lightly>=1.5.20"],
        "heic": ["pillow-heif>=1.0"],
        "crf": ["pydensecrf2>=1.1"],
        "grounding": ["transformers>=5.0"],
        "dev": ["mypy", "pytest", "pytest-xdist", "ruff"],
    },
    entry_points={"console_scripts": ["boxrefine = boxrefine_d2.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
