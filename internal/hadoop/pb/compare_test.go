package pb_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "tfos/internal/hadoop/pb"
)

// prefix is what our names have before Hadoop's.
const prefix = "tfos."

// extracted holds the descriptors that Hadoop 3.4.3's classes carry, of the messages that we
// describe. jar_test.go makes it.
const extracted = "testdata/hadoop-3.4.3.binpb"

// described are messages and enums by Hadoop's full name, nested ones inside their message.
type described struct {
	messages map[string]*descriptorpb.DescriptorProto
	enums    map[string]*descriptorpb.EnumDescriptorProto
}

func newDescribed() described {
	return described{map[string]*descriptorpb.DescriptorProto{}, map[string]*descriptorpb.EnumDescriptorProto{}}
}

func (d described) add(fd *descriptorpb.FileDescriptorProto) {
	for _, m := range fd.GetMessageType() {
		d.messages[strings.TrimPrefix(fd.GetPackage(), prefix)+"."+m.GetName()] = m
	}
	for _, e := range fd.GetEnumType() {
		d.enums[strings.TrimPrefix(fd.GetPackage(), prefix)+"."+e.GetName()] = e
	}
}

// ours is what this package describes.
func ours() described {
	d := newDescribed()
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(f.Package()), prefix+"hadoop.") {
			d.add(protodesc.ToFileDescriptorProto(f))
		}
		return true
	})
	return d
}

// TestAgainstHadoop compares with what was extracted from Hadoop's jars. The test of tag hadoop
// compares with the jars.
func TestAgainstHadoop(t *testing.T) {
	b, err := os.ReadFile(filepath.FromSlash(extracted))
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(b, &set); err != nil {
		t.Fatal(err)
	}
	theirs := newDescribed()
	for _, fd := range set.GetFile() {
		theirs.add(fd)
	}
	compare(t, ours(), theirs, exact)
}

// changedDefaults are fields whose default an older Hadoop takes for another, and why that does no
// harm.
var changedDefaults = map[string]string{
	"hadoop.yarn.ResourceRequestProto.allocation_request_id": "every ask of tfos says its id",
}

// How much of ours a release of Hadoop must have.
type strictness int

const (
	exact   strictness = iota // all of it, and no enum value more
	atLeast                   // all of it
	older                     // what it lacks must be optional: we leave it unset, and unset is what we get
)

// compare holds names, numbers, types, labels, defaults and enum values against Hadoop's. We may
// leave out fields, which then are skipped, but none that is required.
func compare(t *testing.T, ours, theirs described, s strictness) {
	t.Helper()
	if len(ours.messages) < 100 {
		t.Fatalf("only %d messages of ours are registered", len(ours.messages))
	}
	c := comparison{t, s}
	for _, name := range slices.Sorted(maps.Keys(ours.messages)) {
		if their := theirs.messages[name]; their != nil {
			c.message(name, ours.messages[name], their)
		} else {
			c.lacks(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ours.enums)) {
		if their := theirs.enums[name]; their != nil {
			c.enum(name, ours.enums[name], their)
		} else {
			c.lacks(name)
		}
	}
}

type comparison struct {
	*testing.T
	strictness
}

// lacks notes something of ours that the release does not have.
func (c comparison) lacks(what string) {
	c.Helper()
	if c.strictness == older {
		c.Logf("%s came later", what)
		return
	}
	c.Errorf("Hadoop has no %s (if it is new here: go test -tags hadoop ./internal/hadoop/pb -rewrite)", what)
}

func (c comparison) message(name string, our, their *descriptorpb.DescriptorProto) {
	fields := map[int32]*descriptorpb.FieldDescriptorProto{}
	for _, f := range their.GetField() {
		fields[f.GetNumber()] = f
	}
	for _, f := range our.GetField() {
		full := name + "." + f.GetName()
		t := fields[f.GetNumber()]
		delete(fields, f.GetNumber())
		switch {
		case t != nil:
			if why := changedDefaults[full]; c.strictness == older && why != "" {
				c.Logf("%s: its default was %q before: %s", full, t.GetDefaultValue(), why)
				t.DefaultValue = f.DefaultValue
			}
			if got, want := fieldText(f), fieldText(t); got != want {
				c.Errorf("%s: ours is %s, Hadoop's %s", name, got, want)
			}
		case f.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REQUIRED:
			c.Errorf("%s is required, and Hadoop does not know it", full)
		default:
			c.lacks(full)
		}
	}
	for _, t := range fields {
		if t.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REQUIRED {
			c.Errorf("%s lacks the required field %s", name, t.GetName())
		}
	}
	for _, m := range our.GetNestedType() {
		c.message(name+"."+m.GetName(), m, find(their.GetNestedType(), m.GetName()))
	}
	for _, e := range our.GetEnumType() {
		c.enum(name+"."+e.GetName(), e, find(their.GetEnumType(), e.GetName()))
	}
}

func find[T interface{ GetName() string }](all []T, name string) (found T) {
	for _, x := range all {
		if x.GetName() == name {
			return x
		}
	}
	return found
}

// fieldText is all of a field that is on the wire, or in a program's hands.
func fieldText(f *descriptorpb.FieldDescriptorProto) string {
	typ := strings.TrimPrefix(f.GetTypeName(), "."+prefix)
	if typ == "" {
		typ = f.GetType().String()
	}
	return fmt.Sprintf("%v %s %s = %d, default %q, packed %v", f.GetLabel(), strings.TrimPrefix(typ, "."), f.GetName(), f.GetNumber(), f.GetDefaultValue(), f.GetOptions().GetPacked())
}

func (c comparison) enum(name string, our, their *descriptorpb.EnumDescriptorProto) {
	theirs := map[int32]string{}
	for _, v := range their.GetValue() {
		theirs[v.GetNumber()] = v.GetName()
	}
	for _, v := range our.GetValue() {
		got, ok := theirs[v.GetNumber()]
		delete(theirs, v.GetNumber())
		switch {
		case !ok:
			c.lacks(name + "." + v.GetName())
		case got != v.GetName():
			c.Errorf("%s: %d is %s, Hadoop's %s", name, v.GetNumber(), v.GetName(), got)
		}
	}
	if c.strictness == exact && len(theirs) > 0 { // a closed enum drops values that it does not know
		c.Errorf("%s lacks %v", name, theirs)
	}
}
