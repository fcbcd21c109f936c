"""tfos.compat.compat, the same module."""

import sys

import tfos.compat.compat as _module

sys.modules[__name__] = _module
