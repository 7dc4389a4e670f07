"""The folders of a wheel; pyproject.toml has all other metadata of the package."""

from setuptools import find_packages, setup

# Folders at the top of the repository that a wheel has inside the package.
CARRIED = {"boxrefine_d2.configs": "configs", "boxrefine_d2.tools": "tools"}

setup(
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
)
