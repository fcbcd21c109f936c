package yarnrpc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
	"tfos/internal/yarn"
)

// A method decodes one request, has it answered and encodes the response.
type method func(ctx context.Context, c rpc.Caller, request []byte) (proto.Message, error)

// serve registers a protocol with its methods. An error of a method becomes the Java exception that
// a real service would throw, so that any client knows it.
func serve(s *rpc.Server, protocol string, methods map[string]method) {
	s.Register(protocol, 1, func(ctx context.Context, c rpc.Caller, name string, request []byte) (proto.Message, error) {
		m, ok := methods[name]
		if !ok {
			return nil, rpc.NoSuchMethod(protocol, name)
		}
		resp, err := m(ctx, c, request)
		if err != nil {
			return nil, thrown(err)
		}
		return resp, nil
	})
}

// answer makes a method of a function on messages.
func answer[Req any, PReq interface {
	*Req
	proto.Message
}, Resp proto.Message](f func(ctx context.Context, c rpc.Caller, req PReq) (Resp, error)) method {
	return func(ctx context.Context, c rpc.Caller, request []byte) (proto.Message, error) {
		req := PReq(new(Req))
		if err := proto.Unmarshal(request, req); err != nil {
			return nil, &rpc.JavaError{Class: "org.apache.hadoop.ipc.RpcServerException", Message: err.Error()}
		}
		return f(ctx, c, req)
	}
}

const (
	yarnExceptions = "org.apache.hadoop.yarn.exceptions."
	classYarn      = yarnExceptions + "YarnException"
)

// exceptions are the classes of yarn's errors.
var exceptions = []struct {
	err   error
	class string
}{
	{yarn.ErrNotRegistered, yarnExceptions + "ApplicationMasterNotRegisteredException"},
	{yarn.ErrAttemptGone, yarnExceptions + "ApplicationAttemptNotFoundException"},
	{yarn.ErrOutOfStep, yarnExceptions + "InvalidApplicationMasterRequestException"},
	{yarn.ErrUnknownApplication, yarnExceptions + "ApplicationNotFoundException"},
	{yarn.ErrUnknownContainer, yarnExceptions + "ContainerNotFoundException"},
	{yarn.ErrInvalidResource, yarnExceptions + "InvalidResourceRequestException"},
	{yarn.ErrInvalidBlacklist, yarnExceptions + "InvalidResourceBlacklistRequestException"},
	{yarn.ErrInvalidContainer, yarnExceptions + "InvalidContainerException"},
	{yarn.ErrNotReady, yarnExceptions + "NMNotYetReadyException"},
	{yarn.ErrUnauthorized, "org.apache.hadoop.security.AccessControlException"},
}

// thrown is the exception for an error: one that is Java's already stays as it is.
func thrown(err error) *rpc.JavaError {
	var java *rpc.JavaError
	if errors.As(err, &java) {
		return java
	}
	for _, e := range exceptions {
		if errors.Is(err, e.err) {
			return &rpc.JavaError{Class: e.class, Message: err.Error()}
		}
	}
	return &rpc.JavaError{Class: classYarn, Message: err.Error()}
}

// ClientService is what serves ApplicationClientProtocol.
type ClientService interface {
	NewApplication(ctx context.Context, c rpc.Caller) (yarn.NewApplication, error)
	Submit(ctx context.Context, c rpc.Caller, s yarn.Submission) error
	Report(ctx context.Context, c rpc.Caller, id yarn.ApplicationID) (yarn.Report, error)
	Applications(ctx context.Context, c rpc.Caller, q yarn.ApplicationsQuery) ([]yarn.Report, error)
	// Kill begins to end an application and reports whether it has ended.
	Kill(ctx context.Context, c rpc.Caller, id yarn.ApplicationID, diagnostics string) (bool, error)
	// Nodes lists the nodes in these states; none: in all.
	Nodes(ctx context.Context, c rpc.Caller, states []yarn.NodeState) ([]yarn.NodeReport, error)
	// Queue describes a queue with its children, which are left out of the answer unless they were
	// asked for. For a queue that there is not, yarn.ErrUnknownQueue.
	Queue(ctx context.Context, c rpc.Caller, name string) (yarn.Queue, error)
	ResourceTypes(ctx context.Context, c rpc.Caller) ([]yarn.ResourceType, error)
	Attempts(ctx context.Context, c rpc.Caller, id yarn.ApplicationID) ([]yarn.AttemptReport, error)
	Containers(ctx context.Context, c rpc.Caller, id yarn.AttemptID) ([]yarn.ContainerReport, error)
	ClusterMetrics(ctx context.Context, c rpc.Caller) (yarn.ClusterMetrics, error)
	// DelegationToken is the zero token where none is given.
	DelegationToken(ctx context.Context, c rpc.Caller, renewer string) (token.Token, error)
}

