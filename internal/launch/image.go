package launch

import (
	"fmt"
	"strings"
)

// ImageEnv has a NodeManager start a container in a Docker image, by the variables that its
// DockerLinuxContainerRuntime reads. No image is no variables.
func ImageEnv(image string, mounts []string) map[string]string {
	env := map[string]string{}
	if image == "" {
		return env
	}
	env["YARN_CONTAINER_RUNTIME_TYPE"] = "docker"
	env["YARN_CONTAINER_RUNTIME_DOCKER_IMAGE"] = image
	if len(mounts) > 0 {
		env["YARN_CONTAINER_RUNTIME_DOCKER_MOUNTS"] = strings.Join(mounts, ",")
	}
	return env
}

// InImage begins a command that is to run in an image. A NodeManager that starts none ignores the
// variables in silence, so the task says on its stderr that it runs on the node itself: in a
// container of its own the first process is the NodeManager's script, which becomes the agent.
// (That there is /.dockerenv says nothing: the node may be one of Docker's containers.)
func InImage(image string) string {
	if image == "" {
		return ""
	}
	return fmt.Sprintf(`grep -qs -e launch_container -e %s %s || echo "tfos: this task does not run in the image %s but on the node: its NodeManager starts no images (yarn.nodemanager.runtime.linux.allowed-runtimes, LinuxContainerExecutor)" >&2; `, TaskAgent, firstProcess, image)
}

// firstProcess is the command line of the first process that a container sees.
const firstProcess = "/proc/1/cmdline"
