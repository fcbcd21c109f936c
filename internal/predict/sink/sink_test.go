package sink

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"

	"tfos/internal/example"
	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
	"tfos/internal/tfrecord"
)

// rows are two rows with everything that is hard to write.
func rows() []column.Column {
	return []column.Column{
		{Name: "id", Kind: column.Bytes, Bytes: [][]byte{[]byte("a\"b\n,é"), []byte("\xff\x00")}, Ends: []int{1, 2}, Shape: []int64{}},
		{Name: "few", Kind: column.Int, Ints: []int64{1}, Ends: []int{1, 1}},
		{Name: "y", Kind: column.Float, Floats: []float32{0.1, float32(math.NaN()), 1e-30, float32(math.Inf(-1))}, Ends: []int{2, 4}, Shape: []int64{2}},
		{Name: "m", Kind: column.Double, Doubles: []float64{1, 2, 3, 4, 5, 6, 7, 1. / 3}, Ends: []int{4, 8}, Shape: []int64{2, 2}},
		{Name: "n", Kind: column.Float, Floats: []float32{-0.5, float32(math.Inf(1))}, Ends: []int{1, 2}, Shape: []int64{}},
	}
}

func TestJSONL(t *testing.T) {
	got, err := Append(Header(plan.JSONL, []string{"id"}), plan.JSONL, rows())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"id":"a\"b\n,é","few":1,"y":[0.1,"NaN"],"m":[[1,2],[3,4]],"n":-0.5}
{"id":{"b64":"/wA="},"few":null,"y":[1e-30,"-Infinity"],"m":[[5,6],[7,0.3333333333333333]],"n":"Infinity"}
`
	if string(got) != want {
		t.Errorf("wrote\n%swant\n%s", got, want)
	}
	for line := range strings.Lines(string(got)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestCSV(t *testing.T) {
	var names []string
	for _, c := range rows() {
		names = append(names, c.Name)
	}
	got, err := Append(Header(plan.CSVRows, names), plan.CSVRows, rows())
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(got)).ReadAll()
	if err != nil {
		t.Fatalf("%v in\n%s", err, got)
	}
	want := [][]string{
		{"id", "few", "y", "m", "n"},
		{"a\"b\n,é", "1", `[0.1,"NaN"]`, "[[1,2],[3,4]]", "-0.5"},
		{"\xff\x00", "", `[1e-30,"-Infinity"]`, "[[5,6],[7,0.3333333333333333]]", "Infinity"},
	}
	for i, record := range records {
		if strings.Join(record, "|") != strings.Join(want[i], "|") {
			t.Errorf("row %d is %q, want %q", i, record, want[i])
		}
	}
	// A row of one empty cell is no blank line, which readers pass over.
	one := []column.Column{{Name: "x", Kind: column.Bytes, Bytes: [][]byte{nil}, Ends: []int{1}}}
	if got, err := Append(nil, plan.CSVRows, one); string(got) != "\"\"\n" || err != nil {
		t.Errorf("an empty cell: %q, %v", got, err)
	}
}

func TestTFRecord(t *testing.T) {
	got, err := Append(nil, plan.TFRecordRows, rows())
	if err != nil {
		t.Fatal(err)
	}
	back := []column.Column{{Name: "y"}, {Name: "few"}, {Name: "id"}, {Name: "m"}}
	r := tfrecord.NewReader(bytes.NewReader(got), 0)
	for {
		record, err := r.Append(nil)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := example.Read([][]byte{record}, back); err != nil {
			t.Fatal(err)
		}
	}
	if back[0].Rows() != 2 || math.Float32bits(back[0].Floats[2]) != math.Float32bits(1e-30) || len(back[1].Ints) != 1 || string(back[2].Bytes[1]) != "\xff\x00" || len(back[3].Floats) != 8 {
		t.Errorf("reads back as %+v", back)
	}
}

func TestUnevenColumnsAreRefused(t *testing.T) {
	c := rows()
	c[2].Ends = c[2].Ends[:1]
	if _, err := Append(nil, plan.JSONL, c); err == nil {
		t.Error("columns of one and two rows were written")
	}
}

// FuzzStrings: any bytes read back from each format as they were.
func FuzzStrings(f *testing.F) {
	f.Add([]byte("a\"b\n,é\u2028<>&"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := []column.Column{{Name: "x", Kind: column.Bytes, Bytes: [][]byte{b}, Ends: []int{1}}}
		line, err := Append(nil, plan.JSONL, c)
		if err != nil {
			t.Fatal(err)
		}
		var row struct{ X any }
		if err := json.Unmarshal(line, &row); err != nil || bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("%q: %v", line, err)
		}
		if s, ok := row.X.(string); ok && s != string(b) {
			t.Fatalf("%q reads back as %q", b, s)
		}
		cell, err := Append(nil, plan.CSVRows, c)
		if err != nil {
			t.Fatal(err)
		}
		record, err := csv.NewReader(bytes.NewReader(cell)).Read()
		if want := strings.ReplaceAll(string(b), "\r\n", "\n"); err != nil || record[0] != want { // the reader's own rule
			t.Fatalf("%q reads back as %q, %v", b, record, err)
		}
	})
}
