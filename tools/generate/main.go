// Command generate turns the repository's .proto files into Go, without protoc.
//
// It runs as "go -C tools run ./generate" (make generate) and finds every .proto file under
// internal. The Go files land beside them, and both are committed. The plugins are the versions
// that tools/go.mod pins.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if err := os.Chdir(".."); err != nil { // out of tools: the .proto files import each other by their path in the repository
		return err
	}
	files, err := protoFiles("internal")
	if err != nil {
		return err
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{}),
		SourceInfoMode: protocompile.SourceInfoStandard, // the plugins copy comments into the Go code
	}
	compiled, err := compiler.Compile(ctx, files...)
	if err != nil {
		return err
	}
	if err := plugin(ctx, "protoc-gen-go", compiled); err != nil {
		return err
	}
	withServices := slices.DeleteFunc(slices.Clone(compiled), func(f linker.File) bool { return f.Services().Len() == 0 })
	return plugin(ctx, "protoc-gen-go-grpc", withServices)
}

// protoFiles lists the .proto files under dir in a stable order.
func protoFiles(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".proto") {
			files = append(files, filepath.ToSlash(path))
		}
		return err
	})
	return files, err
}

// plugin runs one of protoc's code generators over the files and writes what it answers.
func plugin(ctx context.Context, name string, files []linker.File) error {
	req := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("paths=source_relative")}
	seen := map[string]bool{}
	for _, f := range files {
		req.FileToGenerate = append(req.FileToGenerate, f.Path())
		req.ProtoFile = appendWithImports(req.ProtoFile, seen, f)
	}
	in, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", name)
	cmd.Dir = "tools" // whose go.mod names the plugins
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return fmt.Errorf("answer of %s: %w", name, err)
	}
	if resp.Error != nil {
		return fmt.Errorf("%s: %s", name, resp.GetError())
	}
	for _, f := range resp.GetFile() {
		if err := os.WriteFile(filepath.FromSlash(f.GetName()), []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// appendWithImports appends f after everything it imports, as the plugins want it.
func appendWithImports(fds []*descriptorpb.FileDescriptorProto, seen map[string]bool, f protoreflect.FileDescriptor) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return fds
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		fds = appendWithImports(fds, seen, f.Imports().Get(i).FileDescriptor)
	}
	return append(fds, protodesc.ToFileDescriptorProto(f))
}
