package yarnrpc

import (
	"google.golang.org/protobuf/proto"
	"slices"

	"tfos/internal/hadoop/pb"
	"tfos/internal/yarn"
)

// askToPB asks for containers anywhere. Guaranteed execution is the default of the field that is
// left out.
func askToPB(a yarn.Ask) *pb.ResourceRequestProto {
	return &pb.ResourceRequestProto{
		Priority:            priorityToPB(a.Priority),
		ResourceName:        proto.String(anywhere),
		Capability:          resourceToPB(a.Resource),
		NumContainers:       proto.Int32(int32(a.Count)),
		RelaxLocality:       proto.Bool(true),
		NodeLabelExpression: some(a.NodeLabel),
		AllocationRequestId: &a.ID,
	}
}

func askFromPB(p *pb.ResourceRequestProto) yarn.Ask {
	return yarn.Ask{
		ID:        p.GetAllocationRequestId(),
		Priority:  p.GetPriority().GetPriority(),
		Resource:  resourceFromPB(p.GetCapability()),
		Count:     int(p.GetNumContainers()),
		NodeLabel: p.GetNodeLabelExpression(),
	}
}

func allocateRequestToPB(r yarn.AllocateRequest) *pb.AllocateRequestProto {
	p := &pb.AllocateRequestProto{
		ResponseId:  &r.ResponseID,
		Progress:    &r.Progress,
		Ask:         each(r.Asks, askToPB),
		Release:     each(r.Releases, containerIDToPB),
		TrackingUrl: some(r.TrackingURL),
	}
	if len(r.BlacklistAdd)+len(r.BlacklistRemove) > 0 {
		p.BlacklistRequest = &pb.ResourceBlacklistRequestProto{BlacklistAdditions: r.BlacklistAdd, BlacklistRemovals: r.BlacklistRemove}
	}
	return p
}

// allocateRequestFromPB reads asks for any place alone: tfos makes no others.
func allocateRequestFromPB(p *pb.AllocateRequestProto) yarn.AllocateRequest {
	r := yarn.AllocateRequest{
		ResponseID:      p.GetResponseId(),
		Progress:        p.GetProgress(),
		Releases:        each(p.GetRelease(), containerIDFromPB),
		BlacklistAdd:    p.GetBlacklistRequest().GetBlacklistAdditions(),
		BlacklistRemove: p.GetBlacklistRequest().GetBlacklistRemovals(),
		TrackingURL:     p.GetTrackingUrl(),
	}
	for _, ask := range p.GetAsk() {
		if ask.GetResourceName() == anywhere {
			r.Asks = append(r.Asks, askFromPB(ask))
		}
	}
	return r
}

func allocateResponseToPB(r yarn.AllocateResponse) *pb.AllocateResponseProto {
	p := &pb.AllocateResponseProto{
		ResponseId:                     &r.ResponseID,
		AllocatedContainers:            each(r.Granted, containerToPB),
		CompletedContainerStatuses:     each(r.Completed, containerStatusToPB),
		ContainersFromPreviousAttempts: each(r.Kept, containerToPB),
		UpdatedNodes:                   each(r.Nodes, nodeReportToPB),
		NmTokens:                       each(r.NMTokens, nmTokenToPB),
		AmRmToken:                      tokenToPB(r.AMRMToken),
		Limit:                          resourceToPB(r.Limit),
		NumClusterNodes:                proto.Int32(int32(r.ClusterNodes)),
	}
	preempt := func(id yarn.ContainerID) *pb.PreemptionContainerProto {
		return &pb.PreemptionContainerProto{Id: containerIDToPB(id)}
	}
	if len(r.Preempt.Strict)+len(r.Preempt.Wish) > 0 {
		p.Preempt = &pb.PreemptionMessageProto{}
		if len(r.Preempt.Strict) > 0 {
			p.Preempt.StrictContract = &pb.StrictPreemptionContractProto{Container: each(r.Preempt.Strict, preempt)}
		}
		if len(r.Preempt.Wish) > 0 {
			p.Preempt.Contract = &pb.PreemptionContractProto{Container: each(r.Preempt.Wish, preempt)}
		}
	}
	return p
}

func allocateResponseFromPB(p *pb.AllocateResponseProto) yarn.AllocateResponse {
	preempted := func(p *pb.PreemptionContainerProto) yarn.ContainerID { return containerIDFromPB(p.GetId()) }
	return yarn.AllocateResponse{
		ResponseID:   p.GetResponseId(),
		Granted:      each(p.GetAllocatedContainers(), containerFromPB),
		Completed:    each(p.GetCompletedContainerStatuses(), containerStatusFromPB),
		Kept:         each(p.GetContainersFromPreviousAttempts(), containerFromPB),
		Nodes:        each(p.GetUpdatedNodes(), nodeReportFromPB),
		NMTokens:     each(p.GetNmTokens(), nmTokenFromPB),
		AMRMToken:    tokenFromPB(p.GetAmRmToken()),
		Limit:        resourceFromPB(p.GetLimit()),
		ClusterNodes: int(p.GetNumClusterNodes()),
		Preempt: yarn.Preemption{
			Strict: each(p.GetPreempt().GetStrictContract().GetContainer(), preempted),
			Wish:   each(p.GetPreempt().GetContract().GetContainer(), preempted),
		},
	}
}

func registrationToPB(r yarn.Registration) *pb.RegisterApplicationMasterRequestProto {
	port := r.Port
	if port == 0 {
		port = -1 // none; zero is refused by no one, but shown as a port
	}
	return &pb.RegisterApplicationMasterRequestProto{Host: &r.Host, RpcPort: &port, TrackingUrl: &r.TrackingURL}
}

func registrationFromPB(p *pb.RegisterApplicationMasterRequestProto) yarn.Registration {
	return yarn.Registration{Host: p.GetHost(), Port: max(p.GetRpcPort(), 0), TrackingURL: p.GetTrackingUrl()}
}

func registeredToPB(r yarn.Registered) *pb.RegisterApplicationMasterResponseProto {
	counts := []pb.SchedulerResourceTypes{pb.SchedulerResourceTypes_MEMORY}
	if r.CountsVCores {
		counts = append(counts, pb.SchedulerResourceTypes_CPU)
	}
	return &pb.RegisterApplicationMasterResponseProto{
		MaximumCapability:              resourceToPB(r.Max),
		Queue:                          &r.Queue,
		ResourceTypes:                  each(r.ResourceTypes, resourceTypeToPB),
		SchedulerResourceTypes:         counts,
		ContainersFromPreviousAttempts: each(r.Kept, containerToPB),
		NmTokensFromPreviousAttempts:   each(r.NMTokens, nmTokenToPB),
	}
}

func registeredFromPB(p *pb.RegisterApplicationMasterResponseProto) yarn.Registered {
	return yarn.Registered{
		Max:           resourceFromPB(p.GetMaximumCapability()),
		Queue:         p.GetQueue(),
		ResourceTypes: each(p.GetResourceTypes(), resourceTypeFromPB),
		CountsVCores:  slices.Contains(p.GetSchedulerResourceTypes(), pb.SchedulerResourceTypes_CPU),
		Kept:          each(p.GetContainersFromPreviousAttempts(), containerFromPB),
		NMTokens:      each(p.GetNmTokensFromPreviousAttempts(), nmTokenFromPB),
	}
}
