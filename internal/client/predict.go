package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/dfs"
	"tfos/internal/dfs/glob"
	"tfos/internal/launch"
	"tfos/internal/predict"
	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
	"tfos/internal/predict/source"
	"tfos/internal/savedmodel"
)

// Prediction is what somebody wants of tfos predict.
type Prediction struct {
	Model     string   // directory of a SavedModel
	Inputs    []string // patterns
	Output    string   // directory
	Signature string   // empty: the default one, or the only one
	Format    string   // of the input; empty: by the files' names
	Encoding  string   // of the output
	Batch     int      // rows, at most
	Bytes     int      // of input, after which a batch is full too; 0: however many
	Map       []string // INPUT=COLUMN
	Keep      []string // columns
	Split     int64    // bytes of a shard; -1: the format's
	Group     int      // images of a shard
}

// Planned is a Prediction that can be carried out.
type Planned struct {
	plan.Plan
	Local    string // the model's directory, if it is on this machine
	Complete bool   // all of it is done already
	Begun    bool   // an earlier run left a part of it

	output dfs.FS
	dir    string
}

// A model gets DefaultBatch rows at once. Rows that are large, as images are, make smaller batches,
// of BatchBytes of input: a worker holds several in memory.
const (
	DefaultBatch = 1024
	BatchBytes   = 4 << 20
)

// Default sizes of shards.
const (
	defaultSplit = 64 << 20
	defaultGroup = 1024
)

// maxProgram is how large saved_model.pb may be, bytes: protobuf's own limit.
const maxProgram = 2 << 30

// Plan looks at everything that can be wrong with a prediction, and writes nothing: the model and
// its signature, the input's files and the first row of them, what is in the output's directory.
// Files are opened by the resolver.
func (p Prediction) Plan(ctx context.Context, files *dfs.Resolver) (*Planned, error) {
	planned := new(Planned)
	s := &planned.Settings
	s.Batch, s.Bytes, s.Keep, s.Encoding, s.Group = p.Batch, p.Bytes, p.Keep, plan.Encoding(p.Encoding), p.Group
	if !slices.Contains(plan.Encodings, s.Encoding) {
		return nil, exit.Errorf(exit.Usage, "--output-format %s: want one of %s", p.Encoding, names(plan.Encodings))
	}
	if p.Batch < 1 || p.Group < 1 {
		return nil, exit.Errorf(exit.Usage, "--batch and --group want at least 1")
	}
	if err := p.model(ctx, files, planned); err != nil {
		return nil, err
	}
	var err error
	if planned.Inputs, err = p.inputs(ctx, files); err != nil {
		return nil, err
	}
	if s.Format, err = p.format(planned.Inputs); err != nil {
		return nil, err
	}
	switch {
	case p.Split >= 0:
		s.Split = p.Split
	case s.Format != plan.CSV: // a newline within quotes ends no row
		s.Split = defaultSplit
	}
	if s.Format == plan.Images {
		s.Split = 0
		s.Keep = append([]string{plan.PathColumn}, s.Keep...)
		if len(p.Keep) > 0 {
			return nil, exit.Errorf(exit.Usage, "--keep: images have no columns; their names are kept in any case, as %s", plan.PathColumn)
		}
	}
	if s.Columns, err = plan.Map(s.Signature, s.Format, p.Map); err != nil {
		return nil, exit.Errorf(exit.Usage, "--map %w", err)
	}
	if err := s.Check(); err != nil {
		return nil, exit.Errorf(exit.Usage, "%s: %w", p.Model, err)
	}
	if planned.Shards, err = s.Cut(planned.Inputs); err != nil {
		return nil, exit.Errorf(exit.Usage, "%w", err)
	}
	if s.Output, err = absolute(p.Output); err != nil {
		return nil, err
	}
	if err := planned.look(ctx, files); err != nil {
		return nil, err
	}
	if planned.Complete {
		return planned, nil
	}
	return planned, planned.firstRow(ctx, files)
}

func names[T ~string](all []T) string {
	list := make([]string, len(all))
	for i, name := range all {
		list[i] = string(name)
	}
	return strings.Join(list, ", ")
}

// absolute makes a path one that means the same everywhere. A URI stays as it is.
func absolute(name string) (string, error) {
	if local, ok := strings.CutPrefix(name, "file://"); ok && strings.HasPrefix(local, "/") {
		name = local
	}
	if strings.Contains(name, "://") {
		return name, nil
	}
	return filepath.Abs(name)
}

