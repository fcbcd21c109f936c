package yarn

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits of the ResourceManager on tags (org.apache.hadoop.yarn.conf.YarnConfiguration).
const (
	maxTags      = 10
	maxTagLength = 100
)

// Validate says everything that the ResourceManager or a NodeManager would refuse or, worse,
// quietly misread. It knows nothing of a cluster: whether the queue exists and the resource can be
// had is for the ResourceManager to say.
func (s *Submission) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.ID.IsZero() {
		bad("no application id")
	}
	if s.Resource.MemoryMiB <= 0 || s.Resource.VCores <= 0 {
		bad("the master needs memory and at least one vcore, not %s", s.Resource)
	}
	if s.MaxAttempts < 0 {
		bad("%d attempts", s.MaxAttempts)
	}
	if s.AttemptWindow < 0 {
		bad("attempt window %v is negative", s.AttemptWindow)
	}
	if s.Lifetime < 0 || s.Lifetime%time.Second != 0 {
		bad("lifetime %v: YARN counts it in whole seconds", s.Lifetime)
	}
	if len(s.Tags) > maxTags {
		bad("%d tags: YARN takes %d at most", len(s.Tags), maxTags)
	}
	for _, tag := range s.Tags {
		if tag == "" || len(tag) > maxTagLength || strings.ContainsFunc(tag, func(r rune) bool { return r < ' ' || r > '~' }) {
			bad("tag %q: YARN takes 1 to %d printable ASCII characters", tag, maxTagLength)
		}
	}
	if err := s.Launch.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("submit %s: %w", s.ID, err)
	}
	return nil
}

// Validate says what a NodeManager would refuse or misread.
func (l *LaunchContext) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if strings.TrimSpace(strings.Join(l.Command, "")) == "" {
		bad("no command")
	}
	for _, word := range l.Command {
		if strings.Contains(word, "{{LOG_DIR}}") {
			bad("command %q: {{LOG_DIR}} expands to nothing; YARN's word is <LOG_DIR>", word)
		}
	}
	for _, link := range slices.Sorted(maps.Keys(l.Files)) {
		f := l.Files[link]
		if link == "" || strings.HasPrefix(link, "/") || slices.Contains(strings.Split(link, "/"), "..") {
			bad("file %q: its name must lie inside the container's directory", link)
		}
		if scheme, _, ok := strings.Cut(f.URI, ":"); !ok || scheme == "" || strings.Contains(scheme, "/") {
			bad("file %q: %q has no scheme, as hdfs: or file:", link, f.URI)
		}
		if f.Visibility < Public || f.Visibility > Application {
			bad("file %q: no visibility", link)
		}
		if f.ModTime.IsZero() {
			bad("file %q: no modification time", link)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(l.Env)) {
		if !isShellName(key) {
			bad("environment variable %q: a shell cannot export that name", key)
		}
		if strings.ContainsRune(l.Env[key], 0) {
			bad("environment variable %q: its value holds a zero byte", key)
		}
	}
	return errors.Join(errs...)
}

func isShellName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
