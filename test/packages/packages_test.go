//go:build packages

package packages

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestTarball(t *testing.T) {
	dir := t.TempDir()
	run(t, nil, "tar", "-xzf", made(t, "packages/tfos-*-linux-"+machine+".tar.gz"), "-C", dir, "--strip-components=1")
	works(t, filepath.Join(dir, "bin/tfos"))
}

func TestJar(t *testing.T) {
	temp := t.TempDir()
	got := run(t, nil, "java", "-Djava.io.tmpdir="+temp, "-jar", made(t, "packages/tfos-"+machine+".jar"), "run", "--master", "local", "job.yaml")
	if want := "hello from worker\n"; got != want {
		t.Errorf("the job printed %q, want %q", got, want)
	}
}

func TestDeb(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(dir, "var/lib/dpkg", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "dpkg", "--root="+dir, "--force-not-root", "--log=/dev/null", "--install", made(t, "packages/tfos_*_"+runtime.GOARCH+".deb"))
	if got := run(t, nil, "dpkg-query", "--admindir="+filepath.Join(dir, "var/lib/dpkg"), "-W", "-f", "${Status}", "tfos"); got != "install ok installed" {
		t.Errorf("dpkg says %q", got)
	}
	installed(t, dir)
	run(t, nil, "dpkg", "--root="+dir, "--force-not-root", "--log=/dev/null", "--purge", "tfos")
	if _, err := os.Lstat(filepath.Join(dir, "usr/lib/tfos")); err == nil {
		t.Error("dpkg --purge left /usr/lib/tfos")
	}
}

func TestRPM(t *testing.T) {
	dir := t.TempDir()
	rpm := func(args ...string) string {
		return run(t, nil, "rpm", append([]string{"--root", dir, "--dbpath", "/var/lib/rpm"}, args...)...) // Debian's would be in the home directory
	}
	rpm("--initdb")
	rpm("--nodeps", "-i", made(t, "packages/tfos-*."+machine+".rpm"))
	if got := rpm("-V", "tfos"); got != "" {
		t.Errorf("rpm -V says\n%s", got)
	}
	installed(t, dir)
	rpm("-e", "tfos")
	if _, err := os.Lstat(filepath.Join(dir, "usr/lib/tfos/tfos")); err == nil {
		t.Error("rpm -e left /usr/lib/tfos/tfos")
	}
}

// installed uses what a package of a distribution put below dir.
func installed(t *testing.T, dir string) {
	t.Helper()
	works(t, filepath.Join(dir, "usr/bin/tfos"))
	page := run(t, []string{"LC_ALL=C.UTF-8", "MANPAGER=cat", "MANWIDTH=100"}, "man", "-l", filepath.Join(dir, "usr/share/man/man1/tfos-run.1.gz"))
	for _, want := range []string{"Submit a job, follow it, and exit with its result", "3 the cluster refused the job, or can never fit it"} {
		if !strings.Contains(strings.Join(strings.Fields(page), " "), want) {
			t.Errorf("man tfos-run does not say %q:\n%s", want, page)
		}
	}
	completion(t, dir)
	bill(t, filepath.Join(dir, "usr/share/doc/tfos/sbom.cdx.json"))
}

