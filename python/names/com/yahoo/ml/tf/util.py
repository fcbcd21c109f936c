"""tfos.compat.util, the same module."""

import sys

import tfos.compat.util as _module

sys.modules[__name__] = _module
