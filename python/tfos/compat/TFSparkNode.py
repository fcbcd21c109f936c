"""The name by which programs know the class of ctx."""

from tfos.compat.TFNode import Context as TFNodeContext

__all__ = ["TFNodeContext"]
