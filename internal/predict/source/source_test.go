package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"tfos/internal/dfs"
	"tfos/internal/example"
	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
	"tfos/internal/savedmodel"
	"tfos/internal/tfrecord"
)

// planFor is a plan for a model that takes three numbers, a name and a count, and keeps the column
// id.
func planFor(f plan.Format, split int64) plan.Plan {
	var p plan.Plan
	p.Format, p.Split, p.Group = f, split, 2
	p.Signature.Inputs = []savedmodel.Tensor{
		{Name: "x", Type: savedmodel.Float, Shape: savedmodel.Shape{Dims: []int64{-1, 3}}},
		{Name: "name", Type: savedmodel.String, Shape: savedmodel.Shape{Dims: []int64{-1}}},
		{Name: "n", Type: savedmodel.Int64, Shape: savedmodel.Shape{Dims: []int64{-1}}},
	}
	p.Columns, p.Keep = []string{"x", "name", "n"}, []string{"id"}
	return p
}

// disk is a filesystem with some files.
func disk(t *testing.T, p *plan.Plan, files map[string][]byte) Open {
	t.Helper()
	m := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	for name, content := range files {
		if err := dfs.WriteFile(t.Context(), m, name, content, 0); err != nil {
			t.Fatal(err)
		}
		p.Inputs = append(p.Inputs, plan.Input{Path: name, Size: int64(len(content))})
	}
	var err error
	if p.Shards, err = p.Cut(p.Inputs); err != nil {
		t.Fatal(err)
	}
	return m.Open
}