// ServeClient registers ApplicationClientProtocol.
func ServeClient(s *rpc.Server, h ClientService) {
	serve(s, clientProtocol, map[string]method{
		"getNewApplication": answer(func(ctx context.Context, c rpc.Caller, _ *pb.GetNewApplicationRequestProto) (*pb.GetNewApplicationResponseProto, error) {
			n, err := h.NewApplication(ctx, c)
			return &pb.GetNewApplicationResponseProto{ApplicationId: applicationIDToPB(n.ID), MaximumCapability: resourceToPB(n.Max)}, err
		}),
		"submitApplication": answer(func(ctx context.Context, c rpc.Caller, r *pb.SubmitApplicationRequestProto) (*pb.SubmitApplicationResponseProto, error) {
			return &pb.SubmitApplicationResponseProto{}, h.Submit(ctx, c, submissionFromPB(r.GetApplicationSubmissionContext()))
		}),
		"getApplicationReport": answer(func(ctx context.Context, c rpc.Caller, r *pb.GetApplicationReportRequestProto) (*pb.GetApplicationReportResponseProto, error) {
			report, err := h.Report(ctx, c, applicationIDFromPB(r.GetApplicationId()))
			return &pb.GetApplicationReportResponseProto{ApplicationReport: reportToPB(report)}, err
		}),
		"getApplications": answer(func(ctx context.Context, c rpc.Caller, r *pb.GetApplicationsRequestProto) (*pb.GetApplicationsResponseProto, error) {
			reports, err := h.Applications(ctx, c, queryFromPB(r))
			return &pb.GetApplicationsResponseProto{Applications: each(reports, reportToPB)}, err
		}),
		"forceKillApplication": answer(func(ctx context.Context, c rpc.Caller, r *pb.KillApplicationRequestProto) (*pb.KillApplicationResponseProto, error) {
			done, err := h.Kill(ctx, c, applicationIDFromPB(r.GetApplicationId()), r.GetDiagnostics())
			return &pb.KillApplicationResponseProto{IsKillCompleted: &done}, err
		}),
		"getClusterNodes": answer(func(ctx context.Context, c rpc.Caller, r *pb.GetClusterNodesRequestProto) (*pb.GetClusterNodesResponseProto, error) {
			states := each(r.GetNodeStates(), func(s pb.NodeStateProto) yarn.NodeState { return yarn.NodeState(s) })
			nodes, err := h.Nodes(ctx, c, states)
			return &pb.GetClusterNodesResponseProto{NodeReports: each(nodes, nodeReportToPB)}, err
		}),
		"getQueueInfo": answer(func(ctx context.Context, c rpc.Caller, r *pb.GetQueueInfoRequestProto) (*pb.GetQueueInfoResponseProto, error) {
			q, err := h.Queue(ctx, c, r.GetQueueName())
			if errors.Is(err, yarn.ErrUnknownQueue) { // as the ResourceManager has it
				return &pb.GetQueueInfoResponseProto{}, nil
			}
			if !r.GetIncludeChildQueues() {
				q.Children = nil
			}
			return &pb.GetQueueInfoResponseProto{QueueInfo: queueToPB(q)}, err
		}),
		"getResourceTypeInfo": answer(func(ctx context.Context, c rpc.Caller, _ *pb.GetAllResourceTypeInfoRequestProto) (*pb.GetAllResourceTypeInfoResponseProto, error) {
			types, err := h.ResourceTypes(ctx, c)
			return &pb.GetAllResourceTypeInfoResponseProto{ResourceTypeInfo: each(types, resourceTypeToPB)}, err
		}),
		"getApplicationAttempts": answer(func(ctx context.Context, c rpc.Caller, r *pb.GetApplicationAttemptsRequestProto) (*pb.GetApplicationAttemptsResponseProto, error) {
			attempts, err := h.Attempts(ctx, c, applicationIDFromPB(r.GetApplicationId()))
			return &pb.GetApplicationAttemptsResponseProto{ApplicationAttempts: each(attempts, attemptReportToPB)}, err
		}),
		"getContainers": answer(func(ctx context.Context, c rpc.Caller, r *pb.GetContainersRequestProto) (*pb.GetContainersResponseProto, error) {
			containers, err := h.Containers(ctx, c, attemptIDFromPB(r.GetApplicationAttemptId()))
			return &pb.GetContainersResponseProto{Containers: each(containers, containerReportToPB)}, err
		}),
		"getClusterMetrics": answer(func(ctx context.Context, c rpc.Caller, _ *pb.GetClusterMetricsRequestProto) (*pb.GetClusterMetricsResponseProto, error) {
			m, err := h.ClusterMetrics(ctx, c)
			return &pb.GetClusterMetricsResponseProto{ClusterMetrics: metricsToPB(m)}, err
		}),
		"getDelegationToken": answer(func(ctx context.Context, c rpc.Caller, r *pb.GetDelegationTokenRequestProto) (*pb.GetDelegationTokenResponseProto, error) {
			t, err := h.DelegationToken(ctx, c, r.GetRenewer())
			return &pb.GetDelegationTokenResponseProto{Token: tokenToPB(t)}, err
		}),
	})
}

