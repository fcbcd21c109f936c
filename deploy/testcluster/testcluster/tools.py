"""Finds the programs that the cluster needs, or says in one line how to get them."""
import glob
import os
import re
import shutil
import subprocess

# Hadoop 3.4 and 3.5 are compiled for 17 and 8; from 24 on the JDK has no SecurityManager, which Hadoop's login needs.
OLDEST_JAVA, NEWEST_JAVA = 17, 23


class Problem(Exception):
    """Something a person has to act on. The text is one line (or ends in log lines) and says what to do."""


def program(name, package):
    """Path of a program on PATH (or in sbin, where Debian puts the KDC)."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Problem(f"{name} is missing: install it, e.g. `apt-get install {package}`")
    return path


def java_version(home):
    """Major version of the JDK at home; 0 if there is none."""
    try:
        with open(f"{home}/release", encoding="utf-8") as f:
            found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', f.read(), re.M)
    except OSError:
        return 0
    return int(found[1]) if found and os.access(f"{home}/bin/java", os.X_OK) else 0


def java_homes():
    """JDKs of this machine, the user's own choice first."""
    if os.environ.get("JAVA_HOME"):
        yield os.environ["JAVA_HOME"]
    on_path = shutil.which("java")
    if on_path:
        yield os.path.dirname(os.path.dirname(os.path.realpath(on_path)))
    for pattern in ("/usr/lib/jvm/*", "/opt/java/*", "/opt/jdk*", os.path.expanduser("~/.sdkman/candidates/java/*"),
                    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home"):
        yield from sorted(glob.glob(pattern))


def java_home(wanted=None):
    """A JDK that Hadoop runs on: wanted, or the first that fits."""
    if wanted:
        if not OLDEST_JAVA <= java_version(wanted) <= NEWEST_JAVA:
            raise Problem(f"{wanted} holds no JDK between {OLDEST_JAVA} and {NEWEST_JAVA}: name another with --java")
        return os.path.realpath(wanted)
    for home in java_homes():
        if OLDEST_JAVA <= java_version(home) <= NEWEST_JAVA and os.access(f"{home}/bin/jcmd", os.X_OK):
            return os.path.realpath(home)
    raise Problem(f"no JDK between {OLDEST_JAVA} and {NEWEST_JAVA} found: install one, e.g. "
                  "`apt-get install openjdk-17-jdk-headless`, or name it with --java or JAVA_HOME")


def run(*command, **options):
    """Runs a program to its end; a bad exit is a Problem that quotes what it said last."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options)
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise Problem(f"`{' '.join(map(str, command))[:200]}` exited with {done.returncode}:\n{said}")
    return done.stdout