// read reads all shards in batches of n, and describes each row.
func read(t *testing.T, open Open, p plan.Plan, n int) ([]string, error) {
	t.Helper()
	var all []string
	for _, shard := range p.Shards {
		r, err := Shard(t.Context(), open, p, shard)
		if err != nil {
			return all, err
		}
		for {
			b, err := r.Next(t.Context(), Size{Rows: n})
			if err == io.EOF {
				break
			}
			if err != nil {
				r.Close()
				return all, err
			}
			columns, err := b.Decode()
			if err != nil {
				r.Close()
				return all, err
			}
			for row := range b.Rows() {
				all = append(all, describe(columns, row))
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all, nil
}

func describe(columns []column.Column, row int) string {
	var b strings.Builder
	for _, c := range columns {
		from, to := c.Row(row)
		for i := from; i < to; i++ {
			switch c.Kind {
			case column.Bytes:
				fmt.Fprintf(&b, "%s=%q ", c.Name, c.Bytes[i])
			case column.Float:
				fmt.Fprintf(&b, "%s=%v ", c.Name, c.Floats[i])
			case column.Double:
				fmt.Fprintf(&b, "%s=%v ", c.Name, c.Doubles[i])
			case column.Int:
				fmt.Fprintf(&b, "%s=%v ", c.Name, c.Ints[i])
			}
		}
	}
	return b.String()
}

// row is what row i of the made files holds.
type row struct {
	X    []float32 `parquet:"x,list"`
	Name string    `parquet:"name"`
	N    int32     `parquet:"n"`
	ID   *string   `parquet:"id,optional"`
}

func rowOf(i int) row {
	id := "id\n" + strconv.Itoa(i)
	return row{[]float32{float32(i), 0.1, -float32(i) / 3}, strings.Repeat("é,\"", i%7), int32(i * i), &id}
}

func (r row) String() string {
	s := ""
	for _, v := range r.X {
		s += fmt.Sprintf("x=%v ", v)
	}
	return s + fmt.Sprintf("name=%q n=%d id=%q ", r.Name, r.N, *r.ID)
}

// makers make a file of rows in each format.
var makers = map[plan.Format]func(t *testing.T, rows []row) []byte{
	plan.TFRecord: func(t *testing.T, rows []row) (b []byte) {
		for _, r := range rows {
			b = tfrecord.Append(b, example.Append(nil, []column.Column{
				{Name: "x", Kind: column.Float, Floats: r.X, Ends: []int{3}}, {Name: "name", Kind: column.Bytes, Bytes: [][]byte{[]byte(r.Name)}, Ends: []int{1}},
				{Name: "other", Kind: column.Int, Ints: []int64{1}, Ends: []int{1}},
				{Name: "n", Kind: column.Int, Ints: []int64{int64(r.N)}, Ends: []int{1}}, {Name: "id", Kind: column.Bytes, Bytes: [][]byte{[]byte(*r.ID)}, Ends: []int{1}},
			}, 0))
		}
		return b
	},
	plan.CSV: func(t *testing.T, rows []row) []byte {
		b := []byte("\ufeffother,x,name,n,id\n")
		for _, r := range rows {
			quoted := strings.ReplaceAll(r.Name, `"`, `""`)
			b = fmt.Appendf(b, "1,\"[%v, [%v, %v]]\",\"%s\",%d,\"%s\"\r\n", r.X[0], r.X[1], r.X[2], quoted, r.N, *r.ID)
		}
		return b
	},
	plan.Parquet: func(t *testing.T, rows []row) []byte {
		var b bytes.Buffer
		w := parquet.NewGenericWriter[row](&b, parquet.MaxRowsPerRowGroup(16), parquet.PageBufferSize(64))
		if _, err := w.Write(rows); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	},
}

// TestEveryRowOnce reads each format, cut in many ways and in batches of several sizes: every row
// is there once, in order.
func TestEveryRowOnce(t *testing.T) {
	var rows []row
	for i := range 100 {
		rows = append(rows, rowOf(i))
	}
	for format, mk := range makers {
		content := mk(t, rows)
		splits := []int64{0, 37, 100, 1000, int64(len(content)) - 1, int64(len(content))}
		if format == plan.CSV {
			splits = []int64{0} // a newline within quotes ends no row
		}
		for _, split := range splits {
			for _, n := range []int{1, 7, 1000} {
				p := planFor(format, split)
				open := disk(t, &p, map[string][]byte{"/in": content})
				got, err := read(t, open, p, n)
				if err != nil || len(got) != len(rows) {
					t.Fatalf("%s cut at %d: %d rows, %v", format, split, len(got), err)
				}
				for i := range got {
					if got[i] != rows[i].String() {
						t.Fatalf("%s cut at %d: row %d is %s, want %s", format, split, i, got[i], rows[i])
					}
				}
			}
		}
	}
}

// TestCSVIsCutAtLines cuts files with blank lines, either ending of lines and a last line without
// one at every size.
func TestCSVIsCutAtLines(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := []byte("id,name,n,x_0,x_1,x_2\n")
		var want []string
		for i := range 12 {
			b = append(b, strings.Repeat([]string{"\n", "\r\n"}[r.IntN(2)], max(0, r.IntN(6)-3))...)
			b = fmt.Appendf(b, "%d,b,7,1,2,3%s", i, []string{"\n", "\r\n"}[r.IntN(2)])
			want = append(want, fmt.Sprintf(`x=1 x=2 x=3 name="b" n=7 id="%d" `, i))
		}
		if r.IntN(2) == 0 {
			b = bytes.TrimRight(b, "\r\n")
		}
		for split := int64(1); split <= int64(len(b)); split++ {
			p := planFor(plan.CSV, split)
			got, err := read(t, disk(t, &p, map[string][]byte{"/in": b}), p, 3)
			if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
				t.Fatalf("seed %d, cut at %d: %v\n%s\nof\n%q", seed, split, err, strings.Join(got, "\n"), b)
			}
		}
	}
}

func TestCompressedFilesAreReadWhole(t *testing.T) {
	for _, format := range []plan.Format{plan.TFRecord, plan.CSV} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(makers[format](t, []row{rowOf(1), rowOf(2), rowOf(3)})); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		p := planFor(format, 20)
		got, err := read(t, disk(t, &p, map[string][]byte{"/in": b.Bytes()}), p, 2)
		if err != nil || len(got) != 3 || got[2] != rowOf(3).String() {
			t.Errorf("%s: %q, %v", format, got, err)
		}
		p = planFor(format, 0)
		if _, err := read(t, disk(t, &p, map[string][]byte{"/in": b.Bytes()[:b.Len()-9]}), p, 2); err == nil {
			t.Errorf("%s: a file that is cut off was read", format)
		}
	}
}

