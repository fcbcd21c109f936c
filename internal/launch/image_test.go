package launch

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestImageEnv(t *testing.T) {
	got := ImageEnv("registry:5000/tf:2.21", []string{"/etc/passwd:/etc/passwd:ro", "/data:/data:rw"})
	want := map[string]string{
		"YARN_CONTAINER_RUNTIME_TYPE":          "docker",
		"YARN_CONTAINER_RUNTIME_DOCKER_IMAGE":  "registry:5000/tf:2.21",
		"YARN_CONTAINER_RUNTIME_DOCKER_MOUNTS": "/etc/passwd:/etc/passwd:ro,/data:/data:rw",
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := ImageEnv("", []string{"/a:/b:ro"}); len(got) > 0 {
		t.Errorf("without an image: %v", got)
	}
}

// TestInImage: a task that is not in its image says so, and runs on.
func TestInImage(t *testing.T) {
	for first, in := range map[string]bool{
		"/sbin/init\x00": false, "./" + TaskAgent + "\x00": true, "bash\x00/var/yarn/launch_container.sh\x00": true, "": false,
	} {
		file := filepath.Join(t.TempDir(), "cmdline")
		if err := os.WriteFile(file, []byte(first), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("/bin/bash", "-c", strings.ReplaceAll(InImage("tf:1"), firstProcess, file)+"echo runs; exit 7").CombinedOutput()
		if said := strings.Contains(string(out), "does not run in the image tf:1"); err == nil || said == in || !strings.HasSuffix(string(out), "runs\n") {
			t.Errorf("the first process is %q: %v: %s", first, err, out)
		}
	}
	if InImage("") != "" {
		t.Error("without an image there is something to look at")
	}
}
