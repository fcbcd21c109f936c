package yarnrpc

import (
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/yarn"
)

func reportToPB(r yarn.Report) *pb.ApplicationReportProto {
	return &pb.ApplicationReportProto{
		ApplicationId:               applicationIDToPB(r.ID),
		CurrentApplicationAttemptId: attemptIDToPB(r.Attempt),
		Name:                        &r.Name,
		ApplicationType:             &r.Type,
		User:                        &r.User,
		Queue:                       &r.Queue,
		ApplicationTags:             r.Tags,
		YarnApplicationState:        applicationStates.ToWire(r.State),
		FinalApplicationStatus:      finalStatuses.ToWire(r.Final),
		Host:                        some(r.Host),
		RpcPort:                     &r.Port,
		TrackingUrl:                 some(r.TrackingURL),
		OriginalTrackingUrl:         some(r.OriginalURL),
		Diagnostics:                 &r.Diagnostics,
		Progress:                    &r.Progress,
		StartTime:                   timeToPB(r.Started),
		LaunchTime:                  timeToPB(r.Launched),
		FinishTime:                  timeToPB(r.Finished),
		AppResource_Usage: &pb.ApplicationResourceUsageReportProto{
			NumUsedContainers: proto.Int32(int32(r.Containers)), UsedResources: resourceToPB(r.Used),
		},
	}
}

// reportFromPB takes the numbers that the ResourceManager gives for "none", which are negative, for
// none.
func reportFromPB(p *pb.ApplicationReportProto) yarn.Report {
	usage := p.GetAppResource_Usage()
	r := yarn.Report{
		ID:          applicationIDFromPB(p.GetApplicationId()),
		Name:        said(p.GetName()),
		Type:        p.GetApplicationType(),
		User:        p.GetUser(),
		Queue:       p.GetQueue(),
		Tags:        p.GetApplicationTags(),
		State:       applicationStates.FromWire(p.GetYarnApplicationState()),
		Final:       finalStatuses.FromWire(p.GetFinalApplicationStatus()),
		Host:        said(p.GetHost()),
		Port:        max(p.GetRpcPort(), 0),
		TrackingURL: said(p.GetTrackingUrl()),
		OriginalURL: said(p.GetOriginalTrackingUrl()),
		Diagnostics: said(p.GetDiagnostics()),
		Progress:    p.GetProgress(),
		Started:     timeFromPB(p.GetStartTime()),
		Launched:    timeFromPB(p.GetLaunchTime()),
		Finished:    timeFromPB(p.GetFinishTime()),
		Containers:  int(max(usage.GetNumUsedContainers(), 0)),
	}
	if a := p.GetCurrentApplicationAttemptId(); a.GetAttemptId() > 0 {
		r.Attempt = attemptIDFromPB(a)
	}
	if used := resourceFromPB(usage.GetUsedResources()); used.MemoryMiB >= 0 && used.VCores >= 0 {
		r.Used = used
	}
	return r
}

func attemptReportToPB(r yarn.AttemptReport) *pb.ApplicationAttemptReportProto {
	return &pb.ApplicationAttemptReportProto{
		ApplicationAttemptId:        attemptIDToPB(r.ID),
		YarnApplicationAttemptState: attemptStates.ToWire(r.State),
		Host:                        some(r.Host),
		RpcPort:                     &r.Port,
		TrackingUrl:                 some(r.TrackingURL),
		OriginalTrackingUrl:         some(r.OriginalURL),
		Diagnostics:                 &r.Diagnostics,
		AmContainerId:               containerIDToPB(r.Container),
		StartTime:                   timeToPB(r.Started),
		FinishTime:                  timeToPB(r.Finished),
	}
}

func attemptReportFromPB(p *pb.ApplicationAttemptReportProto) yarn.AttemptReport {
	return yarn.AttemptReport{
		ID:          attemptIDFromPB(p.GetApplicationAttemptId()),
		State:       attemptStates.FromWire(p.GetYarnApplicationAttemptState()),
		Host:        said(p.GetHost()),
		Port:        max(p.GetRpcPort(), 0),
		TrackingURL: said(p.GetTrackingUrl()),
		OriginalURL: said(p.GetOriginalTrackingUrl()),
		Diagnostics: said(p.GetDiagnostics()),
		Container:   containerIDFromPB(p.GetAmContainerId()),
		Started:     timeFromPB(p.GetStartTime()),
		Finished:    timeFromPB(p.GetFinishTime()),
	}
}

func containerReportToPB(r yarn.ContainerReport) *pb.ContainerReportProto {
	return &pb.ContainerReportProto{
		ContainerId:         containerIDToPB(r.ID),
		NodeId:              nodeIDToPB(r.Node),
		NodeHttpAddress:     some(r.NodeHTTP),
		Resource:            resourceToPB(r.Resource),
		Priority:            priorityToPB(r.Priority),
		ContainerState:      containerStates.ToWire(r.State),
		ContainerExitStatus: proto.Int32(int32(r.ExitStatus)),
		DiagnosticsInfo:     &r.Diagnostics,
		LogUrl:              some(r.LogURL),
		CreationTime:        timeToPB(r.Created),
		FinishTime:          timeToPB(r.Finished),
	}
}

