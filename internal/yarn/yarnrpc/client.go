package yarnrpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
	"tfos/internal/pause"
	"tfos/internal/yarn"
)

// The protocols, as the header of every call names them.
const (
	clientProtocol     = "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB"
	masterProtocol     = "org.apache.hadoop.yarn.api.ApplicationMasterProtocolPB"
	containersProtocol = "org.apache.hadoop.yarn.api.ContainerManagementProtocolPB"
)

// caller makes the calls of one protocol.
type caller struct{ rpc *rpc.Client }

// call is one call that does no harm when the service sees it twice, which is so for nearly all of
// YARN's.
func (c caller) call(ctx context.Context, method string, req, resp proto.Message) error {
	return translate(c.rpc.Call(ctx, method, req, resp, rpc.Idempotent()))
}

// Client speaks ApplicationClientProtocol: it submits, watches and kills applications, and asks
// about the cluster. It is safe for concurrent use.
type Client struct{ caller }

// NewClient returns a client. It connects when it is first used. tok gives an RM delegation token;
// nil: SIMPLE.
func NewClient(o Options, tok func() (token.Token, bool)) *Client {
	return &Client{caller{rpc.NewClient(o.rpc(clientProtocol, tok))}}
}

// Close ends the connection.
func (c *Client) Close() error { return c.rpc.Close() }

// NewApplication reserves an id, which is lost if it is not used.
func (c *Client) NewApplication(ctx context.Context) (yarn.NewApplication, error) {
	resp := &pb.GetNewApplicationResponseProto{}
	if err := c.call(ctx, "getNewApplication", &pb.GetNewApplicationRequestProto{}, resp); err != nil {
		return yarn.NewApplication{}, err
	}
	return yarn.NewApplication{ID: applicationIDFromPB(resp.GetApplicationId()), Max: resourceFromPB(resp.GetMaximumCapability())}, nil
}

// Submit hands an application over. The ResourceManager looks at the queue and the user's rights
// after it answered: an application that it refuses then shows as failed without an attempt.
// Submitting the same id again does nothing.
func (c *Client) Submit(ctx context.Context, s yarn.Submission) error {
	if err := s.Validate(); err != nil {
		return err
	}
	p, err := submissionToPB(s)
	if err != nil {
		return fmt.Errorf("submit %s: %w", s.ID, err)
	}
	err = c.call(ctx, "submitApplication", &pb.SubmitApplicationRequestProto{ApplicationSubmissionContext: p}, &pb.SubmitApplicationResponseProto{})
	var remote *rpc.RemoteError
	if errors.As(err, &remote) && !remote.Fatal && remote.Method != "" {
		return &meant{err, yarn.ErrRefused}
	}
	return err
}

// Report is what the ResourceManager knows of an application; yarn.ErrUnknownApplication if it
// never had it or forgot it.
func (c *Client) Report(ctx context.Context, id yarn.ApplicationID) (yarn.Report, error) {
	resp := &pb.GetApplicationReportResponseProto{}
	err := c.call(ctx, "getApplicationReport", &pb.GetApplicationReportRequestProto{ApplicationId: applicationIDToPB(id)}, resp)
	if err != nil {
		return yarn.Report{}, err
	}
	return reportFromPB(resp.GetApplicationReport()), nil
}

// Applications lists the applications that match all that q names, in no order.
func (c *Client) Applications(ctx context.Context, q yarn.ApplicationsQuery) ([]yarn.Report, error) {
	resp := &pb.GetApplicationsResponseProto{}
	if err := c.call(ctx, "getApplications", queryToPB(q), resp); err != nil {
		return nil, err
	}
	return each(resp.GetApplications(), reportFromPB), nil
}

// Kill ends an application and returns when it has ended: it asks again and again until the
// ResourceManager says so. An application that ended by itself is killed well enough.
func (c *Client) Kill(ctx context.Context, id yarn.ApplicationID, diagnostics string) error {
	req := &pb.KillApplicationRequestProto{ApplicationId: applicationIDToPB(id), Diagnostics: some(diagnostics)}
	return until(ctx, "kill "+id.String(), func() (bool, error) {
		resp := &pb.KillApplicationResponseProto{}
		err := c.call(ctx, "forceKillApplication", req, resp)
		return resp.GetIsKillCompleted(), err
	})
}

// Pauses between the calls of until.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
	// untilTimeout bounds until where the context has no deadline.
	untilTimeout = time.Minute
)

// until makes a call that says whether its work is done, until it is.
func until(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, untilTimeout)
	defer cancel()
	for pauses := pause.Growing(firstPause, lastPause); ; {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := pauses.Wait(ctx); err != nil {
			return fmt.Errorf("%s: not done yet: %w", what, err)
		}
	}
}

// Nodes lists the cluster's nodes, whatever their state.
func (c *Client) Nodes(ctx context.Context) ([]yarn.NodeReport, error) {
	resp := &pb.GetClusterNodesResponseProto{}
	if err := c.call(ctx, "getClusterNodes", &pb.GetClusterNodesRequestProto{}, resp); err != nil {
		return nil, err
	}
	return each(resp.GetNodeReports(), nodeReportFromPB), nil
}

