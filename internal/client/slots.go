package client

import (
	"context"
	"errors"
	"net"
	"sync"

	"go.uber.org/zap"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/listen"
	"tfos/internal/miniyarn"
	"tfos/internal/miniyarn/sched"
	"tfos/internal/slots/offer"
	"tfos/internal/yarn"
)

// Slots is where the containers of a job run that Spark's executors have: in slots that Spark's
// tasks offer.
type Slots struct {
	Cluster  *Local
	Listener net.Listener // for those who offer slots
	Agent    string       // file of the agent's binary, which they fetch
}

// StartSlots is StartLocal for such a job: on this machine is its master alone. host is this
// machine's name there, conf lists directories with further files of the Hadoop configuration, such
// as hdfs-site.xml.
func StartSlots(ctx context.Context, root, host string, conf []string, log *zap.Logger) (*Local, error) {
	l, err := startLocal(ctx, root, conf, miniyarn.Options{Apart: true, Nodes: []miniyarn.NodeOptions{{Host: host, Use: sched.Masters}}}, log)
	if err != nil {
		return nil, err
	}
	if l.MasterPort, err = freePort(); err != nil {
		return nil, errors.Join(startError(err), l.Close(false))
	}
	return l, nil
}

// freePort is one that nobody has: masters of the job have it in turn, so that agents elsewhere
// find the next one.
func freePort() (string, error) {
	l, err := control.Listen("")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// collect waits until a job has all the slots it wants. release gives them back; it may be called
// more than once.
func (s *session) collect(ctx context.Context, o Slots, j job.Job) (release func(), err error) {
	size := j.Size()
	server, err := offer.New(offer.Options{
		Listener: o.Listener, Cluster: o.Cluster.yarn, Slots: size, Capacity: largest(j), Agent: o.Agent, Dir: o.Cluster.dir, Log: s.c.Log.Named("slots"),
		Lost: func(slot int) { s.out.say(event{Event: "slot", Slot: &slot}) },
	})
	if err != nil {
		return nil, err
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Run(); err != nil {
			s.stop(exit.Errorf(exit.Infrastructure, "slots are not taken any more: %w", err))
		}
	})
	end := sync.OnceFunc(func() {
		server.Finish()
		server.Close()
		running.Wait()
	})
	defer func() {
		if err != nil {
			end()
		}
	}()
	_, sum, err := stage.Digest(o.Agent)
	if err != nil {
		return nil, exit.Errorf(exit.Usage, "%w", err)
	}
	pem, err := server.Identity(feederValid)
	if err != nil {
		return nil, err
	}
	address, err := listen.Address(s.host, server.Addr())
	if err != nil {
		return nil, err
	}
	s.out.say(event{Event: "slots", Address: address, Identity: string(pem), SHA256: sum})
	if err := server.Wait(ctx); err != nil {
		return nil, exit.Errorf(exit.Infrastructure, "%d of the %d nodes found no place in Spark's executors: %w", server.Missing(), size, err)
	}
	return end, nil
}

// largest is what a slot has that any of the job's tasks fits in.
func largest(j job.Job) yarn.Resource {
	var most yarn.Resource
	for _, r := range j.Roles {
		has := r.YARN()
		most.MemoryMiB, most.VCores = max(most.MemoryMiB, has.MemoryMiB), max(most.VCores, has.VCores)
	}
	return most
}
