"""tfos.compat.pipeline, the same module."""

import sys

import tfos.compat.pipeline as _module

sys.modules[__name__] = _module
