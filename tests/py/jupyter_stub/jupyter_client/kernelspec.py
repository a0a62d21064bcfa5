"""See ipykernel."""

import json
import os
import pathlib
import shutil


class KernelSpecManager:
    """Keeps specifications in $JUPYTER_DATA_DIR/kernels, as Jupyter does."""

    def __init__(self):
        self.root = pathlib.Path(os.environ["JUPYTER_DATA_DIR"], "kernels")

    def install_kernel_spec(self, source_dir, kernel_name, user, prefix):
        root = self.root if prefix is None else pathlib.Path(prefix, "share/jupyter/kernels")
        return shutil.copytree(source_dir, root / kernel_name, dirs_exist_ok=True)

    def get_all_specs(self):
        found = self.root.glob("*/kernel.json")
        return {path.parent.name: {"resource_dir": str(path.parent), "spec": json.loads(path.read_text())} for path in found}

    def remove_kernel_spec(self, name):
        shutil.rmtree(self.root / name)
        return str(self.root / name)
