package conf

import (
	"encoding/binary"
	"unicode/utf16"

	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func lookup(m map[string]string) func(string) (string, bool) {
	return func(k string) (string, bool) { v, ok := m[k]; return v, ok }
}

func fresh() *Conf {
	return New(Environment{
		Env:    lookup(map[string]string{"HOME": "/home/ann", "EMPTY": ""}),
		System: map[string]string{"user.name": "ann"},
	})
}

func site(properties string) []byte {
	return []byte("<?xml version=\"1.0\"?>\n<configuration>\n" + properties + "\n</configuration>\n")
}

func prop(name, value string) string {
	return fmt.Sprintf("<property><name>%s</name><value>%s</value></property>\n", name, value)
}

func add(t *testing.T, c *Conf, name, properties string) {
	t.Helper()
	if err := c.AddResource(name, site(properties), nil); err != nil {
		t.Fatal(err)
	}
}

func TestResourcesInOrder(t *testing.T) {
	c := fresh()
	add(t, c, "core-site.xml", prop("a", "1")+prop("b", "1")+
		`<property><name>f</name><value>kept</value><final>true</final></property>`+
		`<property name="attr" value="v" final="true"/>`+
		`<property><name>no.value</name></property>`+
		`<!-- <property><name>comment</name><value>x</value></property> -->`+
		`<property><name> spaced </name><value><![CDATA[a<b]]></value><description>d <b>bold</b></description></property>`)
	add(t, c, "yarn-site.xml", prop("b", "2")+prop("f", "lost")+prop("attr", "lost"))
	c.Set("o", "set")
	add(t, c, "late.xml", prop("o", "file"))
	if err := c.SetOverrides([]string{"f=overridden", "e=a=b"}); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"a": "1", "b": "2", "f": "overridden", "attr": "v", "o": "set", "spaced": "a<b", "e": "a=b", "none": ""} {
		if got := c.String(k); got != want {
			t.Errorf("%s = %q, want %q", k, got, want)
		}
	}
	if c.Has("comment") || c.Has("no.value") {
		t.Error("what is no value became one")
	}
	for k, want := range map[string]string{"b": "yarn-site.xml:3", "o": "-D", "dfs.replication": "default", "none": ""} {
		if got := c.Source(k); got != want {
			t.Errorf("source of %s is %q, want %q", k, got, want)
		}
	}
	if !c.IsDefault("dfs.replication") || c.IsDefault("a") {
		t.Error("IsDefault is wrong")
	}
	if err := c.SetOverrides([]string{"nonsense"}); err == nil {
		t.Error("-D without = was taken")
	}
}

func TestDeprecatedNames(t *testing.T) {
	c := fresh()
	add(t, c, "core-site.xml", prop("fs.default.name", "hdfs://old:8020")+prop("warehouse", "${fs.default.name}/w"))
	for _, k := range []string{"fs.defaultFS", "fs.default.name"} {
		if got := c.String(k); got != "hdfs://old:8020" {
			t.Errorf("%s = %q", k, got)
		}
	}
	if got := c.String("warehouse"); got != "hdfs://old:8020/w" {
		t.Errorf("warehouse = %q", got)
	}
}

