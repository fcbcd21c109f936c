package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"tfos/internal/client/exit"
)

func (c *command) history() *cobra.Command {
	ls := c.historyLs()
	cmd := &cobra.Command{
		Use:   "history [ls|show|serve]",
		Short: "List and show jobs that have ended, and serve their pages",
		Long: `List and show your jobs that have ended, and serve their pages, as they are kept on HDFS below ~/.tfos/jobs: for 30 days, the
newest 500, also those that YARN has forgotten. tfos history alone lists them.`,
		Args: cobra.NoArgs,
		RunE: ls.RunE,
	}
	cmd.AddCommand(ls, c.historyShow(), c.historyServe())
	cmd.Flags().AddFlagSet(ls.Flags())
	return cmd
}

func (c *command) historyServe() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "serve [--listen HOST:PORT]",
		Short: "Serve the pages of your jobs that have ended",
		Long: `Serve the pages of your jobs that have ended, and a list of them, over HTTP until it is interrupted. A job's page is what
its application master left in the job's directory on HDFS. Whoever can reach the address can see your jobs: by default
that is who is logged in on this host.

With the property tfos.history.url in the Hadoop configuration of who submits, YARN sends browsers there once a job has
ended: <url>/application_…`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := c.configured(cmd)
			if err != nil {
				return err
			}
			defer cluster.Close()
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return exit.Errorf(exit.Usage, "--listen %s: %w", listen, err)
			}
			fmt.Fprintf(c.stderr, "serving the jobs of %s at http://%s/\n", cluster.User, l.Addr())
			return cluster.ServeHistory(cmd.Context(), l)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "localhost:18188", "`HOST:PORT` to serve at")
	return cmd
}
