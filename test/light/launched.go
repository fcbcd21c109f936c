package light

import (
	"encoding/binary"
	"fmt"
	"io"

	"tfos/internal/control"
	"tfos/internal/hadoop/token"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/yarn"
)

// launched is what a NodeManager started in a container.
type launched struct {
	container   yarn.ContainerID
	host        string
	task        job.Task
	incarnation job.Incarnation
	master      string // host:port
	staging     string // URI of the job's staging directory
	identity    control.Identity
}

// readLaunched reads what HollowNodeManagers.java says first of a container.
func readLaunched(r io.Reader) (l launched, err error) {
	id, err := readText(r)
	if err != nil {
		return l, err
	}
	if l.container, err = yarn.ParseContainerID(id); err != nil {
		return l, err
	}
	var n int32
	if err := binary.Read(r, binary.BigEndian, &n); err != nil {
		return l, err
	}
	env := make(map[string]string)
	for range n {
		name, err := readText(r)
		if err != nil {
			return l, err
		}
		if env[name], err = readText(r); err != nil {
			return l, err
		}
	}
	if err := binary.Read(r, binary.BigEndian, &n); err != nil {
		return l, err
	}
	secrets := make([]byte, n)
	if _, err := io.ReadFull(r, secrets); err != nil {
		return l, err
	}
	l.host, l.master = env["NM_HOST"], env[launch.EnvMaster]
	if _, err := fmt.Sscan(env[launch.EnvIncarnation], &l.incarnation); err != nil {
		return l, fmt.Errorf("%s: %w", launch.EnvIncarnation, err)
	}
	if l.staging, err = launch.UnescapeEnv(env[launch.EnvStaging]); err != nil {
		return l, err
	}
	if l.task, err = job.ParseTask(env[launch.EnvTask]); err != nil {
		return l, err
	}
	credentials, err := token.Decode(secrets)
	if err != nil {
		return l, err
	}
	pem, ok := credentials.Secret(launch.SecretIdentity)
	if !ok {
		return l, fmt.Errorf("%s: its credentials hold no %s", id, launch.SecretIdentity)
	}
	l.identity, err = control.ParseIdentity(pem)
	return l, err
}

// readText reads what java.io.DataOutputStream.writeUTF wrote of a text in ASCII.
func readText(r io.Reader) (string, error) {
	var n uint16
	if err := binary.Read(r, binary.BigEndian, &n); err != nil {
		return "", err
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return string(b), err
}
