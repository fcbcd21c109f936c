package principal

import "testing"

func TestShort(t *testing.T) {
	const rules = `RULE:[1:$1@$0](.*@CORP\.COM)s/@.*//L RULE:[2:$1-$2@$0](nn-.*@.*)s/-.*/_svc/ RULE:[1:$1](.*\.x)s/\.//g DEFAULT`
	for _, c := range []struct {
		name, rules string
		mit         bool
		want        string // empty: an error
	}{
		{"jane", "", false, "jane"},
		{"jane@EXAMPLE.COM", "", false, "jane"},
		{"jane@EXAMPLE.COM", " \n", false, "jane"},
		{"jane/host@EXAMPLE.COM", "", false, "jane"},
		{"jane/host", "", false, "jane"},
		{`CORP\jane`, "", false, `CORP\jane`},
		{"jane doe", "", false, "jane doe"},
		{"jané", "", false, "jané"},
		{"svc-ml_01$", "", false, "svc-ml_01$"},
		{"a/b/c", "", false, "a/b/c"},
		{"a@b@c", "", false, ""},
		{"Jane@CORP.COM", rules, false, "jane"},
		{"nn/h1@X", rules, false, "nn_svc"},
		{"a.b.x@Y", rules, false, "abx"},
		{"jane@OTHER.COM", rules, false, ""},
		{"jane@OTHER.COM", rules, true, "jane@OTHER.COM"},
		{"jane@OTHER.COM", "DEFAULT", false, ""},
		{"jane", "DEFAULT", false, "jane"},
		{"jane@X", "RULE:[1:$1@$0]", false, ""},
		{"jane@X", "RULE:[1:$1@$0]", true, "jane@X"},
		{"jane@X", "nonsense", false, ""},
		{"jane@X", "RULE:[1:$3]", false, ""},
		{"jane@X", "RULE:[1:$1](jan)", false, ""},
		{"jane@X", "RULE:[1:$1]((jane|ann))", false, ""}, // as in Hadoop, a regular expression ends at the first )
	} {
		got, err := Short(c.name, c.rules, c.mit)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q by %q is %q, %v; want %q", c.name, c.rules, got, err, c.want)
		}
	}
}

func FuzzShort(f *testing.F) {
	f.Add("jane/h@X", "RULE:[2:$1@$0](.*)s/a/b/g DEFAULT")
	f.Add("jane@X", "RULE:[1:$9](")
	f.Fuzz(func(t *testing.T, name, rules string) {
		if got, err := Short(name, rules, false); err == nil && name != "" && got == "" && rules == "" {
			t.Errorf("%q is nobody", name)
		}
	})
}
