package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/agent/port"
	"tfos/internal/control"
	"tfos/internal/endpoint"
	"tfos/internal/feed/serve"
	"tfos/internal/fileserver"
)

// logsWait bounds how long followers of the logs have to read their end.
const logsWait = 2 * time.Second

// services are what an agent holds and serves from its beginning to its end.
type services struct {
	agent   *Agent
	port    *port.Port           // the task's
	witness *endpoint.Witness    // proves to peers that the port is held
	logs    *control.AgentServer // for clients
	api     *api                 // for the program
	files   *fileserver.Server   // filesystems, for the program
	feed    *serve.Server        // rows from Spark, for the program; nil: nobody feeds it
	running sync.WaitGroup       // of all that serve

	witnessPort, logsPort, feedPort int
	apiPath, filesPath, feedPath    string // of the sockets
}

// open opens all of them, or none. What is open answers after start.
func (a *Agent) open() (*services, error) {
	s := &services{agent: a}
	if err := s.open(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *services) open() (err error) {
	a := s.agent
	if s.port, err = port.Hold(port.ReusePort); err != nil {
		return err
	}
	proofs, err := orPort(a.o.Witness, a.o.Host, &s.witnessPort)
	if err != nil {
		return fmt.Errorf("prove that the task's port is held: %w", err)
	}
	s.witness = endpoint.NewWitness(proofs, a.proof(a.task), a.log)
	if a.o.Fed {
		if err := s.openFeed(); err != nil {
			return fmt.Errorf("serve the feed: %w", err)
		}
	}
	readers, err := orPort(a.o.Listener, a.o.Host, &s.logsPort)
	if err != nil {
		return fmt.Errorf("serve logs: %w", err)
	}
	if s.logs, err = control.NewAgentServer(readers, a.o.Identity, a.logs, s, a.pages(), a.log); err != nil {
		readers.Close()
		return err
	}
	program, err := orSocket(a.o.Socket, a.ours(), apiSocket)
	if err != nil {
		return fmt.Errorf("serve the program: %w", err)
	}
	s.api, s.apiPath = newAPI(program), program.Addr().String()
	if program, err = orSocket(a.o.FilesSocket, a.ours(), filesSocket); err != nil {
		return fmt.Errorf("serve filesystems to the program: %w", err)
	}
	s.filesPath = program.Addr().String()
	s.files = fileserver.New(fileserver.Options{Files: a.storage, Listener: program, Dir: a.ours(), Logger: a.log.Named("files")})
	return nil
}

// openFeed opens what feeders and the program meet at.
func (s *services) openFeed() error {
	a := s.agent
	feeders, err := orPort(a.o.Feeders, a.o.Host, &s.feedPort)
	if err != nil {
		return err
	}
	program, err := orSocket(a.o.FeedSocket, a.ours(), feedSocket)
	if err != nil {
		feeders.Close()
		return err
	}
	s.feedPath = program.Addr().String()
	s.feed, err = serve.New(serve.Options{Feeders: feeders, Identity: a.o.Identity, Program: program, Dir: a.ours(), Logger: a.log.Named("feed")})
	return err
}

// Order implements control.FeedSource.
func (s *services) Order(o control.FeedOrder) {
	if s.feed != nil {
		s.feed.Order(o)
	}
}

// Feed implements control.FeedSource.
func (s *services) Feed(ctx context.Context, show func(control.FeedState) error) error {
	if s.feed == nil {
		return errors.New("nobody feeds this job, as it need not be attended")
	}
	return s.feed.Watch(ctx, func(f control.FeedState) error {
		f.Port = s.feedPort
		return show(f)
	})
}

// start begins to answer.
func (s *services) start() {
	a := s.agent
	s.running.Go(s.witness.Run)
	s.running.Go(func() {
		if err := s.logs.Run(); err != nil {
			a.log.Error("logs are not served", zap.Error(err))
		}
	})
	s.running.Go(func() { s.api.serve(a) })
	if s.feed != nil {
		s.running.Go(func() {
			if err := s.feed.Run(); err != nil {
				a.log.Error("rows are not served", zap.Error(err))
			}
		})
	}
	s.running.Go(func() {
		if err := s.files.Run(); err != nil {
			a.log.Error("filesystems are not served", zap.Error(err))
		}
	})
}

// close ends and closes what was opened. The port is free last, when nobody says any more that it
// is held.
func (s *services) close() {
	a := s.agent
	a.logs.end()
	if s.feed != nil {
		s.feed.Close()
	}
	if s.logs != nil {
		s.logs.Close(logsWait)
	}
	if s.api != nil {
		s.api.close()
	}
	if s.files != nil {
		s.files.Close()
	}
	if s.witness != nil {
		if err := s.witness.Close(); err != nil {
			a.log.Warn("the port of the proof is left", zap.Error(err))
		}
	}
	s.running.Wait()
	if s.port != nil {
		s.port.Close()
	}
}

// orPort is given, or else any port of this node, which others know as host. number is set to the
// port's.
func orPort(given net.Listener, host string, number *int) (net.Listener, error) {
	l := given
	if l == nil {
		var err error
		if l, err = control.Listen(host); err != nil {
			return nil, err
		}
	}
	_, text, err := net.SplitHostPort(l.Addr().String())
	if err == nil {
		*number, err = strconv.Atoi(text)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
