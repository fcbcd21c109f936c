//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVirtualEnvironment: a task runs in the environment that --venv names, which is gone from
// where it was made; what was packed once is used again.
func TestVirtualEnvironment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "env")
	command(t.Context(), t, nil, "python3", "-m", "venv", "--without-pip", dir).want(t, 0)
	found, err := filepath.Glob(filepath.Join(dir, "lib", "python3*", "site-packages"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	for name, content := range map[string]string{
		filepath.Join(found[0], "greet.py"):  "def main():\n    import sys, zlib\n    print('hello from', sys.prefix)\n",
		filepath.Join(dir, "bin", "greeter"): "#!" + dir + "/bin/python\nimport greet\ngreet.main()\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"XDG_CACHE_HOME=" + t.TempDir()}
	const program = `mv "$0" "$0.gone"; here=$(pwd -P); for p in "python -c 'import greet; greet.main()'" greeter; do eval "$p" || exit; done; mv "$0.gone" "$0"; echo "in $here"`
	for _, packs := range []bool{true, false} {
		r := tfos(t, env, "run", "--master", "local", "--workers", "1", "--venv", dir, "--", "bash", "-c", program, dir).want(t, 0)
		if strings.Contains(r.stderr, "packing the environment") != packs {
			t.Errorf("packed: %v, want %v\n%s", !packs, packs, r.stderr)
		}
		if strings.Count(r.stdout, "hello from /") != 2 || strings.Contains(r.stdout, "from "+dir) {
			t.Errorf("printed\n%s", r.stdout)
		}
	}
}

// TestRequirements: a task runs in an environment that was built of a list of packages, once, by
// this machine's pip or its uv.
func TestRequirements(t *testing.T) {
	dir := t.TempDir()
	builtBy := func(t *testing.T, args ...string) {
		env := []string{"XDG_CACHE_HOME=" + t.TempDir(), "PIP_USER=1"} // which sites set
		if t.Name() == "TestRequirements/uv" {
			env = append(env, "PATH="+filepath.Join(root, "build", "venv-uv", "bin")+":"+os.Getenv("PATH"))
		}
		args = append([]string{"run", "--master", "local", "--workers", "1"}, append(args, "--", "greeter")...)
		for _, builds := range []bool{true, false} {
			r := tfos(t, env, args...).want(t, 0)
			if strings.Contains(r.stderr, "building the environment") != builds || strings.Count(r.stdout, "hello from /") != 1 {
				t.Errorf("built: %v, want %v\n%s%s", !builds, builds, r.stderr, r.stdout)
			}
		}
	}
	const wheel = `import sys, zipfile
with zipfile.ZipFile("greet-1.0-py3-none-any.whl", "w") as z:
    z.writestr("greet.py", "import sys\ndef main(): print('hello from', sys.prefix)\n")
    z.writestr("greet-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n")
    z.writestr("greet-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr("greet-1.0.dist-info/entry_points.txt", "[console_scripts]\ngreeter = greet:main\n")
    z.writestr("greet-1.0.dist-info/RECORD", "")`
	command(t.Context(), t, nil, "bash", "-c", `cd "$0" && python3 -c "$1" && printf -- '--no-index\n--find-links .\ngreet==1.0\n' >list.txt`, dir, wheel).want(t, 0)
	for _, by := range []string{"pip", "uv"} {
		t.Run(by, func(t *testing.T) { builtBy(t, "--requirements", filepath.Join(dir, "list.txt")) })
	}
}

// TestImageThatIsIgnored: the container is asked for with the variables that have a NodeManager
// start an image. One that starts none says nothing, but the task does.
func TestImageThatIsIgnored(t *testing.T) {
	r := tfos(t, nil, "run", "--master", "local", "--workers", "1", "-D", "image=registry:5000/tf:2.21", "-D", "mounts=/data:/data,/m:/n:rw", "--",
		"bash", "-c", "env | grep ^YARN_CONTAINER_RUNTIME | sort").want(t, 0)
	const want = "YARN_CONTAINER_RUNTIME_DOCKER_IMAGE=registry:5000/tf:2.21\nYARN_CONTAINER_RUNTIME_DOCKER_MOUNTS=/data:/data:ro,/m:/n:rw\nYARN_CONTAINER_RUNTIME_TYPE=docker\n"
	if !strings.Contains(r.stdout, want) || !strings.Contains(r.stdout+r.stderr, "this task does not run in the image registry:5000/tf:2.21") {
		t.Errorf("stdout:\n%s\nstderr:\n%s", r.stdout, r.stderr)
	}
}

// TestImageInTheLaunchScript: a NodeManager's own script sets, for a task's container, these
// variables for the image, and no other of the kind; for the master's none.
func TestImageInTheLaunchScript(t *testing.T) {
	c := hadoop(t)
	r := tfos(t, c.env, "run", "--workers", "1", "-D", "image=registry:5000/tf:2.21", "-D", "mounts=/data:/data,/m:/n:rw", "--", "bash", "-c",
		`grep RUNTIME_ launch_container.sh | sort; cat "$0"/nm*/local/usercache/root/appcache/$(basename "$(dirname "$PWD")")/*_000001/launch_container.sh | grep -c RUNTIME_ || true`,
		filepath.Dir(c.conf)).want(t, 0)
	const want = `export YARN_CONTAINER_RUNTIME_DOCKER_IMAGE="registry:5000/tf:2.21"
export YARN_CONTAINER_RUNTIME_DOCKER_MOUNTS="/data:/data:ro,/m:/n:rw"
export YARN_CONTAINER_RUNTIME_TYPE="docker"
0
`
	var script strings.Builder
	for line := range strings.Lines(r.stdout) {
		if !strings.HasPrefix(line, "tfos: this task does not run in the image") { // which is true here
			script.WriteString(line)
		}
	}
	if script.String() != want {
		t.Errorf("launch_container.sh has\n%swant\n%s", script.String(), want)
	}
}
