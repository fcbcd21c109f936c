"""tfos.compat.TFSparkNode, the same module."""

import sys

import tfos.compat.TFSparkNode as _module

sys.modules[__name__] = _module
