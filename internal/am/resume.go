package am

import (
	"strconv"

	"tfos/internal/launch"
)

// resumeEnv tells a task's process where it goes on; nil: nothing is known to go on from.
func resumeEnv(r *launch.Resume) map[string]string {
	if r == nil {
		return nil
	}
	env := map[string]string{launch.EnvResumeCheckpoint: r.Checkpoint}
	if r.Step >= 0 {
		env[launch.EnvResumeStep] = strconv.FormatInt(r.Step, 10)
	}
	if r.From != "" {
		env[launch.EnvResumedFrom] = r.From
	}
	return env
}
