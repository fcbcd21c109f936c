"""tfos.compat.TFManager, the same module."""

import sys

import tfos.compat.TFManager as _module

sys.modules[__name__] = _module
