"""tfos.compat.dfutil, the same module."""

import sys

import tfos.compat.dfutil as _module

sys.modules[__name__] = _module
