package yarnrpc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/yarn"
)

func localResourceToPB(r yarn.LocalResource) (*pb.LocalResourceProto, error) {
	u, err := urlToPB(r.URI)
	if err != nil {
		return nil, err
	}
	kind := pb.LocalResourceTypeProto_FILE
	if r.Archive {
		kind = pb.LocalResourceTypeProto_ARCHIVE
	}
	return &pb.LocalResourceProto{
		Resource: u, Size: &r.Size, Timestamp: timeToPB(r.ModTime), Type: kind.Enum(),
		Visibility: visibilities.ToWire(r.Visibility),
	}, nil
}

// localResourceFromPB takes PATTERN for an archive: it is one of which some members are wanted.
func localResourceFromPB(p *pb.LocalResourceProto) yarn.LocalResource {
	return yarn.LocalResource{
		URI:        urlFromPB(p.GetResource()),
		Size:       p.GetSize(),
		ModTime:    timeFromPB(p.GetTimestamp()),
		Archive:    p.GetType() != pb.LocalResourceTypeProto_FILE,
		Visibility: visibilities.FromWire(p.GetVisibility()),
	}
}

// launchToPB writes maps in the order of their keys, so that the same context is the same bytes.
//
// A NodeManager links a resource once, by the last of its names. A file of several names is made
// several resources by the pattern, which means nothing to a file or an archive, and tells one from
// the other (LocalResourceRequest#equals).
func launchToPB(l yarn.LaunchContext) (*pb.ContainerLaunchContextProto, error) {
	p := &pb.ContainerLaunchContextProto{Command: l.Command, Tokens: l.Tokens}
	type identity struct {
		uri     string
		time    int64
		archive bool
	}
	linked := map[identity]bool{}
	for _, link := range slices.Sorted(maps.Keys(l.Files)) {
		r, err := localResourceToPB(l.Files[link])
		if err != nil {
			return nil, fmt.Errorf("file %q: %w", link, err)
		}
		id := identity{l.Files[link].URI, r.GetTimestamp(), l.Files[link].Archive}
		if linked[id] {
			r.Pattern = &link
		}
		linked[id] = true
		p.LocalResources = append(p.LocalResources, &pb.StringLocalResourceMapProto{Key: proto.String(link), Value: r})
	}
	for _, key := range slices.Sorted(maps.Keys(l.Env)) {
		p.Environment = append(p.Environment, &pb.StringStringMapProto{Key: proto.String(key), Value: proto.String(l.Env[key])})
	}
	return p, nil
}

func launchFromPB(p *pb.ContainerLaunchContextProto) yarn.LaunchContext {
	l := yarn.LaunchContext{Command: p.GetCommand(), Tokens: p.GetTokens()}
	for _, e := range p.GetLocalResources() {
		if l.Files == nil {
			l.Files = make(map[string]yarn.LocalResource)
		}
		l.Files[e.GetKey()] = localResourceFromPB(e.GetValue())
	}
	for _, e := range p.GetEnvironment() {
		if l.Env == nil {
			l.Env = make(map[string]string)
		}
		l.Env[e.GetKey()] = e.GetValue()
	}
	return l
}

// anywhere is the resource name of an ask that no host or rack is named in.
const anywhere = "*"

func submissionToPB(s yarn.Submission) (*pb.ApplicationSubmissionContextProto, error) {
	launch, err := launchToPB(s.Launch)
	if err != nil {
		return nil, err
	}
	p := &pb.ApplicationSubmissionContextProto{
		ApplicationId:                           applicationIDToPB(s.ID),
		ApplicationName:                         some(s.Name),
		Queue:                                   some(s.Queue),
		Priority:                                priorityToPB(s.Priority),
		AmContainerSpec:                         launch,
		CancelTokensWhenComplete:                proto.Bool(!s.KeepTokens),
		MaxAppAttempts:                          &s.MaxAttempts,
		Resource:                                resourceToPB(s.Resource), // all that a server before 2.9 reads
		ApplicationType:                         some(s.Type),
		KeepContainersAcrossApplicationAttempts: &s.KeepContainers,
		ApplicationTags:                         each(s.Tags, strings.ToLower), // as Java's client does, so that both find them
		AttemptFailuresValidityInterval:         proto.Int64(-1),
	}
	if s.AttemptWindow > 0 {
		p.AttemptFailuresValidityInterval = proto.Int64(s.AttemptWindow.Milliseconds())
	}
	if s.LogInclude != "" {
		p.LogAggregationContext = &pb.LogAggregationContextProto{IncludePattern: &s.LogInclude}
	}
	if s.NodeLabel != "" {
		p.AmContainerResourceRequest = []*pb.ResourceRequestProto{{
			Priority: priorityToPB(0), ResourceName: proto.String(anywhere), Capability: resourceToPB(s.Resource),
			NumContainers: proto.Int32(1), RelaxLocality: proto.Bool(true), NodeLabelExpression: &s.NodeLabel,
		}}
	}
	if s.Lifetime > 0 {
		p.ApplicationTimeouts = []*pb.ApplicationTimeoutMapProto{{
			ApplicationTimeoutType: pb.ApplicationTimeoutTypeProto_APP_TIMEOUT_LIFETIME.Enum(),
			Timeout:                proto.Int64(int64(s.Lifetime / time.Second)),
		}}
	}
	return p, nil
}

func submissionFromPB(p *pb.ApplicationSubmissionContextProto) yarn.Submission {
	s := yarn.Submission{
		ID:             applicationIDFromPB(p.GetApplicationId()),
		Name:           said(p.GetApplicationName()),
		Queue:          p.GetQueue(),
		Type:           p.GetApplicationType(),
		Priority:       p.GetPriority().GetPriority(),
		Tags:           p.GetApplicationTags(),
		MaxAttempts:    p.GetMaxAppAttempts(),
		AttemptWindow:  time.Duration(max(p.GetAttemptFailuresValidityInterval(), 0)) * time.Millisecond,
		KeepContainers: p.GetKeepContainersAcrossApplicationAttempts(),
		Resource:       resourceFromPB(p.GetResource()),
		Launch:         launchFromPB(p.GetAmContainerSpec()),
		KeepTokens:     !p.GetCancelTokensWhenComplete(),
	}
	if l := p.GetLogAggregationContext(); l != nil && l.IncludePattern != nil {
		s.LogInclude = l.GetIncludePattern()
	}
	for _, r := range p.GetAmContainerResourceRequest() {
		if r.GetResourceName() == anywhere {
			s.Resource, s.NodeLabel = resourceFromPB(r.GetCapability()), r.GetNodeLabelExpression()
		}
	}
	for _, t := range p.GetApplicationTimeouts() {
		if t.GetApplicationTimeoutType() == pb.ApplicationTimeoutTypeProto_APP_TIMEOUT_LIFETIME {
			s.Lifetime = time.Duration(t.GetTimeout()) * time.Second
		}
	}
	return s
}
