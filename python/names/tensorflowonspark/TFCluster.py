"""tfos.compat.TFCluster, the same module."""

import sys

import tfos.compat.TFCluster as _module

sys.modules[__name__] = _module
