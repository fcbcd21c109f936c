package yarnrpc

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/yarn"
)

// fill gives every field of a value something that is not zero, so that a field which a conversion
// forgets is found, the ones that will be added included.
func fill(v reflect.Value, n *int, depth int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.UnixMilli(1_700_000_000_000 + int64(*n))))
	case v.Type() == reflect.TypeFor[time.Duration]():
		v.SetInt(int64(time.Duration(*n) * time.Second))
	case v.Kind() == reflect.Int && v.Type().PkgPath() != "": // a state
		v.SetInt(2)
	case v.CanInt():
		v.SetInt(int64(*n % 1000))
	case v.CanFloat():
		v.SetFloat(0.5)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.String:
		v.SetString(fmt.Sprintf("s%d", *n))
	case v.Kind() == reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n, depth)
		}
	case v.Kind() == reflect.Slice && depth < 4:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n, depth+1)
		fill(v.Index(1), n, depth+1)
	case v.Kind() == reflect.Slice:
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, n, depth+1)
			fill(value, n, depth+1)
			v.SetMapIndex(key, value)
		}
	default:
		panic("fill does not know " + v.Type().String())
	}
}

// roundTrip converts a value to bytes and back, a full one and an empty one.
func roundTrip[T any, P proto.Message](t *testing.T, to func(T) P, from func(P) T) {
	t.Helper()
	var full, empty T
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n, 0)
	for _, want := range []T{full, empty} {
		b, err := proto.Marshal(to(want))
		if err != nil {
			t.Fatal(err)
		}
		p := reflect.New(reflect.TypeFor[P]().Elem()).Interface().(P)
		if err := proto.Unmarshal(b, p); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, from(p)); diff != "" {
			t.Errorf("%T came back otherwise:\n%s", want, diff)
		}
	}
}

func must1[T, P any](f func(T) (P, error)) func(T) P {
	return func(v T) P {
		p, err := f(v)
		if err != nil {
			panic(err)
		}
		return p
	}
}

func TestConversionsKeepEveryField(t *testing.T) {
	roundTrip(t, must1(submissionToPB), func(p *pb.ApplicationSubmissionContextProto) yarn.Submission {
		s := submissionFromPB(p)
		if s.Queue == "default" { // the fields' defaults
			s.Queue = ""
		}
		s.Type = strings.TrimPrefix(s.Type, "YARN")
		return s
	})
	roundTrip(t, must1(launchToPB), launchFromPB)
	roundTrip(t, reportToPB, reportFromPB)
	roundTrip(t, attemptReportToPB, attemptReportFromPB)
	roundTrip(t, containerReportToPB, containerReportFromPB)
	roundTrip(t, queueToPB, queueFromPB)
	roundTrip(t, metricsToPB, metricsFromPB)
	roundTrip(t, queryToPB, queryFromPB)
	roundTrip(t, nodeReportToPB, nodeReportFromPB)
	roundTrip(t, resourceTypeToPB, resourceTypeFromPB)
	roundTrip(t, registrationToPB, registrationFromPB)
	roundTrip(t, registeredToPB, registeredFromPB)
	roundTrip(t, allocateRequestToPB, allocateRequestFromPB)
	roundTrip(t, allocateResponseToPB, allocateResponseFromPB)
	roundTrip(t, containerToPB, containerFromPB)
	roundTrip(t, containerStatusToPB, containerStatusFromPB)
}

