"""tfos.compat.gpu_info, the same module."""

import sys

import tfos.compat.gpu_info as _module

sys.modules[__name__] = _module
