"""Checkpoints and models on HDFS, for a TensorFlow that cannot open hdfs:// paths.

TensorFlow reads and writes a local directory; a Folder copies it to and from HDFS over WebHDFS, the NameNode's HTTP
interface, with nothing but the standard library. For clusters without Kerberos. A local path needs no copying: then
pull and push do nothing.
"""
import getpass
import json
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request

# The file that makes a directory count as a checkpoint or as a model. It is copied last, so whoever finds it finds the rest.
MARKERS = ("checkpoint", "saved_model.pb")


def add_options(parser):
    parser.add_argument(
        "--webhdfs",
        default=os.environ.get("DIGITS_WEBHDFS"),
        metavar="http://HOST:PORT",
        help="the NameNode's HTTP address, for directories on HDFS (default: $DIGITS_WEBHDFS)",
    )


class Folder:
    """A directory that may be on HDFS. TensorFlow uses `path`, which is local."""

    def __init__(self, url, webhdfs=None):
        self.url = url
        parts = urllib.parse.urlparse(url)
        if parts.scheme != "hdfs":
            self._hdfs, self.path = None, os.path.abspath(parts.path if parts.scheme == "file" else url)
            return
        if not webhdfs:
            raise SystemExit(f"{url} is on HDFS: say where the NameNode's HTTP server is, with --webhdfs http://HOST:PORT")
        self._hdfs, self._remote = WebHDFS(webhdfs), parts.path.rstrip("/")
        self._temporary = aside()
        self.path = os.path.abspath(self._temporary.name)
        self._same = {}  # what is equal on both sides: name → (size, modification time) of the local file

    def pull(self):
        """Fetches everything from HDFS; nothing there is fine."""
        if not self._hdfs:
            return
        for name in self._hdfs.files(self._remote):
            local = os.path.join(self.path, name)
            os.makedirs(os.path.dirname(local), exist_ok=True)
            with open(local, "wb") as f:
                f.write(self._hdfs.read(f"{self._remote}/{name}"))
            self._same[name] = stamp(local)

    def push(self):
        """Copies what is new to HDFS, the marker last, then removes there what this process removed here."""
        if not self._hdfs:
            return
        here = [os.path.relpath(os.path.join(d, f), self.path) for d, _, files in os.walk(self.path) for f in files]
        for name in sorted(here, key=lambda n: (n in MARKERS, n)):
            local = os.path.join(self.path, name)
            if self._same.get(name) != stamp(local):
                with open(local, "rb") as f:
                    self._hdfs.write(f"{self._remote}/{name}", f.read())
                self._same[name] = stamp(local)
        for name in set(self._same) - set(here):
            self._hdfs.delete(f"{self._remote}/{name}")
            del self._same[name]


def aside():
    """A temporary directory. It goes when its object does, or else with the container, in whose directory it is."""
    return tempfile.TemporaryDirectory(prefix="digits-", dir=".")


def stamp(path):
    info = os.stat(path)
    return info.st_size, info.st_mtime_ns


class WebHDFS:
    """The few calls we need of https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html"""

    def __init__(self, address):
        self._base = address.rstrip("/") + "/webhdfs/v1"
        self._user = os.environ.get("HADOOP_USER_NAME") or os.environ.get("USER") or getpass.getuser()

    def files(self, directory, prefix=""):
        """Names of all files below directory, relative to it; none if it does not exist."""
        try:
            listing = json.loads(self._call("GET", directory, "LISTSTATUS"))
        except FileNotFoundError:
            return []
        names = []
        for entry in listing["FileStatuses"]["FileStatus"]:
            name = prefix + entry["pathSuffix"]
            if entry["type"] == "DIRECTORY":
                names += self.files(f"{directory}/{entry['pathSuffix']}", name + "/")
            elif not name.endswith(".part"):
                names.append(name)
        return names

    def read(self, path):
        return self._call("GET", path, "OPEN")

    def write(self, path, data):
        """Replaces path at once: a reader sees the old content or the new, never a part."""
        part = path + ".part"
        self._call("PUT", part, "CREATE", data, overwrite="true")
        self._call("PUT", part, "RENAME", destination=path, renameoptions="OVERWRITE")

    def delete(self, path):
        self._call("DELETE", path, "DELETE")

    def _call(self, method, path, op, data=None, **parameters):
        query = urllib.parse.urlencode({"op": op, "user.name": self._user, **parameters})
        url = f"{self._base}{urllib.parse.quote(path)}?{query}"
        try:
            try:
                return send(method, url)
            except urllib.error.HTTPError as e:
                # To write, the NameNode sends us on to a DataNode, and only that one gets the bytes.
                if e.code != 307 or data is None:
                    raise
                return send(method, e.headers["Location"], data)
        except urllib.error.HTTPError as e:
            if e.code == 404:
                raise FileNotFoundError(f"{path} on HDFS") from e
            raise OSError(f"{op} {path} on HDFS: {reason(e)}") from e
        except urllib.error.URLError as e:
            raise OSError(f"{op} {path} on HDFS at {self._base}: {e.reason}") from e


def reason(error):
    """What the NameNode says is wrong: the first line of a Java exception, in JSON."""
    try:
        return json.load(error)["RemoteException"]["message"].splitlines()[0]
    except (ValueError, LookupError):
        return str(error)  # not from HDFS: something in between


def send(method, url, data=None):
    request = urllib.request.Request(url, data, {"Content-Type": "application/octet-stream"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()
