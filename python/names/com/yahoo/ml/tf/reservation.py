"""tfos.compat.reservation, the same module."""

import sys

import tfos.compat.reservation as _module

sys.modules[__name__] = _module
