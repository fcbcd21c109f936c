package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"tfos/internal/version"
)

// build says which tfos this is. Its JSON keys are stable.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // empty: not known
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (c *command) version() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version [--json]",
		Short: "Print the version",
		Long:  "Print the version of tfos, and what it was built with.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := build{Version: version.String(), Commit: version.Commit(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if asJSON {
				return writeJSON(c.stdout, b)
			}
			_, err := fmt.Fprintf(c.stdout, "tfos %s, %s, %s\n", b.Version, b.Go, b.Platform)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, whose keys are stable")
	return cmd
}
