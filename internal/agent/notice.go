package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"tfos/internal/control"
	"tfos/internal/launch"
)

// noticeName is the notice's file in launch.TaskDir.
const noticeName = "notice.json"

// noticeFile is what a program reads of a notice. Its keys are a promise to programs.
type noticeFile struct {
	Reason   string    `json:"reason"`        // preempted or draining
	Deadline time.Time `json:"deadline"`      // until when the process may run; it may be stopped earlier
	Unix     float64   `json:"deadline_unix"` // the same in seconds since the epoch
	Text     string    `json:"text"`          // a sentence
}

func (a *Agent) noticePath() string { return filepath.Join(a.ours(), noticeName) }

// notice tells the program that its container will be taken away, or that it will not. The file is
// there whole or not at all. It stays for the next process in this container: the notice is about
// that.
func (o *owner) notice(n control.Notice) {
	name := o.a.noticePath()
	if n.Reason == "" {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			o.a.log.Error("notice not taken back", zap.Error(err))
		}
		o.a.log.Info("notice taken back")
		return
	}
	o.hurry()
	deadline := time.Now().Add(n.Left).UTC() // by the clock that the program reads
	o.a.log.Warn("this container will be taken away", zap.String("reason", n.Reason), zap.Time("deadline", deadline))
	if err := writeNotice(name, n.Reason, deadline); err != nil {
		o.a.log.Error("the program cannot be told", zap.Error(err))
	}
	signal := unix.SignalNum(n.Signal)
	if n.Signal == "" || signal == 0 || o.program == nil {
		return
	}
	told, err := o.program.Signal(signal)
	if err != nil {
		o.a.log.Error("the program cannot be sent a signal", zap.Error(err))
	}
	o.a.log.Info("the program's processes that expect it were sent a signal", zap.String("signal", n.Signal), zap.Int("processes", told))
}

func writeNotice(name, reason string, deadline time.Time) error {
	text := "YARN needs the room of this container and will take it away"
	if reason == "draining" {
		text = "the node of this container is being decommissioned"
	}
	b, err := json.Marshal(noticeFile{reason, deadline, float64(deadline.UnixMilli()) / 1000, text + " by " + deadline.Format(time.RFC3339)})
	if err != nil {
		return err
	}
	part := name + ".part"
	if err := os.WriteFile(part, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(part, name)
}

// noticeEnv is what a program is told of all this at its start.
func (o *owner) noticeEnv(env map[string]string) { env[launch.EnvNoticeFile] = o.a.noticePath() }
