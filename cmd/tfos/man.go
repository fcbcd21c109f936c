package main

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"tfos/internal/client/exit"
	"tfos/internal/version"
)

// man writes what packages bring.
func (c *command) man() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Hidden: true,
		Short:  "Write the manual pages",
		Long:   "Write the manual pages of tfos and its commands into a directory. Their date is SOURCE_DATE_EPOCH, if that is set.",
		Args:   oneDirectory,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return exit.Errorf(exit.Usage, "%w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // which has the day of the build
			layOut(root)
			header := &doc.GenManHeader{Title: "TFOS", Section: "1", Source: "tfos " + version.Number, Manual: "tfos"}
			if os.Getenv("SOURCE_DATE_EPOCH") == "" { // which doc reads
				now := time.Now()
				header.Date = &now
			}
			return doc.GenManTree(root, header, args[0])
		},
	}
}

// layOut has lines stay lines that a help text indents: the pages are made from Markdown, where
// four spaces do that.
func layOut(cmd *cobra.Command) {
	var b strings.Builder
	before := false
	for line := range strings.Lines(cmd.Long) {
		indented := strings.HasPrefix(line, "  ")
		if indented && !before {
			b.WriteString("\n")
		}
		if indented {
			b.WriteString("  ")
		}
		b.WriteString(line)
		before = indented
	}
	cmd.Long = b.String()
	for _, sub := range cmd.Commands() {
		layOut(sub)
	}
}
