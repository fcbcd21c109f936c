"""Puts the command into the wheel, as a script of the environment that it is installed into.

TFOS_BINARIES names the directory of the four binaries, and TFOS_MACHINE the kind of machine that they are for: x86_64 or aarch64. Without
them the wheel has the modules alone, for every machine.
"""

import os

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAMES = ("tfos", "tfos-am", "tfos-agent", "tfos-builtin")


class Binaries(BuildHookInterface):
    def initialize(self, version, build_data):
        directory = os.environ.get("TFOS_BINARIES")
        if not directory:
            return
        machine = os.environ["TFOS_MACHINE"]
        build_data["pure_python"] = False
        # The binaries are static, and tfos-builtin wants of the C library only what each has.
        build_data["tag"] = f"py3-none-manylinux_2_17_{machine}.manylinux2014_{machine}"
        build_data["shared_scripts"] = {os.path.join(directory, name): name for name in NAMES}
