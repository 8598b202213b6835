"""The start-up hook in the wheel, and the license; everything else about the package is in pyproject.toml."""

from __future__ import annotations

from setuptools import setup
from setuptools.command.build_py import build_py

START_UP_LINE = "layerdrop_plugin_startup.pth"


class BuildWithStartUpLine(build_py):
    """Puts the .pth beside the packages in the wheel, so that pip records it and removes it on uninstall."""

    def run(self):
        """Build the packages, then copy the .pth."""
        super().run()
        # An editable wheel holds no packages; what goes into it is collected in the folder called install_lib.
        editable = getattr(self, "editable_mode", False)
        folder = self.get_finalized_command("install").install_lib if editable else self.build_lib
        self.copy_file(START_UP_LINE, folder)


# In pyproject.toml, a license is a table, which new versions of setuptools will refuse, or a text, which needs 77.
setup(license="MIT", cmdclass={"build_py": BuildWithStartUpLine})
