"""The arguments of a program as attributes. It needs no pyspark, for nodes without one get it, too."""

import argparse
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Union

__all__ = ["Namespace"]


class Namespace:
    """Arguments as attributes: of a dict, of another namespace (argparse's too), or, as argv, of a list of a command line's words."""

    def __init__(self, d: "Union[Dict[str, Any], Namespace, argparse.Namespace, List[str], None]" = None):
        if d is None:
            return
        if isinstance(d, list):
            self.argv = d
        elif isinstance(d, dict):
            self.__dict__.update(d)
        elif hasattr(d, "__dict__"):
            self.__dict__.update(vars(d))
        else:
            raise TypeError(f"a Namespace is made of a dict, a namespace or a list of words, and not of {type(d).__name__}")

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __contains__(self, name: str) -> bool:
        return name in self.__dict__

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Namespace) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Namespace({self.__dict__!r})"
