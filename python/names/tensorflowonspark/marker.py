"""tfos.compat.marker, the same module."""

import sys

import tfos.compat.marker as _module

sys.modules[__name__] = _module
