package tfile

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"tfos/internal/yarn"
)

// Directories lists where the logs of an application may have been aggregated to, the layout of the newest Hadoop first. Each
// NodeManager leaves its file there, or several if it rolls them. Root is yarn.nodemanager.remote-app-log-dir and suffix
// yarn.nodemanager.remote-app-log-dir-suffix.
func Directories(root, suffix, user string, app yarn.ApplicationID) []string {
	id := app.String()
	return []string{
		path.Join(root, user, "bucket-"+suffix+"-tfile", fmt.Sprintf("%04d", app.Sequence%10000), id), // 3.3 on
		path.Join(root, user, suffix+"-tfile", id),                                                    // 3.2
		path.Join(root, user, suffix, id),                                                             // 2.x to 3.1
	}
}

// ParseName takes the name of an aggregated file apart: the node whose logs it holds, "host:port" with "_" in place of ":", and,
// if the node rolls its logs, when this file was begun. A name that ends in .tmp is a file that is still being written, and not
// ok.
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