func containerReportFromPB(p *pb.ContainerReportProto) yarn.ContainerReport {
	return yarn.ContainerReport{
		ID:          containerIDFromPB(p.GetContainerId()),
		Node:        nodeIDFromPB(p.GetNodeId()),
		NodeHTTP:    said(p.GetNodeHttpAddress()),
		Resource:    resourceFromPB(p.GetResource()),
		Priority:    p.GetPriority().GetPriority(),
		State:       containerStates.FromWire(p.GetContainerState()),
		ExitStatus:  yarn.ExitStatus(p.GetContainerExitStatus()),
		Diagnostics: said(p.GetDiagnosticsInfo()),
		LogURL:      said(p.GetLogUrl()),
		Created:     timeFromPB(p.GetCreationTime()),
		Finished:    timeFromPB(p.GetFinishTime()),
	}
}

func queueToPB(q yarn.Queue) *pb.QueueInfoProto {
	state := pb.QueueStateProto_Q_STOPPED
	if q.Running {
		state = pb.QueueStateProto_Q_RUNNING
	}
	p := &pb.QueueInfoProto{
		QueueName: &q.Name, QueuePath: some(q.Path), State: state.Enum(),
		Capacity: &q.Capacity, MaximumCapacity: &q.MaxCapacity, CurrentCapacity: &q.Used,
		AccessibleNodeLabels: q.Labels, DefaultNodeLabelExpression: some(q.DefaultLabel),
		SchedulerType: some(q.Scheduler), ChildQueues: each(q.Children, queueToPB),
	}
	for _, label := range slices.Sorted(maps.Keys(q.Most)) {
		if q.Scheduler == yarn.FairScheduler {
			p.MaxResourceMemory = proto.Int64(q.Most[label].MemoryMiB)
			continue
		}
		p.QueueConfigurationsMap = append(p.QueueConfigurationsMap, &pb.QueueConfigurationsMapProto{
			PartitionName:       &label,
			QueueConfigurations: &pb.QueueConfigurationsProto{EffectiveMaxCapacity: resourceToPB(q.Most[label])},
		})
	}
	return p
}

func queueFromPB(p *pb.QueueInfoProto) yarn.Queue {
	q := yarn.Queue{
		Name: p.GetQueueName(), Path: p.GetQueuePath(), Running: p.GetState() == pb.QueueStateProto_Q_RUNNING,
		Capacity: p.GetCapacity(), MaxCapacity: p.GetMaximumCapacity(), Used: p.GetCurrentCapacity(),
		Labels: p.GetAccessibleNodeLabels(), DefaultLabel: p.GetDefaultNodeLabelExpression(),
		Scheduler: p.GetSchedulerType(), Children: each(p.GetChildQueues(), queueFromPB),
	}
	if q.DefaultLabel == noLabel {
		q.DefaultLabel = ""
	}
	limit := func(label string, most yarn.Resource) {
		if q.Most == nil {
			q.Most = map[string]yarn.Resource{}
		}
		q.Most[label] = most
	}
	for _, c := range p.GetQueueConfigurationsMap() {
		if most := c.GetQueueConfigurations().GetEffectiveMaxCapacity(); most != nil { // from 3.1 on
			limit(c.GetPartitionName(), resourceFromPB(most))
		}
	}
	if p.MaxResourceMemory != nil {
		limit("", yarn.Resource{MemoryMiB: p.GetMaxResourceMemory(), VCores: math.MaxInt32})
	}
	return q
}

// noLabel is how a queue calls the nodes without a label (CommonNodeLabelsManager.NO_LABEL is "",
// its expression this).
const noLabel = "<DEFAULT_PARTITION>"

func nodeLabelFromPB(p *pb.NodeLabelProto) yarn.NodeLabel {
	return yarn.NodeLabel{Name: p.GetName(), Exclusive: p.GetIsExclusive()}
}

func metricsToPB(m yarn.ClusterMetrics) *pb.YarnClusterMetricsProto {
	n := func(i int) *int32 { return proto.Int32(int32(i)) }
	return &pb.YarnClusterMetricsProto{
		NumNodeManagers: n(m.Nodes), NumActiveNms: n(m.Active), NumLostNms: n(m.Lost), NumUnhealthyNms: n(m.Unhealthy),
		NumRebootedNms: n(m.Rebooted), NumShutdownNms: n(m.Shutdown), NumDecommissionedNms: n(m.Decommissioned),
		NumDecommissioningNms: n(m.Decommissioning),
	}
}

func metricsFromPB(p *pb.YarnClusterMetricsProto) yarn.ClusterMetrics {
	return yarn.ClusterMetrics{
		Nodes: int(p.GetNumNodeManagers()), Active: int(p.GetNumActiveNms()), Lost: int(p.GetNumLostNms()),
		Unhealthy: int(p.GetNumUnhealthyNms()), Rebooted: int(p.GetNumRebootedNms()), Shutdown: int(p.GetNumShutdownNms()),
		Decommissioned: int(p.GetNumDecommissionedNms()), Decommissioning: int(p.GetNumDecommissioningNms()),
	}
}

func queryToPB(q yarn.ApplicationsQuery) *pb.GetApplicationsRequestProto {
	return &pb.GetApplicationsRequestProto{
		ApplicationTypes:  q.Types,
		ApplicationStates: each(q.States, func(s yarn.ApplicationState) pb.YarnApplicationStateProto { return *applicationStates.ToWire(s) }),
		Users:             q.Users, Queues: q.Queues, ApplicationTags: each(q.Tags, strings.ToLower),
	}
}

func queryFromPB(p *pb.GetApplicationsRequestProto) yarn.ApplicationsQuery {
	return yarn.ApplicationsQuery{
		Types:  p.GetApplicationTypes(),
		States: each(p.GetApplicationStates(), applicationStates.FromWire),
		Users:  p.GetUsers(), Queues: p.GetQueues(), Tags: p.GetApplicationTags(),
	}
}
