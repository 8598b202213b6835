"""Packaging of layerdrop_plugin."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
START_UP_LINE = "layerdrop_plugin_startup.pth"
COMMANDS = ("average", "describe", "export", "prune", "search", "sweep")


class BuildWithStartUpLine(build_py):
    """Puts the .pth beside the packages in the wheel, so that pip records it and removes it on uninstall."""

    def run(self):
        super().run()
        # An editable wheel holds no packages; what goes into it is collected in the folder called install_lib.
        editable = getattr(self, "editable_mode", False)
        folder = self.get_finalized_command("install").install_lib if editable else self.build_lib
        self.copy_file(START_UP_LINE, folder)


def version() -> str:
    text = (HERE / "layerdrop_plugin" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


setup(
    name="layerdrop_plugin",
    version=version(),
    description="LayerDrop for fairseq 0.12.2 on current Python and torch: train, prune at load, evaluate",
    license="MIT",
    python_requires=">=3.9,<3.14",
    # fairseq is needed for everything but the core, yet it is not listed, nor are hydra-core and omegaconf, which
    # come with it: its pins (hydra-core<1.1, omegaconf<2.1) can't be met with pip 24.1 or newer, nor on Python 3.12;
    # pip would undo the newer pair in an environment that works; and forks supply the module under other names.
    # scripts/setup.sh installs it. The others have lower bounds only: pip leaves in place what an environment has.
    install_requires=["numpy", "torch>=1.13", "tqdm"],
    extras_require={
        "ctranslate2": ["ctranslate2>=4.0"],
        "demo": ["babel", "matplotlib>=3.7", "sacrebleu>=2.0", "sentencepiece"],
        "huggingface": ["safetensors", "transformers>=4.30"],
        "plot": ["matplotlib>=3.7"],
        "recipes": ["rouge-score", "sacrebleu>=2.0", "sacremoses", "sentencepiece"],
        "test": ["mypy", "pytest", "pytest-xdist>=3.2", "ruff", "setuptools>=70.1"],
    },
    entry_points={"console_scripts": [f"layerdrop-{name} = layerdrop_plugin_commands:{name}" for name in COMMANDS]},
    packages=find_packages(include=["layerdrop_plugin", "layerdrop_plugin.*"]),
    package_data={"layerdrop_plugin": ["py.typed"]},
    py_modules=["layerdrop_plugin_commands", "layerdrop_plugin_startup"],
    # Said aloud, this default makes an editable install a plain path, which costs less at each start than a finder.
    package_dir={"": "."},
    cmdclass={"build_py": BuildWithStartUpLine},
    zip_safe=False,
)
