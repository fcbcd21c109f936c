package tfile

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"tfos/internal/yarn"
)

// Place is where a cluster aggregates logs: below a directory for each user, in one of that suffix.
type Place struct{ Root, Suffix string }

// Places says where logs can be, by the cluster's configuration. Each format has a place of its
// own, which yarn.log-aggregation.FORMAT.remote-app-log-dir and -suffix may set
// (LogAggregationFileController); else it is that of yarn.nodemanager.remote-app-log-dir and
// -suffix, with the format's name. The formats that a cluster used before count as well: their logs
// are still there.
func Places(value func(key string) string, formats []string) []Place {
	const root, suffix = "remote-app-log-dir", "remote-app-log-dir-suffix"
	common := Place{value("yarn.nodemanager." + root), value("yarn.nodemanager." + suffix)}
	var places []Place
	add := func(p Place) {
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	for _, f := range slices.Concat(formats, []string{"TFile", "IFile"}) {
		own := "yarn.log-aggregation." + f + "."
		add(Place{cmp.Or(value(own+root), common.Root), cmp.Or(value(own+suffix), common.Suffix+"-"+strings.ToLower(f))})
	}
	add(common) // of 2.x to 3.1
	return places
}

// Directories lists where in a place the logs of an application may be, the layout of the newest
// Hadoop first. Each NodeManager leaves its file there, or several if it rolls them.
func (p Place) Directories(user string, app yarn.ApplicationID) []string {
	id := app.String()
	return []string{
		path.Join(p.Root, user, "bucket-"+p.Suffix, fmt.Sprintf("%04d", app.Sequence%10000), id), // 3.3 on
		path.Join(p.Root, user, p.Suffix, id),                                                    // before
	}
}

// ParseName takes the name of an aggregated file apart: the node whose logs it holds, "host:port"
// with "_" in place of ":", and, if the node rolls its logs, when this file was begun. A name that
// ends in .tmp is a file that is still being written, and not ok.
func ParseName(name string) (node yarn.NodeID, begun time.Time, ok bool) {
	if strings.HasSuffix(name, ".tmp") {
		return yarn.NodeID{}, time.Time{}, false
	}
	if rest, last, found := cutLast(name); found && len(last) >= epochDigits {
		if ms, err := strconv.ParseInt(last, 10, 64); err == nil {
			name, begun = rest, time.UnixMilli(ms)
		}
	}
	host, last, ok := cutLast(name)
	port, err := strconv.ParseUint(last, 10, 16)
	if !ok || err != nil {
		return yarn.NodeID{}, time.Time{}, false
	}
	return yarn.NodeID{Host: host, Port: int32(port)}, begun, true
}

// epochDigits is how many digits today's time has in ms. No port has as many.
const epochDigits = 13

// cutLast cuts name around its last "_".
func cutLast(name string) (before, after string, found bool) {
	i := strings.LastIndexByte(name, '_')
	if i < 0 {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}
