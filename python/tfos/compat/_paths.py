"""Paths as programs write them, made into the paths that every node of a job means alike."""

import getpass
import os
import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


def hdfs_path(ctx, path: str) -> str:
    """The whole of a path that may lack its filesystem, as Hadoop would read it.

    What names a filesystem stays. An absolute path lies on ctx.defaultFS. A relative one begins at the user's home there, or, if
    that filesystem is the local one, at ctx.working_dir.
    """
    path = os.fspath(path)
    if _SCHEME.match(path):
        return path
    root = _without_slash(ctx.defaultFS)
    if path.startswith("/"):
        return root + path
    if root.startswith("file:"):
        return f"{root}/{ctx.working_dir.strip('/')}/{path}"
    return f"{root}/user/{_user()}/{path}"


def _without_slash(root):
    """hdfs://nn:8020/ and file:/// without the slash that a path begins with."""
    scheme, rest = root.split(":", 1)
    return f"{scheme}://{rest.strip('/')}"


def _user():
    # Hadoop without Kerberos believes the variable before it asks the system.
    return os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