// NodeLabels lists the labels that nodes can have; none where the cluster has no labels, or is
// older than Hadoop 2.8.
func (c *Client) NodeLabels(ctx context.Context) ([]yarn.NodeLabel, error) {
	resp := &pb.GetClusterNodeLabelsResponseProto{}
	if err := c.call(ctx, "getClusterNodeLabels", &pb.GetClusterNodeLabelsRequestProto{}, resp); err != nil && !errors.Is(err, yarn.ErrUnsupported) {
		return nil, err
	}
	return each(resp.GetNodeLabels(), nodeLabelFromPB), nil
}

// Queue describes one queue, without its children; yarn.ErrUnknownQueue if there is none of that
// name.
func (c *Client) Queue(ctx context.Context, name string) (yarn.Queue, error) {
	return c.queue(ctx, &pb.GetQueueInfoRequestProto{QueueName: &name})
}

// Queues describes the tree of queues from the root down.
func (c *Client) Queues(ctx context.Context) (yarn.Queue, error) {
	return c.queue(ctx, &pb.GetQueueInfoRequestProto{QueueName: proto.String("root"), IncludeChildQueues: proto.Bool(true), Recursive: proto.Bool(true)})
}

func (c *Client) queue(ctx context.Context, req *pb.GetQueueInfoRequestProto) (yarn.Queue, error) {
	resp := &pb.GetQueueInfoResponseProto{}
	if err := c.call(ctx, "getQueueInfo", req, resp); err != nil {
		return yarn.Queue{}, err
	}
	if resp.GetQueueInfo() == nil { // the ResourceManager logs the exception and answers nothing
		return yarn.Queue{}, fmt.Errorf("queue %q: %w", req.GetQueueName(), yarn.ErrUnknownQueue)
	}
	return queueFromPB(resp.GetQueueInfo()), nil
}

// SubmitQueues names the queues that the user may submit to, by whatever names the scheduler has
// for them.
func (c *Client) SubmitQueues(ctx context.Context) ([]string, error) {
	resp := &pb.GetQueueUserAclsInfoResponseProto{}
	if err := c.call(ctx, "getQueueUserAcls", &pb.GetQueueUserAclsInfoRequestProto{}, resp); err != nil {
		return nil, err
	}
	var names []string
	for _, q := range resp.GetQueueUserAcls() {
		if slices.Contains(q.GetUserAcls(), pb.QueueACLProto_QACL_SUBMIT_APPLICATIONS) {
			names = append(names, q.GetQueueName())
		}
	}
	return names, nil
}

// ResourceTypes lists what the cluster counts, memory and vcores included; yarn.ErrUnsupported from
// a Hadoop before 2.10, which counts those two alone.
func (c *Client) ResourceTypes(ctx context.Context) ([]yarn.ResourceType, error) {
	resp := &pb.GetAllResourceTypeInfoResponseProto{}
	if err := c.call(ctx, "getResourceTypeInfo", &pb.GetAllResourceTypeInfoRequestProto{}, resp); err != nil {
		return nil, err
	}
	return each(resp.GetResourceTypeInfo(), resourceTypeFromPB), nil
}

// Since32 reports whether the ResourceManager is of Hadoop 3.2 or newer: no answer tells a version,
// but those know a request that older ones do not.
func (c *Client) Since32(ctx context.Context) (bool, error) {
	nothing := &pb.GetAllResourceTypeInfoRequestProto{} // neither what is asked nor what is answered matters
	err := c.call(ctx, "getClusterNodeAttributes", nothing, nothing)
	if errors.Is(err, yarn.ErrUnsupported) {
		return false, nil
	}
	return err == nil, err
}

// Attempts lists the attempts of an application.
func (c *Client) Attempts(ctx context.Context, id yarn.ApplicationID) ([]yarn.AttemptReport, error) {
	resp := &pb.GetApplicationAttemptsResponseProto{}
	if err := c.call(ctx, "getApplicationAttempts", &pb.GetApplicationAttemptsRequestProto{ApplicationId: applicationIDToPB(id)}, resp); err != nil {
		return nil, err
	}
	return each(resp.GetApplicationAttempts(), attemptReportFromPB), nil
}

// Containers lists the containers of an attempt that the ResourceManager still remembers: those
// alive.
func (c *Client) Containers(ctx context.Context, id yarn.AttemptID) ([]yarn.ContainerReport, error) {
	resp := &pb.GetContainersResponseProto{}
	if err := c.call(ctx, "getContainers", &pb.GetContainersRequestProto{ApplicationAttemptId: attemptIDToPB(id)}, resp); err != nil {
		return nil, err
	}
	return each(resp.GetContainers(), containerReportFromPB), nil
}

// ClusterMetrics counts the cluster's nodes.
func (c *Client) ClusterMetrics(ctx context.Context) (yarn.ClusterMetrics, error) {
	resp := &pb.GetClusterMetricsResponseProto{}
	if err := c.call(ctx, "getClusterMetrics", &pb.GetClusterMetricsRequestProto{}, resp); err != nil {
		return yarn.ClusterMetrics{}, err
	}
	return metricsFromPB(resp.GetClusterMetrics()), nil
}

// DelegationToken gets a token with which others may speak to the ResourceManager as us. It is zero
// where the cluster gives none, because it trusts names. Its service is left as it came, for the
// caller to set.
func (c *Client) DelegationToken(ctx context.Context, renewer string) (token.Token, error) {
	resp := &pb.GetDelegationTokenResponseProto{}
	if err := c.call(ctx, "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: &renewer}, resp); err != nil {
		return token.Token{}, err
	}
	return tokenFromPB(resp.GetToken()), nil
}
