package yarnrpc

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/token"
	"tfos/internal/hadoop/uri"
	"tfos/internal/yarn"
)

// Conversions come in pairs: xToPB writes a value of package yarn, xFromPB reads one. Reading never
// fails: these messages have passed the protobuf parser, every field of theirs is optional to us,
// and what a newer YARN adds is skipped.

// each converts a list. None stays none.
func each[A, B any](in []A, convert func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = convert(a)
	}
	return out
}

// some is a pointer to s, or nil for the empty string: an absent field.
func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// said is the text of a field, without the "N/A" that Java writes for nothing.
func said(s string) string {
	if s == "N/A" {
		return ""
	}
	return s
}

// timeFromPB reads milliseconds since the epoch; zero and less are no time.
func timeFromPB(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func timeToPB(t time.Time) *int64 {
	if t.IsZero() {
		return proto.Int64(0)
	}
	return proto.Int64(t.UnixMilli())
}

func applicationIDToPB(id yarn.ApplicationID) *pb.ApplicationIdProto {
	return &pb.ApplicationIdProto{ClusterTimestamp: &id.ClusterTimestamp, Id: &id.Sequence}
}

func applicationIDFromPB(p *pb.ApplicationIdProto) yarn.ApplicationID {
	return yarn.ApplicationID{ClusterTimestamp: p.GetClusterTimestamp(), Sequence: p.GetId()}
}

func attemptIDToPB(id yarn.AttemptID) *pb.ApplicationAttemptIdProto {
	return &pb.ApplicationAttemptIdProto{ApplicationId: applicationIDToPB(id.Application), AttemptId: &id.Attempt}
}

func attemptIDFromPB(p *pb.ApplicationAttemptIdProto) yarn.AttemptID {
	return yarn.AttemptID{Application: applicationIDFromPB(p.GetApplicationId()), Attempt: p.GetAttemptId()}
}

func containerIDToPB(id yarn.ContainerID) *pb.ContainerIdProto {
	return &pb.ContainerIdProto{
		AppId:        applicationIDToPB(id.Attempt.Application),
		AppAttemptId: attemptIDToPB(id.Attempt),
		Id:           &id.ID,
	}
}

func containerIDFromPB(p *pb.ContainerIdProto) yarn.ContainerID {
	return yarn.ContainerID{Attempt: attemptIDFromPB(p.GetAppAttemptId()), ID: p.GetId()}
}

func nodeIDToPB(n yarn.NodeID) *pb.NodeIdProto { return &pb.NodeIdProto{Host: &n.Host, Port: &n.Port} }

func nodeIDFromPB(p *pb.NodeIdProto) yarn.NodeID {
	return yarn.NodeID{Host: p.GetHost(), Port: p.GetPort()}
}

func priorityToPB(n int32) *pb.PriorityProto { return &pb.PriorityProto{Priority: &n} }

// resourceToPB leaves the units of custom resources out: the service then takes its own for them,
// which are those that ResourceType names.
func resourceToPB(r yarn.Resource) *pb.ResourceProto {
	p := &pb.ResourceProto{Memory: &r.MemoryMiB, VirtualCores: &r.VCores}
	for _, name := range slices.Sorted(maps.Keys(r.Custom)) {
		p.ResourceValueMap = append(p.ResourceValueMap, &pb.ResourceInformationProto{
			Key: proto.String(name), Value: proto.Int64(r.Custom[name]), Type: pb.ResourceTypesProto_COUNTABLE.Enum(),
		})
	}
	return p
}

// resourceFromPB reads memory and vcores from their own fields; Java repeats them in the map.
func resourceFromPB(p *pb.ResourceProto) yarn.Resource {
	r := yarn.Resource{MemoryMiB: p.GetMemory(), VCores: p.GetVirtualCores()}
	for _, e := range p.GetResourceValueMap() {
		if e.GetKey() == yarn.MemoryName || e.GetKey() == yarn.VCoresName {
			continue
		}
		if r.Custom == nil {
			r.Custom = make(map[string]int64)
		}
		r.Custom[e.GetKey()] = e.GetValue()
	}
	return r
}

func resourceTypeToPB(t yarn.ResourceType) *pb.ResourceTypeInfoProto {
	return &pb.ResourceTypeInfoProto{Name: &t.Name, Units: &t.Units, Type: pb.ResourceTypesProto_COUNTABLE.Enum()}
}

func resourceTypeFromPB(p *pb.ResourceTypeInfoProto) yarn.ResourceType {
	return yarn.ResourceType{Name: p.GetName(), Units: p.GetUnits()}
}

func tokenToPB(t token.Token) *pb.TokenProto {
	if t.IsZero() {
		return nil
	}
	return &pb.TokenProto{Identifier: t.Identifier, Password: t.Password, Kind: &t.Kind, Service: &t.Service}
}

func tokenFromPB(p *pb.TokenProto) token.Token {
	if p == nil {
		return token.Token{}
	}
	return token.Token{Kind: p.GetKind(), Service: p.GetService(), Identifier: p.GetIdentifier(), Password: p.GetPassword()}
}

func nmTokenToPB(t yarn.NMToken) *pb.NMTokenProto {
	return &pb.NMTokenProto{NodeId: nodeIDToPB(t.Node), Token: tokenToPB(t.Token)}
}

func nmTokenFromPB(p *pb.NMTokenProto) yarn.NMToken {
	return yarn.NMToken{Node: nodeIDFromPB(p.GetNodeId()), Token: tokenFromPB(p.GetToken())}
}

func containerToPB(c yarn.Container) *pb.ContainerProto {
	return &pb.ContainerProto{
		Id:                  containerIDToPB(c.ID),
		NodeId:              nodeIDToPB(c.Node),
		NodeHttpAddress:     some(c.NodeHTTP),
		Resource:            resourceToPB(c.Resource),
		Priority:            priorityToPB(c.Priority),
		ContainerToken:      tokenToPB(c.Token),
		AllocationRequestId: &c.AskID,
	}
}

func containerFromPB(p *pb.ContainerProto) yarn.Container {
	return yarn.Container{
		ID:       containerIDFromPB(p.GetId()),
		Node:     nodeIDFromPB(p.GetNodeId()),
		NodeHTTP: p.GetNodeHttpAddress(),
		Resource: resourceFromPB(p.GetResource()),
		Priority: p.GetPriority().GetPriority(),
		AskID:    p.GetAllocationRequestId(),
		Token:    tokenFromPB(p.GetContainerToken()),
	}
}

func containerStatusToPB(s yarn.ContainerStatus) *pb.ContainerStatusProto {
	return &pb.ContainerStatusProto{
		ContainerId: containerIDToPB(s.ID),
		State:       containerStates.ToWire(s.State),
		ExitStatus:  proto.Int32(int32(s.ExitStatus)),
		Diagnostics: &s.Diagnostics,
	}
}

func containerStatusFromPB(p *pb.ContainerStatusProto) yarn.ContainerStatus {
	return yarn.ContainerStatus{
		ID:          containerIDFromPB(p.GetContainerId()),
		State:       containerStates.FromWire(p.GetState()),
		ExitStatus:  yarn.ExitStatus(p.GetExitStatus()),
		Diagnostics: said(p.GetDiagnostics()),
	}
}

func nodeReportToPB(n yarn.NodeReport) *pb.NodeReportProto {
	p := &pb.NodeReportProto{
		NodeId:        nodeIDToPB(n.ID),
		HttpAddress:   &n.HTTP,
		RackName:      &n.Rack,
		Used:          resourceToPB(n.Used),
		Capability:    resourceToPB(n.Capability),
		NumContainers: proto.Int32(int32(n.Containers)),
		NodeState:     nodeStates.ToWire(n.State),
		HealthReport:  some(n.HealthReport),
		NodeLabels:    n.Labels,
	}
	if n.DecommissionAfter > 0 {
		p.DecommissioningTimeout = proto.Uint32(uint32(n.DecommissionAfter / time.Second))
	}
	return p
}

func nodeReportFromPB(p *pb.NodeReportProto) yarn.NodeReport {
	return yarn.NodeReport{
		ID:                nodeIDFromPB(p.GetNodeId()),
		HTTP:              p.GetHttpAddress(),
		Rack:              p.GetRackName(),
		State:             nodeStates.FromWire(p.GetNodeState()),
		Used:              resourceFromPB(p.GetUsed()),
		Capability:        resourceFromPB(p.GetCapability()),
		Containers:        int(p.GetNumContainers()),
		Labels:            p.GetNodeLabels(),
		HealthReport:      p.GetHealthReport(),
		DecommissionAfter: time.Duration(p.GetDecommissioningTimeout()) * time.Second,
	}
}

// urlToPB takes a URI apart as Java's org.apache.hadoop.yarn.api.records.URL#fromURI does.
func urlToPB(name string) (*pb.URLProto, error) {
	u := uri.Parse(name)
	p := &pb.URLProto{Scheme: some(u.Scheme), Port: proto.Int32(-1), File: &u.Path} // java.net.URI has port -1 where there is none
	host := u.Authority
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		p.UserInfo, host = some(host[:i]), host[i+1:]
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		port, err := strconv.ParseUint(host[i+1:], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%s: port: %w", name, err)
		}
		p.Port, host = proto.Int32(int32(port)), host[:i]
	}
	p.Host = some(host)
	return p, nil
}

func urlFromPB(p *pb.URLProto) string {
	u := uri.URI{Scheme: p.GetScheme(), Authority: p.GetHost(), Path: p.GetFile()}
	if p.GetPort() > 0 {
		u.Authority += ":" + strconv.Itoa(int(p.GetPort()))
	}
	if p.GetUserInfo() != "" {
		u.Authority = p.GetUserInfo() + "@" + u.Authority
	}
	return u.String()
}