func TestURIs(t *testing.T) {
	for uri, want := range map[string]*pb.URLProto{
		"hdfs://nn:8020/a/b":    {Scheme: some("hdfs"), Host: some("nn"), Port: proto.Int32(8020), File: some("/a/b")},
		"hdfs://nameservice/a":  {Scheme: some("hdfs"), Host: some("nameservice"), Port: proto.Int32(-1), File: some("/a")},
		"hdfs://[::1]:8020/a":   {Scheme: some("hdfs"), Host: some("[::1]"), Port: proto.Int32(8020), File: some("/a")},
		"hdfs://[::1]/a":        {Scheme: some("hdfs"), Host: some("[::1]"), Port: proto.Int32(-1), File: some("/a")},
		"file:///tmp/x":         {Scheme: some("file"), Port: proto.Int32(-1), File: some("/tmp/x")},
		"hdfs://me@nn:1/a":      {Scheme: some("hdfs"), Host: some("nn"), Port: proto.Int32(1), File: some("/a"), UserInfo: some("me")},
		"hdfs://nn:1/a%20b#c?d": {Scheme: some("hdfs"), Host: some("nn"), Port: proto.Int32(1), File: some("/a%20b#c?d")},
	} {
		got, err := urlToPB(uri)
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", uri, got, err, want)
			continue
		}
		if back := urlFromPB(got); back != uri {
			t.Errorf("%s came back as %s", uri, back)
		}
	}
	for _, uri := range []string{"hdfs://nn:x/a", "hdfs://nn:99999/a"} {
		if got, err := urlToPB(uri); err == nil {
			t.Errorf("%s read as %v", uri, got)
		}
	}
}

// Java writes more than we do: memory and vcores a second time in the map, "N/A" for nothing,
// negative numbers for none.
func TestJavasWays(t *testing.T) {
	r := resourceFromPB(&pb.ResourceProto{Memory: proto.Int64(128), VirtualCores: proto.Int32(2), ResourceValueMap: []*pb.ResourceInformationProto{
		{Key: proto.String("memory-mb"), Value: proto.Int64(128), Units: proto.String("Mi")},
		{Key: proto.String("vcores"), Value: proto.Int64(2)},
		{Key: proto.String("yarn.io/gpu"), Value: proto.Int64(1)},
	}})
	if want := (yarn.Resource{MemoryMiB: 128, VCores: 2, Custom: map[string]int64{"yarn.io/gpu": 1}}); !r.Equal(want) || len(r.Custom) != 1 {
		t.Errorf("resource %+v, want %+v", r, want)
	}
	report := reportFromPB(&pb.ApplicationReportProto{
		Host: proto.String("N/A"), RpcPort: proto.Int32(-1), TrackingUrl: proto.String("N/A"), Diagnostics: proto.String(""),
		AppResource_Usage: &pb.ApplicationResourceUsageReportProto{
			NumUsedContainers: proto.Int32(-1),
			UsedResources:     &pb.ResourceProto{Memory: proto.Int64(-1), VirtualCores: proto.Int32(-1)},
		},
		CurrentApplicationAttemptId: &pb.ApplicationAttemptIdProto{AttemptId: proto.Int32(-1)},
	})
	if diff := cmp.Diff(yarn.Report{State: yarn.StateNew}, report); diff != "" {
		t.Errorf("a report of nothing:\n%s", diff)
	}
	s := yarn.Submission{Tags: []string{"Upper-Case"}, NodeLabel: "gpu", Resource: yarn.Resource{MemoryMiB: 1, VCores: 1}}
	p := must1(submissionToPB)(s)
	if p.GetApplicationTags()[0] != "upper-case" {
		t.Errorf("tags %v", p.GetApplicationTags())
	}
	if p.GetResource() == nil || len(p.GetAmContainerResourceRequest()) != 1 {
		t.Error("a labelled master must be described in the old way and in the new")
	}
	if v := registrationToPB(yarn.Registration{}); v.GetRpcPort() != -1 {
		t.Errorf("no port is registered as %d", v.GetRpcPort())
	}
}

// TestAFileByTwoNames: a NodeManager links one resource once. Its resources are equal by place,
// time, type and pattern.
func TestAFileByTwoNames(t *testing.T) {
	file := yarn.LocalResource{URI: "hdfs://nn:1/x", ModTime: time.UnixMilli(1), Visibility: yarn.Private}
	later := file
	later.ModTime = time.UnixMilli(2)
	p, err := launchToPB(yarn.LaunchContext{Files: map[string]yarn.LocalResource{"a": file, "b": file, "c": later, "d": file}})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range p.GetLocalResources() {
		r := e.GetValue()
		id := fmt.Sprint(r.GetResource(), r.GetTimestamp(), r.GetType(), r.GetPattern())
		if seen[id] {
			t.Errorf("%s is linked to the resource of another name: %s", e.GetKey(), id)
		}
		seen[id] = true
	}
}