func TestImages(t *testing.T) {
	p := planFor(plan.Images, 0)
	p.Signature.Inputs, p.Columns, p.Keep = p.Signature.Inputs[1:2], []string{plan.Whole}, []string{plan.PathColumn}
	m := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	for _, name := range []string{"/1.png", "/2.png", "/3.png"} {
		if err := dfs.WriteFile(t.Context(), m, name, []byte("P"+name), 0); err != nil {
			t.Fatal(err)
		}
		p.Inputs = append(p.Inputs, plan.Input{Path: name, Size: 7})
	}

	p.Shards, _ = p.Cut(p.Inputs)
	got, err := read(t, m.Open, p, 2)
	if want := `*="P/1.png" path="/1.png" |*="P/2.png" path="/2.png" |*="P/3.png" path="/3.png" `; err != nil || strings.Join(got, "|") != want || len(p.Shards) != 2 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTheWholeRecord(t *testing.T) {
	p := planFor(plan.TFRecord, 0)
	p.Signature.Inputs, p.Columns, p.Keep = p.Signature.Inputs[1:2], []string{plan.Whole}, nil
	got, err := read(t, disk(t, &p, map[string][]byte{"/in": tfrecord.Append(nil, []byte("anything"))}), p, 2)
	if err != nil || len(got) != 1 || got[0] != `*="anything" ` {
		t.Errorf("%q, %v", got, err)
	}
}

// TestBadInputIsNamed: an error says which file and row it is about, and what is wrong.
func TestBadInputIsNamed(t *testing.T) {
	head := "x,name,n,id\n"
	good := "\"[1,2,3]\",a,1,i\n"
	nameless := tfrecord.Append(nil, example.Append(nil, []column.Column{{Name: "x", Kind: column.Float, Floats: []float32{1}, Ends: []int{1}}}, 0))
	two := tfrecord.Append(tfrecord.Append(nil, []byte("one")), []byte("two")) // the second one begins at byte 19
	damaged := bytes.Replace(two, []byte("two"), []byte("twp"), 1)
	packed := func(b []byte) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		if _, err := w.Write(b); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return z.Bytes()
	}
	type nullable struct {
		X    []float32 `parquet:"x,list"`
		Name *string   `parquet:"name,optional"`
		N    int32     `parquet:"n"`
		ID   string    `parquet:"id"`
	}
	type money struct {
		X    []float32 `parquet:"x,list"`
		Name string    `parquet:"name"`
		N    int64     `parquet:"n,decimal(2:9)"`
		ID   string    `parquet:"id"`
	}
	var null, decimal bytes.Buffer
	if err := parquet.Write(&null, []nullable{{X: []float32{1, 2, 3}}}); err != nil {
		t.Fatal(err)
	}
	if err := parquet.Write(&decimal, []money{{X: []float32{1, 2, 3}}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		format  plan.Format
		content string
		says    string
	}{
		{plan.CSV, "a,b\n1,2\n", "/in: it has no column x: it has a, b"},
		{plan.CSV, "", ""}, // no row
		{plan.CSV, "\n", "no header"},
		{plan.CSV, head + good + "\"[1,2,three]\",a,1,i\n", "/in, row 2: x is"},
		{plan.CSV, head + good + good + "\"[1,2,3]\",a,1.5,i\n", `/in, row 3: n is "1.5": want a whole number`},
		{plan.CSV, head + good + "1,a\n", "wrong number of fields"},
		{plan.CSV, head + "\"[1,2\",a,1,i\n", "row 1: x is"},
		{plan.TFRecord, string(nameless), "/in, row 1: it has no value of name"},
		{plan.TFRecord, string(tfrecord.Append(nil, []byte("x"))), "/in, row 1: it is no tf.train.Example"},
		{plan.TFRecord, "no records at all, but text", "/in: the file is damaged, or no TFRecord file"},
		{plan.TFRecord, string(damaged), "/in: the file is damaged: the 3 bytes are not what their checksum says, of the record at byte 19"},
		{plan.TFRecord, string(two[:33]), "/in: the file is cut off in the record at byte 19"},
		{plan.TFRecord, string(packed(damaged)), "/in: unpacked: the file is damaged: the 3 bytes are not what their checksum says, of the record at byte 19"},
		{plan.TFRecord, string(packed(two)[:20]), "/in: unpacked: the compressed file is cut off"},
		{plan.CSV, string(packed([]byte(head + good + good))[:40]), "/in: read the row after byte 44: the compressed file is cut off"},
		{plan.Parquet, "no columns at all, but text", "/in: it is damaged, or no Parquet file"},
		{plan.Parquet, null.String(), "/in, row 1: it has no value of name"},
		{plan.Parquet, decimal.String(), "/in: its column n has values of type DECIMAL"},
	} {
		p := planFor(c.format, 0)
		_, err := read(t, disk(t, &p, map[string][]byte{"/in": []byte(c.content)}), p, 2)
		if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %.30q: %v, want %q", c.format, c.content, err, c.says)
		}
		if damaged := new(Damaged); err != nil && !errors.As(err, &damaged) {
			t.Errorf("%s %.30q: %v: another attempt would end alike", c.format, c.content, err)
		}
	}
}