// model reads what the model says of itself.
func (p Prediction) model(ctx context.Context, files *dfs.Resolver, planned *Planned) error {
	uri, err := absolute(p.Model)
	if err != nil {
		return err
	}
	d, dir, err := files.Resolve(ctx, launch.CheckpointURI(uri))
	if err != nil {
		return exit.Errorf(exit.Usage, "--model %w", err)
	}
	program, err := dfs.ReadFile(ctx, d, path.Join(dir, savedmodel.File), maxProgram)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, dfs.ErrNotDirectory) {
		return exit.Errorf(exit.Usage, "--model %s holds no SavedModel: there is no %s", p.Model, savedmodel.File).
			Try("name the directory that tf.saved_model.save or model.export wrote")
	}
	if err != nil {
		return stage.Explain(d, "read", path.Join(dir, savedmodel.File), err)
	}
	model, err := savedmodel.Parse(program)
	if err != nil {
		return exit.Errorf(exit.Usage, "--model %s: %w", p.Model, err)
	}
	// The index holds the checksum of every variable.
	index, err := dfs.ReadFile(ctx, d, path.Join(dir, "variables", "variables.index"), maxProgram)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, dfs.ErrNotDirectory) {
		return stage.Explain(d, "read", path.Join(dir, "variables", "variables.index"), err)
	}
	sum := sha256.New()
	sum.Write(program)
	sum.Write(index)
	planned.Digest = hex.EncodeToString(sum.Sum(nil))
	planned.Model = uri
	if !strings.Contains(uri, "://") {
		planned.Model, planned.Local = plan.ModelName, uri
	}
	planned.Signature, err = p.signature(model)
	return err
}

// signature is the one that is wanted, or else the default one, or the only one.
func (p Prediction) signature(m savedmodel.Model) (savedmodel.Signature, error) {
	var there []string
	for _, name := range slices.Sorted(maps.Keys(m.Signatures)) {
		if s := m.Signatures[name]; len(s.Inputs) > 0 && len(s.Outputs) > 0 { // else it initializes the model, say
			there = append(there, name)
		}
	}
	wanted := p.Signature
	if wanted == "" {
		wanted = savedmodel.DefaultSignature
		if len(there) == 1 {
			wanted = there[0]
		}
	}
	s, ok := m.Signatures[wanted]
	switch {
	case ok:
		return s, nil
	case len(there) == 0:
		return s, exit.Errorf(exit.Usage, "--model %s has no signature that takes and gives tensors", p.Model).Try("save it with signatures=, or by a Keras model's export")
	}
	return s, exit.Errorf(exit.Usage, "--model %s has no signature %s: it has %s", p.Model, wanted, strings.Join(there, ", ")).Try("choose one with --signature")
}

// inputs are the files that the patterns match, each once, sorted.
func (p Prediction) inputs(ctx context.Context, files *dfs.Resolver) ([]plan.Input, error) {
	var all []plan.Input
	for _, pattern := range p.Inputs {
		uri, err := absolute(pattern)
		if err != nil {
			return nil, err
		}
		found, err := glob.Matcher{Resolver: files}.Match(ctx, uri)
		if err != nil {
			return nil, exit.Errorf(exit.Of(orUsage(err)), "--input %s: %w", pattern, err)
		}
		if len(found) == 0 {
			return nil, exit.Errorf(exit.Usage, "--input %s: no file matches", pattern)
		}
		for _, f := range found {
			all = append(all, plan.Input{Path: f.Path, Size: f.Size})
		}
	}
	slices.SortFunc(all, func(a, b plan.Input) int { return strings.Compare(a.Path, b.Path) })
	return slices.Compact(all), nil
}

// orUsage takes an error that says no exit code, and is not the filesystem's, for a wrong argument.
func orUsage(err error) error {
	if errors.Is(err, dfs.ErrUnreachable) || errors.Is(err, dfs.ErrSafeMode) {
		return exit.Errorf(exit.Infrastructure, "%w", err)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, dfs.ErrCredentials) {
		return exit.Errorf(exit.Refused, "%w", err)
	}
	return exit.Errorf(exit.Usage, "%w", err)
}