func TestExpansion(t *testing.T) {
	c := fresh()
	for text, want := range map[string]string{
		"${hadoop.tmp.dir}/x":       "/tmp/hadoop-ann/x",
		"${user.name}@${env.HOME}":  "ann@/home/ann",
		"${env.NONE-word}":          "word",
		"${env.EMPTY-word}":         "",
		"${env.EMPTY:-word}":        "word",
		"${env.HOME:-word}":         "/home/ann",
		"${unknown} stays":          "${unknown} stays",
		"${env.NONE}":               "${env.NONE}",
		"${${which}.name}":          "ann",
		"${self}":                   "${self}",
		"$ {x} ${} ${a b} } ${user": "$ {x} ${} ${a b} } ${user",
		"  trimmed  ":               "trimmed",
	} {
		c.Set("which", "user")
		c.Set("self", "${self}")
		c.Set("k", text)
		if got := c.String("k"); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	c.Set("loop.a", "${loop.b}")
	c.Set("loop.b", "${loop.a}")
	if got := c.String("loop.a"); !strings.HasPrefix(got, "${loop.") {
		t.Errorf("a loop became %q", got)
	}
}

func TestTypedValues(t *testing.T) {
	c := fresh()
	values := map[string]string{"i": "42", "hex": "0x1F", "bool": "True", "d": "30s", "bare": "250", "min": "2 m", "size": "64k", "big": "2GB", "list": " a, b,,c ", "bad": "x1", "neg": "-5", "huge": "9999999999999999999", "over": "300000d", "tb": "9000000t"}
	for k, v := range values {
		c.Set(k, v)
	}
	check := func(name string, got, want any, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", name, got, err, want)
		}
	}
	i, err := c.Int("i", 0)
	check("i", i, int64(42), err)
	i, err = c.Int("hex", 0)
	check("hex", i, int64(31), err)
	i, err = c.Int("none", 7)
	check("none", i, int64(7), err)
	b, err := c.Bool("bool", false)
	check("bool", b, true, err)
	d, err := c.Duration("d", time.Millisecond, 0)
	check("d", d, 30*time.Second, err)
	d, err = c.Duration("bare", time.Millisecond, 0)
	check("bare", d, 250*time.Millisecond, err)
	d, err = c.Duration("min", time.Millisecond, 0)
	check("min", d, 2*time.Minute, err)
	d, err = c.Duration("none", time.Millisecond, time.Hour)
	check("none", d, time.Hour, err)
	n, err := c.Bytes("size", 0)
	check("size", n, int64(64<<10), err)
	n, err = c.Bytes("big", 0)
	check("big", n, int64(2<<30), err)
	n, err = c.Bytes("neg", 0)
	check("neg", n, int64(-5), err)
	if got := c.List("list"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("list = %q", got)
	}
	for name, read := range map[string]func() error{
		"int":       func() error { _, err := c.Int("bad", 0); return err },
		"huge int":  func() error { _, err := c.Int("huge", 0); return err },
		"bool":      func() error { _, err := c.Bool("bad", false); return err },
		"duration":  func() error { _, err := c.Duration("bad", 1, 0); return err },
		"unit":      func() error { _, err := c.Duration("size", 1, 0); return err },
		"too long":  func() error { _, err := c.Duration("over", 1, 0); return err },
		"bytes":     func() error { _, err := c.Bytes("d", 0); return err },
		"too large": func() error { _, err := c.Bytes("tb", 0); return err },
	} {
		if err := read(); err == nil || !strings.Contains(err.Error(), "-D: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestBrokenFiles(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"not XML", "hello", "x.xml:1: no <configuration>"},
		{"another root", "<project/>", "x.xml:1: <project> where <configuration> was due"},
		{"cut short", "<configuration>\n<property><name>a</name>", "x.xml:2: XML: "},
		{"wrong nesting", "<configuration>\n\n<property><name>a</value></property></configuration>", "x.xml:3: XML: "},
		{"no name", "<configuration><property><value>1</value></property></configuration>", "x.xml:1: <property> without a name"},
		{"include of nothing", "<configuration>\n<include href=\"y.xml\"/></configuration>", `x.xml:2: include "y.xml": there is no such file`},
		{"encoding", `<?xml version="1.0" encoding="EBCDIC"?><configuration/>`, "want UTF-8"},
		{"not what it says", `<?xml version="1.0" encoding="UTF-16"?><configuration/>`, "x.xml:1: "},
		{"entity", "<configuration><property><name>a</name><value>&x;</value></property></configuration>", "x.xml:1: XML: "},
	} {
		err := fresh().AddResource("x.xml", []byte(c.file), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	for name, c := range map[string]struct{ doctype, value string }{
		"an entity of another file": {`<!ENTITY x SYSTEM "file:///etc/passwd">`, "&x;"},
		"an entity with an element": {`<!ENTITY x "<a/>">`, "&x;"},
		"entities in a circle":      {`<!ENTITY x "&y;"> <!ENTITY y "&x;">`, "&x;"},
		"a laughing entity":         {`<!ENTITY a "` + strings.Repeat("ha", 999) + `"> <!ENTITY b "` + strings.Repeat("&a;", 999) + `"> <!ENTITY x "` + strings.Repeat("&b;", 999) + `">`, "&x;"},
	} {
		file := "<!DOCTYPE configuration [\n" + c.doctype + "]>\n<configuration><property><name>a</name><value>" + c.value + "</value></property></configuration>"
		err := fresh().AddResource("x.xml", []byte(file), nil)
		if err == nil || !strings.Contains(err.Error(), "x.xml:3: ") || !strings.Contains(err.Error(), "write its value in its place") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestEncodings reads what Hadoop's own client reads.
func TestEncodings(t *testing.T) {
	const body = "<configuration>\n<property><name>a</name><value>ä&nn;</value></property></configuration>"
	doctype := "<!DOCTYPE configuration [ <!-- <!ENTITY nn 'no'> --> <!ENTITY h \"nn&#45;1\">\n<!ENTITY nn 'hdfs://&h;:8020?a&amp;b'> <!ENTITY nn 'second'> <!ENTITY % p 'x'> ]>\n"
	text := func(declaration string) string { return declaration + doctype + body }
	wide := func(s string, order binary.AppendByteOrder) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = order.AppendUint16(b, u)
		}
		return string(b)
	}
	latin1 := func(s string) string { return strings.ReplaceAll(s, "ä", "\xe4") }
	for name, file := range map[string]string{
		"UTF-8":               text(`<?xml version="1.0" encoding="utf-8" standalone="no"?>`),
		"UTF-8 with a mark":   "\xef\xbb\xbf" + text(`<?xml version="1.0"?>`),
		"UTF8":                text(`<?xml version="1.0" encoding="UTF8"?>`),
		"XML 1.1":             text(`<?xml version="1.1" encoding='UTF-8'?>`),
		"XML 1.1, no more":    text(`<?xml version='1.1'?>`),
		"no declaration":      text(""),
		"UTF-16 with a mark":  wide("\ufeff"+text(`<?xml version="1.0" encoding="UTF-16"?>`), binary.LittleEndian),
		"UTF-16 of the other": wide("\ufeff"+text(`<?xml version="1.0" encoding="UTF-16"?>`), binary.BigEndian),
		"UTF-16BE":            wide(text(`<?xml version="1.0" encoding="UTF-16BE"?>`), binary.BigEndian),
		"UTF-16LE":            wide(text(`<?xml version="1.0"?>`), binary.LittleEndian),
		"ISO-8859-1":          latin1(text(`<?xml version="1.0" encoding="ISO-8859-1"?>`)),
		"latin1":              latin1(text(`<?xml version="1.0" encoding="latin1"?>`)),
		"ISO-8859-15":         latin1(text(`<?xml version="1.0" encoding="iso-8859-15"?>`)),
		"windows-1252":        latin1(text(`<?xml version="1.0" encoding="windows-1252"?>`)),
		"GBK":                 strings.ReplaceAll(text(`<?xml version="1.0" encoding="GBK"?>`), "ä", "&#xe4;"),
		"US-ASCII":            strings.ReplaceAll(text(`<?xml version="1.0" encoding="US-ASCII"?>`), "ä", "&#228;"),
	} {
		c := fresh()
		if err := c.AddResource("x.xml", []byte(file), nil); err != nil || c.String("a") != "ähdfs://nn-1:8020?a&b" {
			t.Errorf("%s: %q, %v", name, c.String("a"), err)
		} else if got := c.Source("a"); got != "x.xml:4" {
			t.Errorf("%s: it is from %s, want line 4", name, got)
		}
	}
}

func TestIncludes(t *testing.T) {
	files := map[string][]byte{
		"more.xml": site(prop("b", "more") + prop("c", "more")),
		"self.xml": site(`<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="self.xml"/>`),
	}
	open := func(href string) ([]byte, error) {
		if b, ok := files[href]; ok {
			return b, nil
		}
		return nil, fs.ErrNotExist
	}
	c := fresh()
	err := c.AddResource("x.xml", site(prop("a", "1")+`
<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="more.xml"><xi:fallback>`+prop("a", "unused")+`</xi:fallback></xi:include>
<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="none.xml"><xi:fallback>`+prop("d", "fallback")+`</xi:fallback></xi:include>
`+prop("c", "last")), open)
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"a": "1", "b": "more", "c": "last", "d": "fallback"} {
		if got := c.String(k); got != want {
			t.Errorf("%s = %q, want %q", k, got, want)
		}
	}
	if got := c.Source("b"); got != "more.xml:3" {
		t.Errorf("source %q", got)
	}
	if err := fresh().AddResource("self.xml", files["self.xml"], open); err == nil || !strings.Contains(err.Error(), "include itself") {
		t.Errorf("a file that includes itself: %v", err)
	}
}

func TestResourceManagers(t *testing.T) {
	for _, c := range []struct {
		name, properties string
		service          RMService
		want             string
	}{
		{"defaults", "", RMClient, "0.0.0.0:8032"},
		{"host name", prop("yarn.resourcemanager.hostname", "rm"), RMScheduler, "rm:8030"},
		{"address", prop("yarn.resourcemanager.address", "rm:9000"), RMClient, "rm:9000"},
		{"no port", prop("yarn.resourcemanager.address", "rm"), RMClient, "rm:8032"},
		{"IPv6", prop("yarn.resourcemanager.address", "[::1]:7"), RMClient, "[::1]:7"},
		{"IPv6 without port", prop("yarn.resourcemanager.address", "::1"), RMClient, "[::1]:8032"},
		{"HA", prop("yarn.resourcemanager.ha.enabled", "true") + prop("yarn.resourcemanager.ha.rm-ids", "rm1, rm2") +
			prop("yarn.resourcemanager.hostname.rm1", "a") + prop("yarn.resourcemanager.address.rm2", "b:1") + prop("yarn.resourcemanager.hostname.rm2", "b"), RMClient, "a:8032 b:1"},
		{"HA web", prop("yarn.resourcemanager.ha.enabled", "true") + prop("yarn.resourcemanager.ha.rm-ids", "rm1") + prop("yarn.resourcemanager.hostname.rm1", "a"), RMWeb, "a:8088"},
		{"HA without ids", prop("yarn.resourcemanager.ha.enabled", "true"), RMClient, "error: y.xml:3: yarn.resourcemanager.ha.enabled is true but"},
		{"HA without an address", prop("yarn.resourcemanager.ha.enabled", "true") + prop("yarn.resourcemanager.ha.rm-ids", "rm1"), RMClient, `error: y.xml:4: ResourceManager "rm1" has neither`},
		{"HA of neither", prop("yarn.resourcemanager.ha.enabled", "yes"), RMClient, "error: y.xml:3: yarn.resourcemanager.ha.enabled = \"yes\": want true or false"},
	} {
		conf := fresh()
		add(t, conf, "y.xml", c.properties)
		addrs, err := conf.ResourceManagers(c.service)
		got := strings.Join(addrs, " ")
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != c.want && (err == nil || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestVirtualRatio(t *testing.T) {
	const checked, enforced = "yarn.nodemanager.vmem-check-enabled", "yarn.nodemanager.resource.memory.enforced"
	for _, c := range []struct {
		name, properties, want string
	}{
		{"Hadoop's default", "", "2.1 before 3.2"},
		{"off", prop(checked, "false"), "0"},
		{"another ratio", prop("yarn.nodemanager.vmem-pmem-ratio", "5"), "5 before 3.2"},
		{"cgroups instead of polling", prop(enforced, "true"), "2.1 before 3.2"},
		{"polling in Hadoop 3", prop(enforced, "false"), "2.1"},
		{"cgroups and polling", prop(enforced, "true") + prop("yarn.nodemanager.elastic-memory-control.enabled", "true"), "2.1"},
		{"nonsense", prop("yarn.nodemanager.vmem-pmem-ratio", "much"), `y.xml:3: yarn.nodemanager.vmem-pmem-ratio = "much": want a number`},
	} {
		conf := fresh()
		add(t, conf, "y.xml", c.properties)
		ratio, old, err := conf.VirtualRatio()
		got := fmt.Sprint(ratio)
		if old {
			got += " before 3.2"
		}
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestEncodeXML(t *testing.T) {
	c := fresh()
	add(t, c, "x.xml", prop("a", "1 &lt; 2 &amp; ${user.name}")+prop("fs.s3a.secret.key", "hush")+prop("ssl.server.keystore.keypassword", "hush")+prop("yarn.resourcemanager.hostname", "rm"))
	out := c.EncodeXML()
	if strings.Contains(string(out), "hush") || strings.Contains(string(out), "dfs.replication") {
		t.Errorf("secrets or defaults in\n%s", out)
	}
	elsewhere := New(Environment{System: map[string]string{"user.name": "yarn"}})
	if err := elsewhere.AddResource("hadoop-conf.xml", out, nil); err != nil {
		t.Fatal(err)
	}
	if got := elsewhere.String("a"); got != "1 < 2 & ann" {
		t.Errorf("a = %q", got)
	}
	if got := elsewhere.String("yarn.resourcemanager.scheduler.address"); got != "rm:8030" {
		t.Errorf("scheduler at %q", got)
	}
}

func TestDirectories(t *testing.T) {
	for _, c := range []struct {
		flag string
		env  map[string]string
		want string
	}{
		{"/c", map[string]string{"HADOOP_CONF_DIR": "/h"}, "/c"},
		{"", map[string]string{"HADOOP_CONF_DIR": "/h", "YARN_CONF_DIR": "/y"}, "/h /y"},
		{"", map[string]string{"HADOOP_CONF_DIR": "/h", "YARN_CONF_DIR": "/h"}, "/h"},
		{"", map[string]string{"HADOOP_CONF_DIR": "", "YARN_CONF_DIR": "/y"}, "/y"},
		{"", nil, ""},
	} {
		dirs, err := Directories(c.flag, lookup(c.env))
		if got := strings.Join(dirs, " "); got != c.want || (got == "") != errors.Is(err, ErrNoDirectory) {
			t.Errorf("%q, %v: %q, %v", c.flag, c.env, got, err)
		}
	}
}

func TestLoad(t *testing.T) {
	files := map[string][]byte{
		"/h/core-site.xml": site(prop("fs.defaultFS", "hdfs://nn") + `<include href="more.xml"/>`),
		"/h/more.xml":      site(prop("more", "1")),
		"/h/yarn-site.xml": site(prop("yarn.resourcemanager.hostname", "h")),
		"/y/yarn-site.xml": site(prop("yarn.resourcemanager.hostname", "y")),
		"/y/core-site.xml": site(prop("fs.defaultFS", "hdfs://other")),
		"/b/core-site.xml": []byte("<configuration>"),
	}
	read := func(name string) ([]byte, error) {
		if b, ok := files[name]; ok {
			return b, nil
		}
		if strings.HasPrefix(name, "/locked/") {
			return nil, fs.ErrPermission
		}
		return nil, fs.ErrNotExist
	}
	c, err := Load([]string{"/h", "/y"}, read, Environment{})
	if err != nil {
		t.Fatal(err)
	}
	if c.String("fs.defaultFS") != "hdfs://nn" || c.String("more") != "1" || c.String("yarn.resourcemanager.hostname") != "y" {
		t.Errorf("fs %s, more %s, rm %s", c.String("fs.defaultFS"), c.String("more"), c.String("yarn.resourcemanager.hostname"))
	}
	// A variable can hold a list, in the order of Java's class path.
	if c, err = Load([]string{"/none:/h:/y"}, read, Environment{}); err != nil {
		t.Fatal(err)
	}
	if c.String("fs.defaultFS") != "hdfs://nn" || c.String("more") != "1" || c.String("yarn.resourcemanager.hostname") != "h" {
		t.Errorf("of a list: fs %s, more %s, rm %s", c.String("fs.defaultFS"), c.String("more"), c.String("yarn.resourcemanager.hostname"))
	}
	if _, err := Load([]string{"/none"}, read, Environment{}); err == nil || !strings.Contains(err.Error(), "/none holds none of core-site.xml") {
		t.Errorf("error %v", err)
	}
	if _, err := Load([]string{"/b"}, read, Environment{}); err == nil || !strings.Contains(err.Error(), "/b/core-site.xml:1: XML") {
		t.Errorf("error %v", err)
	}
	if _, err := Load([]string{"/locked"}, read, Environment{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v", err)
	}
}

func TestKeys(t *testing.T) {
	if got, want := fresh().Keys(), slices.Sorted(maps.Keys(defaults)); !slices.Equal(got, want) {
		t.Errorf("keys %q", got)
	}
}

func FuzzXML(f *testing.F) {
	f.Add([]byte("<configuration><property><name>a</name><value>${b}${env.X:-y}</value><final>true</final></property></configuration>"))
	f.Add([]byte(`<configuration><include href="a"><fallback><property name="a" value="${${a}}"/></fallback></include></configuration>`))
	f.Add([]byte("<?xml version=\"1.0\" encoding=\"latin1\"?><configuration/>"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := New(Environment{})
		if err := c.AddResource("f.xml", in, nil); err != nil {
			if !strings.HasPrefix(err.Error(), "f.xml") {
				t.Errorf("error without its file: %v", err)
			}
			return
		}
		for _, k := range c.Keys() {
			_ = c.String(k)
		}
		if err := New(Environment{}).AddResource("again.xml", c.EncodeXML(), nil); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}
