import os
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class SiteCustomizeTest(unittest.TestCase):
    """Runs Python in a task-like environment, with a TensorFlow that tells who registers what with it."""

    def setUp(self):
        self._dir = tempfile.TemporaryDirectory(prefix="tfos-test-")
        self.dir = self._dir.name
        before = signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # what a shell starts in the background has it ignored, and hands that on
        self.addCleanup(signal.signal, signal.SIGQUIT, before)
        self.write("tensorflow/__init__.py", "from tensorflow import experimental\nprint('tensorflow imported')\n")
        self.write("tensorflow/experimental.py", "def register_filesystem_plugin(path): print('registered', path)\n")

    def tearDown(self):
        self._dir.cleanup()

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    def python(self, program, *flags, files="/socket", path=("",)):
        env = dict(os.environ, PYTHONPATH=os.pathsep.join([HERE, *(os.path.join(self.dir, p) for p in path)]), PYTHONDONTWRITEBYTECODE="1", TFOS_FILES=files)
        r = subprocess.run([sys.executable, *flags, "-c", program], env=env, cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(r.stderr, "")
        return r.stdout.splitlines()

    def test_import_registers_the_plugin(self):
        lines = self.python("import tensorflow.experimental, tensorflow as tf; print(tf.__spec__.loader.name)")
        self.assertEqual(lines[0], "tensorflow imported")
        self.assertRegex(lines[1], r"^registered .*/native/files_\w+\.so$")
        self.assertEqual(lines[2:], ["tensorflow"])

    def test_a_second_copy_on_the_path(self):
        """Of another tfos, say: the first acts, and what both hide is run once."""
        with open(os.path.join(HERE, "sitecustomize.py")) as f:
            self.write("other/sitecustomize.py", f.read())
        self.write("sitecustomize.py", "print('the environment')\n")
        lines = self.python("import tensorflow", path=["other", ""])
        self.assertEqual(lines[:2], ["the environment", "tensorflow imported"])
        self.assertEqual(len(lines), 3, lines)

    def test_quit_prints_stacks(self):
        program = "import os, signal\ndef where(): os.kill(os.getpid(), signal.SIGQUIT)\nwhere(); print('goes on')"
        env = dict(os.environ, PYTHONPATH=HERE + os.pathsep + self.dir, PYTHONDONTWRITEBYTECODE="1", TFOS_FILES="/socket")
        r = subprocess.run([sys.executable, "-c", program], env=env, cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual((r.returncode, r.stdout), (0, "goes on\n"))
        self.assertIn("in where", r.stderr)

    def test_stacks(self):
        """Each process has a file of its own, a forked one too, and goes on."""
        stacks = os.path.join(self.dir, "stacks")
        os.mkdir(stacks)
        program = """
import os, signal, time
def where():
    os.kill(os.getpid(), signal.SIGRTMAX - 5)
def of_a_child():
    where()
if os.fork() == 0:
    of_a_child()
    os._exit(0)
os.wait()
where()
print(os.getpid())
"""
        env = dict(os.environ, PYTHONPATH=HERE + os.pathsep + self.dir, PYTHONDONTWRITEBYTECODE="1", TFOS_FILES="/socket", TFOS_STACKS=stacks)
        r = subprocess.run([sys.executable, "-c", program], env=env, cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        texts = {}
        for name in os.listdir(stacks):
            pid, _, fd = name.partition(".")
            self.assertGreaterEqual(int(fd), 300)
            with open(os.path.join(stacks, name)) as f:
                texts[pid] = f.read()
        own = texts.pop(r.stdout.strip())
        self.assertIn("in where", own)
        self.assertNotIn("of_a_child", own)
        (child,) = texts.values()
        self.assertIn("in of_a_child", child)

    def test_no_directory_for_stacks(self):
        os.environ["TFOS_STACKS"] = os.path.join(self.dir, "not-there")
        self.addCleanup(os.environ.pop, "TFOS_STACKS")
        self.assertEqual(self.python("print('goes on')"), ["goes on"])

    def test_quit_outside_of_a_task_ends_as_ever(self):
        env = dict(os.environ, PYTHONPATH=HERE + os.pathsep + self.dir, PYTHONDONTWRITEBYTECODE="1", TFOS_FILES="")
        r = subprocess.run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGQUIT)"], env=env, cwd=self.dir)
        self.assertEqual(r.returncode, -signal.SIGQUIT)

    def test_children_have_it_too(self):
        program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import tensorflow'])"
        self.assertEqual(len(self.python(program)), 2)

    def test_no_tensorflow(self):
        self.write("tensorflow/__init__.py", "raise ImportError('broken')")
        self.assertEqual(self.python("try:\n import tensorflow\nexcept ImportError as e: print(e)"), ["broken"])
        self.assertEqual(self.python("print(1)"), ["1"])

    def test_import_that_fails_first(self):
        self.write("tensorflow/__init__.py", "import os\nif 'AGAIN' not in os.environ: raise ImportError('not yet')\nfrom tensorflow import experimental")
        program = "import os\ntry:\n import tensorflow\nexcept ImportError: os.environ['AGAIN'] = '1'\nimport tensorflow"
        self.assertEqual(len(self.python(program)), 1)

    def test_outside_of_a_task(self):
        self.assertEqual(self.python("import tensorflow", files=""), ["tensorflow imported"])

    def test_isolated(self):
        self.assertEqual(self.python("print('fine')", "-I"), ["fine"])
        self.assertEqual(self.python("import tensorflow", "-S"), ["tensorflow imported"])

    def test_refusal_is_said_and_no_error(self):
        self.write("tensorflow/experimental.py", "def register_filesystem_plugin(path): raise RuntimeError('hdfs is taken')\n")
        program = "import sys; sys.stderr = sys.stdout; import tensorflow"
        self.assertEqual(self.python(program)[1], "tfos: TensorFlow cannot open hdfs:// paths: hdfs is taken")

    def test_python_2_imports_as_ever(self):
        """Whose finders are of another kind: one that has no find_module breaks every import."""
        self.write("sitecustomize.py", "print('theirs', __name__)")
        program = "import runpy, sys\nbefore = list(sys.meta_path)\nsys.version_info = (2, 7)\nrunpy.run_path(%r)\nprint(before == sys.meta_path)"
        self.assertEqual(self.python(program % os.path.join(HERE, "sitecustomize.py")), ["theirs sitecustomize"] * 2 + ["True"])

    def test_hidden_sitecustomize_runs(self):
        self.write("sitecustomize.py", "import sys; print('theirs', __name__); mark = 1")
        self.assertEqual(self.python("import sitecustomize; print(sitecustomize.mark, sitecustomize.__file__.startswith(%r))" % self.dir),
                         ["theirs sitecustomize", "1 True"])

    def test_hidden_sitecustomize_of_a_venv(self):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", os.path.join(self.dir, "venv")], check=True)
        python = os.path.join(self.dir, "venv", "bin", "python")
        site = subprocess.run([python, "-c", "import site; print(site.getsitepackages()[0])"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        with open(os.path.join(site, "sitecustomize.py"), "w") as f:
            f.write("print('of the venv')")
        env = dict(os.environ, PYTHONPATH=HERE, TFOS_FILES="/socket")
        r = subprocess.run([python, "-c", "print('fine')"], env=env, stdout=subprocess.PIPE, text=True, check=True)
        self.assertEqual(r.stdout.split("\n")[:2], ["of the venv", "fine"])


if __name__ == "__main__":
    unittest.main()