// MasterService is what serves ApplicationMasterProtocol. Which attempt calls is in the caller's
// token.
type MasterService interface {
	Register(ctx context.Context, c rpc.Caller, r yarn.Registration) (yarn.Registered, error)
	Allocate(ctx context.Context, c rpc.Caller, r yarn.AllocateRequest) (yarn.AllocateResponse, error)
	// Finish begins to unregister and reports whether that is stored.
	Finish(ctx context.Context, c rpc.Caller, final yarn.FinalStatus, diagnostics, trackingURL string) (bool, error)
}

// ServeMaster registers ApplicationMasterProtocol.
func ServeMaster(s *rpc.Server, h MasterService) {
	serve(s, masterProtocol, map[string]method{
		"registerApplicationMaster": answer(func(ctx context.Context, c rpc.Caller, r *pb.RegisterApplicationMasterRequestProto) (*pb.RegisterApplicationMasterResponseProto, error) {
			registered, err := h.Register(ctx, c, registrationFromPB(r))
			return registeredToPB(registered), err
		}),
		"allocate": answer(func(ctx context.Context, c rpc.Caller, r *pb.AllocateRequestProto) (*pb.AllocateResponseProto, error) {
			resp, err := h.Allocate(ctx, c, allocateRequestFromPB(r))
			return allocateResponseToPB(resp), err
		}),
		"finishApplicationMaster": answer(func(ctx context.Context, c rpc.Caller, r *pb.FinishApplicationMasterRequestProto) (*pb.FinishApplicationMasterResponseProto, error) {
			done, err := h.Finish(ctx, c, finalStatuses.FromWire(r.GetFinalApplicationStatus()), r.GetDiagnostics(), r.GetTrackingUrl())
			return &pb.FinishApplicationMasterResponseProto{IsUnregistered: &done}, err
		}),
	})
}

// ContainerService is what serves ContainerManagementProtocol, for one container at a time. Which
// attempt and node a caller may speak for is in its token.
type ContainerService interface {
	// Start starts a container. containerToken is what the ResourceManager put into the grant.
	Start(ctx context.Context, c rpc.Caller, containerToken token.Token, l yarn.LaunchContext) (yarn.ContainerID, error)
	Stop(ctx context.Context, c rpc.Caller, id yarn.ContainerID) error
	Status(ctx context.Context, c rpc.Caller, id yarn.ContainerID) (yarn.ContainerStatus, error)
	Signal(ctx context.Context, c rpc.Caller, id yarn.ContainerID, s yarn.Signal) error
}

// ServeContainers registers ContainerManagementProtocol.
func ServeContainers(s *rpc.Server, h ContainerService) {
	serve(s, containersProtocol, map[string]method{
		"startContainers": answer(func(ctx context.Context, c rpc.Caller, r *pb.StartContainersRequestProto) (*pb.StartContainersResponseProto, error) {
			resp := &pb.StartContainersResponseProto{}
			for _, start := range r.GetStartContainerRequest() {
				id, err := h.Start(ctx, c, tokenFromPB(start.GetContainerToken()), launchFromPB(start.GetContainerLaunchContext()))
				sort(id, err, &resp.SucceededRequests, &resp.FailedRequests)
			}
			return resp, nil
		}),
		"stopContainers": answer(func(ctx context.Context, c rpc.Caller, r *pb.StopContainersRequestProto) (*pb.StopContainersResponseProto, error) {
			resp := &pb.StopContainersResponseProto{}
			for _, id := range each(r.GetContainerId(), containerIDFromPB) {
				sort(id, h.Stop(ctx, c, id), &resp.SucceededRequests, &resp.FailedRequests)
			}
			return resp, nil
		}),
		"getContainerStatuses": answer(func(ctx context.Context, c rpc.Caller, r *pb.GetContainerStatusesRequestProto) (*pb.GetContainerStatusesResponseProto, error) {
			resp := &pb.GetContainerStatusesResponseProto{}
			for _, id := range each(r.GetContainerId(), containerIDFromPB) {
				status, err := h.Status(ctx, c, id)
				if err != nil {
					resp.FailedRequests = append(resp.FailedRequests, containerErrorToPB(id, err))
					continue
				}
				resp.Status = append(resp.Status, containerStatusToPB(status))
			}
			return resp, nil
		}),
		"signalToContainer": answer(func(ctx context.Context, c rpc.Caller, r *pb.SignalContainerRequestProto) (*pb.SignalContainerResponseProto, error) {
			return &pb.SignalContainerResponseProto{}, h.Signal(ctx, c, containerIDFromPB(r.GetContainerId()), signals.FromWire(r.GetCommand()))
		}),
	})
}

// sort puts what came of one container into the right list.
func sort(id yarn.ContainerID, err error, succeeded *[]*pb.ContainerIdProto, failed *[]*pb.ContainerExceptionMapProto) {
	if err != nil {
		*failed = append(*failed, containerErrorToPB(id, err))
		return
	}
	*succeeded = append(*succeeded, containerIDToPB(id))
}

func containerErrorToPB(id yarn.ContainerID, err error) *pb.ContainerExceptionMapProto {
	java := thrown(err)
	return &pb.ContainerExceptionMapProto{
		ContainerId: containerIDToPB(id),
		Exception:   &pb.SerializedExceptionProto{ClassName: &java.Class, Message: &java.Message},
	}
}