// dying is a file that cannot be read beyond its first bytes, as one whose node is lost.
type dying struct {
	dfs.File
	left int64
}

func (d dying) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > d.left {
		return 0, errors.New("the connection was reset")
	}
	return d.File.ReadAt(b, at)
}

func (d dying) Read([]byte) (int, error) { return 0, errors.New("the connection was reset") }

// TestAFileThatCannotBeReadIsNotDamaged: another attempt may read it, whatever its format makes of
// the failure.
func TestAFileThatCannotBeReadIsNotDamaged(t *testing.T) {
	for _, format := range []plan.Format{plan.TFRecord, plan.CSV, plan.Parquet, plan.Images} {
		for _, left := range []int64{0, 20} {
			p := planFor(format, 0)
			open := disk(t, &p, map[string][]byte{"/in": append([]byte("PAR1"), make([]byte, 100)...)}) // a file of Parquet begins so
			_, err := read(t, func(ctx context.Context, path string) (dfs.File, error) {
				f, err := open(ctx, path)
				return dying{f, left}, err
			}, p, 2)
			if damaged := new(Damaged); err == nil || errors.As(err, &damaged) {
				t.Errorf("%s, readable up to byte %d: %v", format, left, err)
			}
		}
	}
}

func TestAChangedFileIsRefused(t *testing.T) {
	p := planFor(plan.CSV, 0)
	open := disk(t, &p, map[string][]byte{"/in": []byte("x,name,n,id\n")})
	p.Inputs[0].Size++
	if _, err := Shard(context.Background(), open, p, p.Shards[0]); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Error(err)
	}
}

// TestArraysInCells: a list of numbers is read without a decoder of JSON, and by the same rules.
func TestArraysInCells(t *testing.T) {
	for text, want := range map[string][]float32{
		"[1,2]": {1, 2}, "[ -1.5e3 , 2E0 ]": {-1500, 2}, "[[1],[2]]": {1, 2}, "[]": {}, "[ ]": {}, `["NaN", 1]`: {float32(math.NaN()), 1},
		"[1,,2]": nil, "[1,2": nil, "[,]": nil, "[1 2]": nil, "[1,2]]": nil, "[1,x]": nil,
	} {
		c := column.Column{Name: "x", Kind: column.Float}
		err := array(&c, cells{Wanted: Wanted{"x", savedmodel.Float}}, text)
		if (err != nil) != (want == nil) || err == nil && fmt.Sprint(c.Floats) != fmt.Sprint(want) {
			t.Errorf("%s: %v, %v", text, c.Floats, err)
		}
	}
}