// format is what is said, or what all files' names say.
func (p Prediction) format(inputs []plan.Input) (plan.Format, error) {
	if p.Format != "" {
		if !slices.Contains(plan.Formats, plan.Format(p.Format)) {
			return "", exit.Errorf(exit.Usage, "--format %s: want one of %s", p.Format, names(plan.Formats))
		}
		return plan.Format(p.Format), nil
	}
	first := plan.FormatOf(inputs[0].Path)
	for _, in := range inputs {
		if f := plan.FormatOf(in.Path); f == "" || f != first {
			return "", exit.Errorf(exit.Usage, "%s does not say by its name what it holds, or another format than %s", in.Path, inputs[0].Path).
				Try("say --format: one of %s", names(plan.Formats))
		}
	}
	return first, nil
}

// look looks into the output's directory.
func (p *Planned) look(ctx context.Context, files *dfs.Resolver) error {
	var err error
	if p.output, p.dir, err = files.Resolve(ctx, launch.CheckpointURI(p.Output)); err != nil {
		return exit.Errorf(exit.Usage, "--output %w", err)
	}
	list, err := p.output.List(ctx, p.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, dfs.ErrNotDirectory):
		return exit.Errorf(exit.Usage, "--output %s is a file: want a directory", p.Output)
	case err != nil:
		return stage.Explain(p.output, "list", p.dir, err)
	case len(list) == 0:
		return nil
	}
	earlier, err := predict.ReadPlan(ctx, p.output, p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if own := slices.IndexFunc(list, func(i dfs.Info) bool { return path.Base(i.Name) != plan.Dir }); own < 0 {
			return nil // a run that was interrupted before it had written its plan
		}
		return exit.Errorf(exit.Usage, "--output %s is not empty, and holds no output of tfos predict", p.Output).Try("name a directory that is new, or empty")
	}
	if err != nil {
		return exit.Errorf(exit.Usage, "--output %s: %w", p.Output, err)
	}
	if what := p.Differs(earlier); what != "" {
		return exit.Errorf(exit.Usage, "--output %s is of another run: %s", p.Output, what).Try("name another directory, or remove that one")
	}
	p.Begun, p.Shards = true, earlier.Shards
	p.Complete = slices.ContainsFunc(list, func(i dfs.Info) bool { return path.Base(i.Name) == plan.Done })
	return nil
}

// firstRow reads the first row of the input, and holds it against the model.
func (p *Planned) firstRow(ctx context.Context, files *dfs.Resolver) error {
	open := func(ctx context.Context, name string) (dfs.File, error) {
		d, at, err := files.Resolve(ctx, launch.CheckpointURI(name))
		if err != nil {
			return nil, err
		}
		return d.Open(ctx, at)
	}
	for _, shard := range p.Shards {
		r, err := source.Shard(ctx, open, p.Plan, shard)
		if err != nil {
			return orUsage(err)
		}
		batch, err := r.Next(ctx, source.Size{Rows: 1})
		if err == io.EOF { // no row begins in it
			if err := r.Close(); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			err = p.fits(batch)
		}
		if err := errors.Join(err, r.Close()); err != nil {
			return orUsage(err)
		}
		return nil
	}
	return nil
}

// fits holds rows against the signature.
func (p *Planned) fits(batch source.Batch) error {
	columns, err := batch.Decode()
	if err != nil {
		return err
	}
	for i, t := range p.Signature.Inputs {
		c := &columns[i]
		if !column.Fits(c.Kind, t.Type) {
			return fmt.Errorf("%s holds %s, and the model takes %s", c.Name, c.Kind, t)
		}
		if p.Fixed() {
			rows, err := p.Rows()
			if err != nil {
				return err
			}
			c.Pad(rows)
		}
		if _, err := c.Dims(t); err != nil {
			return source.Explain(batch, err)
		}
	}
	return nil
}

// Write leaves the plan beside the output, where the workers find it. An earlier run's stays.
func (p *Planned) Write(ctx context.Context) error {
	if p.Begun {
		return nil
	}
	if err := p.output.Mkdir(ctx, path.Join(p.dir, plan.Dir), 0o755); err != nil {
		return stage.Explain(p.output, "make", path.Join(p.dir, plan.Dir), err)
	}
	text, err := p.Encode()
	if err != nil {
		return err
	}
	type file struct {
		name    string
		content []byte
	}
	all := []file{{plan.Leases, p.LeaseList()}, {plan.File, text}}
	if len(p.Shards) == 0 { // no worker would end it
		all = append(all, file{plan.Done, nil})
	}
	for _, f := range all {
		name := path.Join(p.dir, f.name)
		if err := dfs.WriteFile(ctx, p.output, name, f.content, 0o644); err != nil {
			return stage.Explain(p.output, "write", name, err)
		}
	}
	return nil
}
