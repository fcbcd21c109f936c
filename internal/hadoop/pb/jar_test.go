//go:build hadoop

package pb_test

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

var rewrite = flag.Bool("rewrite", false, "write testdata from the jars of Hadoop 3.4.3")

// TestAgainstJars compares with the classes of three releases of Hadoop, in
// TESTCLUSTER_HOME/lib/<version> (without it, where deploy/testcluster puts them). 2.10 lacks some
// optional fields, enum values and whole messages: tfos leaves them unset towards such a cluster,
// and does without the answers.
func TestAgainstJars(t *testing.T) {
	home := os.Getenv("TESTCLUSTER_HOME")
	if home == "" {
		home = filepath.Join("..", "..", "..", "build", "testcluster")
	}
	for _, c := range []struct {
		version string
		strictness
	}{{"3.4.3", exact}, {"2.10.2", older}, {"3.5.0", atLeast}} {
		t.Run(c.version, func(t *testing.T) {
			files, err := descriptorsIn(filepath.Join(home, "lib", c.version))
			if err != nil {
				t.Fatal(err)
			}
			theirs := newDescribed()
			for _, fd := range files {
				theirs.add(fd)
			}
			if *rewrite && c.strictness == exact {
				if err := extract(files, ours()); err != nil {
					t.Fatal(err)
				}
			}
			compare(t, ours(), theirs, c.strictness)
		})
	}
}

// extract writes the messages and enums that we have too, as Hadoop has them.
func extract(files []*descriptorpb.FileDescriptorProto, ours described) error {
	var set descriptorpb.FileDescriptorSet
	for _, fd := range files {
		kept := &descriptorpb.FileDescriptorProto{Name: fd.Name, Package: fd.Package}
		for _, m := range fd.GetMessageType() {
			if ours.messages[fd.GetPackage()+"."+m.GetName()] != nil {
				kept.MessageType = append(kept.MessageType, m)
			}
		}
		for _, e := range fd.GetEnumType() {
			if ours.enums[fd.GetPackage()+"."+e.GetName()] != nil {
				kept.EnumType = append(kept.EnumType, e)
			}
		}
		if len(kept.GetMessageType())+len(kept.GetEnumType()) > 0 {
			set.File = append(set.File, kept)
		}
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&set)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.FromSlash(extracted), b, 0o644)
}

// descriptorsIn finds the file descriptors in a directory of Hadoop's jars.
func descriptorsIn(dir string) ([]*descriptorpb.FileDescriptorProto, error) {
	var files []*descriptorpb.FileDescriptorProto
	for _, jar := range []string{"hadoop-common-[0-9]*", "hadoop-yarn-api-*", "hadoop-yarn-common-*", "hadoop-yarn-server-common-*", "hadoop-hdfs-client-*"} {
		paths, err := filepath.Glob(filepath.Join(dir, jar+".jar"))
		if err != nil {
			return nil, err
		}
		if len(paths) != 1 {
			return nil, fmt.Errorf("%d files match %s in %s: fetch Hadoop's jars with deploy/testcluster", len(paths), jar, dir)
		}
		found, err := descriptorsInJar(paths[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", paths[0], err)
		}
		files = append(files, found...)
	}
	slices.SortStableFunc(files, func(a, b *descriptorpb.FileDescriptorProto) int { return strings.Compare(a.GetName(), b.GetName()) })
	return files, nil
}

// descriptorsInJar finds the descriptors that protoc's Java classes carry as string constants.
func descriptorsInJar(path string) ([]*descriptorpb.FileDescriptorProto, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	var files []*descriptorpb.FileDescriptorProto
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, ".class") || strings.Contains(f.Name, "$") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		class, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		constants, err := stringConstants(class)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if fd := descriptorOf(constants); fd != nil {
			files = append(files, fd)
		}
	}
	return files, nil
}

// descriptorOf joins the constants of a class that make up a descriptor. The first begins with the
// file's name as field 1; a long descriptor goes on in the constants after it, because one holds 64
// KiB at most.
func descriptorOf(constants []string) *descriptorpb.FileDescriptorProto {
	for i, s := range constants {
		if len(s) < 2 || s[0] != '\n' || !strings.HasSuffix(s[2:min(len(s), 2+int(s[1]))], ".proto") {
			continue
		}
		joined := ""
		for _, part := range constants[i:] {
			joined += part
			fd := new(descriptorpb.FileDescriptorProto)
			const nearlyFull = 60_000 // such a part may end where a field does, and the descriptor go on
			if len(part) < nearlyFull && proto.Unmarshal([]byte(joined), fd) == nil {
				return fd
			}
		}
	}
	return nil
}

// stringConstants returns the strings of a class file's constant pool (JVM specification 4.4) in
// their order, as bytes: protoc writes a char for each byte of a descriptor.
func stringConstants(class []byte) ([]string, error) {
	if len(class) < 10 || binary.BigEndian.Uint32(class) != 0xCAFEBABE {
		return nil, errors.New("not a class file")
	}
	count := int(binary.BigEndian.Uint16(class[8:]))
	text := map[int][]byte{}
	var strs []int
	b := class[10:]
	for i := 1; i < count; i++ {
		if len(b) < 3 {
			return nil, errors.New("constant pool is cut short")
		}
		index, size, n := i, int(binary.BigEndian.Uint16(b[1:])), 0
		switch tag := b[0]; tag {
		case 1: // UTF-8
			n = 3 + size
		case 8: // String: refers to a UTF-8
			strs = append(strs, size)
			n = 3
		case 7, 16, 19, 20:
			n = 3
		case 15:
			n = 4
		case 3, 4, 9, 10, 11, 12, 17, 18:
			n = 5
		case 5, 6: // long and double take two numbers
			n = 9
			i++
		default:
			return nil, fmt.Errorf("constant %d has the unknown tag %d", i, tag)
		}
		if len(b) < n {
			return nil, errors.New("constant pool is cut short")
		}
		if b[0] == 1 {
			text[index] = b[3:n]
		}
		b = b[n:]
	}
	var constants []string
	for _, s := range strs {
		constants = append(constants, charsAsBytes(text[s]))
	}
	return constants, nil
}

// charsAsBytes undoes a class file's UTF-8, which writes NUL as C0 80.
func charsAsBytes(b []byte) string {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if len(b) > 1 && b[0] == 0xC0 && b[1] == 0x80 {
			out, b = append(out, 0), b[2:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		out, b = append(out, byte(r)), b[n:]
	}
	return string(out)
}
