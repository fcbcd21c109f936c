package uri

import (
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for name, want := range map[string]URI{
		"hdfs://nn:8020/a/b":             {"hdfs", "nn:8020", "/a/b"},
		"HDFS://Nn/a":                    {"hdfs", "Nn", "/a"},
		"hdfs:///models/run#2":           {"hdfs", "", "/models/run#2"},
		"hdfs://nn/a%20b?c#d;e&f=g+h:i ": {"hdfs", "nn", "/a%20b?c#d;e&f=g+h:i "},
		"hdfs://nn":                      {"hdfs", "nn", ""},
		"hdfs://[::1]:8020/x":            {"hdfs", "[::1]:8020", "/x"},
		"file:/tmp/x":                    {"file", "", "/tmp/x"},
		"file:///tmp/x":                  {"file", "", "/tmp/x"},
		"viewfs://a b/x":                 {"viewfs", "a b", "/x"},
		"/a b%zz#?":                      {"", "", "/a b%zz#?"},
		"//models/run":                   {"", "", "//models/run"},
		"":                               {},
		"a/b:c":                          {"", "", "a/b:c"},
		"2024-01-01 00:00/x":             {"", "", "2024-01-01 00:00/x"},
		":x":                             {"", "", ":x"},
	} {
		if got := Parse(name); got != want {
			t.Errorf("%q is %+v, want %+v", name, got, want)
		}
	}
}

// TestEveryCharacterOfAPathStandsForItself is the law that names of files are not URLs.
func TestEveryCharacterOfAPathStandsForItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := URI{
			rapid.SampledFrom([]string{"hdfs", "file", "s3a"}).Draw(t, "scheme"),
			rapid.SampledFrom([]string{"", "nn", "nn:8020", "[::1]:1"}).Draw(t, "authority"),
			"/" + rapid.String().Draw(t, "path"),
		}
		if got := Parse(want.String()); got != want {
			t.Errorf("%s came back as %+v, want %+v", want, got, want)
		}
	})
}
