"""tfos.compat.TFParallel, the same module."""

import sys

import tfos.compat.TFParallel as _module

sys.modules[__name__] = _module