// completion has the shells themselves complete command lines while a job runs.
func completion(t *testing.T, dir string) {
	t.Helper()
	temp := t.TempDir()
	env := []string{"TMPDIR=" + temp, "HOME=" + temp, "PATH=" + filepath.Join(dir, "usr/bin") + ":/usr/bin:/bin"}
	job := exec.Command(filepath.Join(dir, "usr/bin/tfos"), "run", "--master", "local", "--workers", "2", "--worker-memory", "256MiB", "--", "sleep 600")
	job.Env = env
	told, err := job.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		job.Process.Signal(os.Interrupt)
		job.Wait()
	}()
	id := ""
	for lines := bufio.NewScanner(told); lines.Scan() && !strings.Contains(lines.Text(), "cluster_spec 1 published"); {
		if id == "" {
			id = regexp.MustCompile(`application_\d+_\d+`).FindString(lines.Text())
		}
	}
	go new(bytes.Buffer).ReadFrom(told) // so that the job can go on telling

	const bash = `. /usr/share/bash-completion/bash_completion
. "$1/usr/share/bash-completion/completions/tfos"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2)) COMP_LINE="${*:2}" COMP_POINT=$((${#COMP_LINE})) COMP_TYPE=9
"$(complete -p tfos | sed 's/.*-F \([^ ]*\) .*/\1/')"
printf '%s\n' "${COMPREPLY[@]}"`
	const fish = `source $argv[1]/usr/share/fish/vendor_completions.d/tfos.fish
complete --do-complete (string join " " -- $argv[2..]) | string replace -r '\t.*' ''; true`
	for _, c := range []struct {
		line []string
		want string // in each line one, perhaps with words behind it
	}{
		{[]string{"tfos", "chec"}, "checkpoint"},
		{[]string{"tfos", "kill", "--master", "local", "app"}, id},
		{[]string{"tfos", "logs", "--master", "local", id, "w"}, "worker/0 worker/1"},
		{[]string{"tfos", "scale", "--master", "local", id, ""}, "worker="},
		{[]string{"tfos", "run", "--endpoints", "re"}, "redirect"},
	} {
		for shell, args := range map[string][]string{"bash": {"-c", bash, "bash", dir}, "fish": {"--no-config", "-c", fish, dir}} {
			out := run(t, env, shell, append(args, c.line...)...)
			var got []string
			for line := range strings.Lines(out) {
				if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word != "" {
					got = append(got, word)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s completes %q by %q, want %q", shell, c.line, out, c.want)
			}
		}
	}
	// zsh completes in its line editor alone: there it must be able to load the function.
	loaded := run(t, env, "zsh", "-f", "-c", `fpath=("$1/usr/share/zsh/site-functions" $fpath); autoload -Uz compinit; compinit -D; print $_comps[tfos]`, "zsh", dir)
	if loaded != "_tfos\n" {
		t.Errorf("zsh completes tfos by %q", loaded)
	}
}

// bill holds the list of what is in a package against the binaries.
func bill(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		BOMFormat  string `json:"bomFormat"`
		Components []struct {
			Name, Version, PURL string
			Hashes              []struct{ Content string }
		}
	}
	if err := json.Unmarshal(data, &b); err != nil || b.BOMFormat != "CycloneDX" {
		t.Fatalf("%s: %v, format %q", name, err, b.BOMFormat)
	}
	sums := map[string]string{}
	for _, c := range b.Components {
		sums[c.Name] = ""
		if len(c.Hashes) > 0 {
			sums[c.Name] = c.Hashes[0].Content
		}
	}
	for _, binary := range []string{"tfos", "tfos-am", "tfos-agent", "tfos-builtin"} {
		sum, _, _ := strings.Cut(run(t, nil, "sha256sum", filepath.Join(filepath.Dir(name), "../../../lib/tfos", binary)), " ")
		if sums[binary] != sum {
			t.Errorf("the list has %s with %q, want %s", binary, sums[binary], sum)
		}
	}
	for _, module := range []string{"google.golang.org/grpc", "github.com/spf13/cobra", "github.com/ebitengine/purego", "std"} {
		if _, ok := sums[module]; !ok {
			t.Errorf("the list lacks %s", module)
		}
	}
}

// TestReproducible makes everything a second time, in another directory, and wants the same bytes.
func TestReproducible(t *testing.T) {
	if changes := run(t, nil, "git", "-C", root, "status", "--porcelain", "--untracked-files=no"); changes != "" {
		t.Fatalf("commit first: packages are made from a commit\n%s", changes)
	}
	again := filepath.Join(t.TempDir(), "again")
	run(t, nil, "git", "clone", "--quiet", root, again)
	run(t, []string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}, "make", "-C", again, "-o", "venv", "PYTHON="+os.Getenv("TFOS_PYTHON"), "package")
	first, second := filepath.Join(root, "build/packages/SHA256SUMS"), filepath.Join(again, "build/packages/SHA256SUMS")
	run(t, nil, "diff", first, second)
	if n := strings.Count(run(t, nil, "cat", first), "\n"); n != 13 {
		t.Errorf("there are %d packages, want 13", n)
	}
}
