package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/client/term"
	"tfos/internal/yarn"
)

// command is what all subcommands share.
type command struct {
	stdout, stderr io.Writer
	began          bool // cobra is done with the arguments

	master string // yarn or local
	conf   string // directory of the Hadoop configuration
	debug  bool
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tfos",
		Short: "Train TensorFlow on a Hadoop cluster as if it were one machine",
		Long: `Train TensorFlow on a Hadoop cluster as if it were one machine.

  tfos run --master local --workers 2 -- python train.py     here, on an embedded YARN
  tfos run job.yaml                                          on the cluster of HADOOP_CONF_DIR

` + exit.Table,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRun:  func(*cobra.Command, []string) { c.began = true },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	flags := root.PersistentFlags()
	flags.StringVar(&c.master, "master", "yarn", "the `CLUSTER`: yarn, or local for an embedded one on this machine")
	flags.StringVar(&c.conf, "conf", "", "`DIR` of the Hadoop configuration, or several as DIR:DIR (default $HADOOP_CONF_DIR, then $YARN_CONF_DIR)")
	flags.BoolVar(&c.debug, "debug", false, "log to stderr what tfos does, and what Hadoop says in full, Java's stacks included")
	root.AddCommand(c.run(), c.predict(), c.submit(), c.plan(), c.convert(), c.resume(), c.attach(), c.status(), c.list(), c.logs(), c.kill(), c.scale(), c.session(), c.showDebug(), c.stacks(), c.tensorboard(), c.history(), c.checkpoint(), c.replay(), c.version(), c.man())
	if err := c.completes(root); err != nil {
		panic("tfos: " + err.Error()) // two commands have one flag
	}
	for _, sub := range root.Commands() {
		for _, leaf := range append(sub.Commands(), sub) {
			if !strings.Contains(leaf.Long, exit.Heading) { // it has codes of its own
				leaf.Long += "\n\n" + exit.Table
			}
			leaf.DisableFlagsInUseLine = true
		}
	}
	return root
}

// local reports whether the embedded cluster is meant.
func (c *command) local() (bool, error) {
	switch c.master {
	case "yarn":
		return false, nil
	case "local":
		return true, nil
	}
	return false, exit.Errorf(exit.Usage, "--master %s: want yarn or local", c.master)
}

// logger says little unless asked to.
func (c *command) logger() *zap.Logger {
	if !c.debug {
		return zap.NewNop()
	}
	encoder := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(c.stderr)), zapcore.DebugLevel), zap.AddCaller())
}

// connect reaches the cluster of an application: the one that the flags name, or an embedded one
// that runs already.
func (c *command) connect(cmd *cobra.Command, id yarn.ApplicationID) (*client.Cluster, error) {
	local, err := c.local()
	if err != nil {
		return nil, err
	}
	if local {
		return client.LocalOf(cmd.Context(), localDir(), id, c.logger())
	}
	return c.configured(cmd)
}

// reach connects to the cluster of the application that text names.
func (c *command) reach(cmd *cobra.Command, text string) (*client.Cluster, yarn.ApplicationID, error) {
	id, err := client.ParseApplication(text)
	if err != nil {
		return nil, id, err
	}
	cluster, err := c.connect(cmd, id)
	return cluster, id, err
}

// clusters reaches all clusters that the flags mean: there can be several embedded ones.
func (c *command) clusters(cmd *cobra.Command) ([]*client.Cluster, error) {
	local, err := c.local()
	if err != nil {
		return nil, err
	}
	if local {
		return client.Locals(cmd.Context(), localDir(), c.logger())
	}
	cluster, err := c.configured(cmd)
	return []*client.Cluster{cluster}, err
}

// configured reaches the cluster of the Hadoop configuration.
func (c *command) configured(cmd *cobra.Command) (*client.Cluster, error) {
	dirs, err := client.FindConf(c.conf, os.Getenv)
	if err != nil {
		return nil, err
	}
	return client.Connect(cmd.Context(), client.ConnectOptions{Conf: dirs, Getenv: os.Getenv, Log: c.logger()})
}

// localDir is where embedded clusters of this user leave word of themselves.
func localDir() string { return filepath.Join(os.TempDir(), fmt.Sprintf("tfos-%d", os.Getuid())) }

// output is where a command writes: f itself if that is a file or a pipe, which gets every byte as
// it is, else a terminal that shows foreign text and does not obey it.
func output(f *os.File) io.Writer {
	if screen, ok := term.NewScreen(f); ok {
		return screen
	}
	return f
}

// drawable is the terminal behind w, if it is one that can be drawn on.
func drawable(w io.Writer) (*os.File, bool) {
	screen, ok := w.(*term.Screen)
	if !ok || os.Getenv("TERM") == "dumb" {
		return nil, false
	}
	return screen.Raw(), true
}

// application is a command's one argument that names a job.
func application(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return exit.Errorf(exit.Usage, "%s: want one application id", cmd.CommandPath()).Try("tfos list shows them")
	}
	return nil
}
