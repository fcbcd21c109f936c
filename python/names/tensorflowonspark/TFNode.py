"""tfos.compat.TFNode, the same module."""

import sys

import tfos.compat.TFNode as _module

sys.modules[__name__] = _module
