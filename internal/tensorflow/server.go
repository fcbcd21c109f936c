package tensorflow

import (
	"unsafe"
)

// Serve serves as the task that a ServerDef (tensorflow_server.proto) describes. It returns when
// the server could not be started; one that was started serves for as long as the process lives.
func (l *Library) Serve(def []byte) error {
	var server unsafe.Pointer
	if err := l.do("make the server", func(status unsafe.Pointer) {
		server = l.newServer(unsafe.Pointer(unsafe.SliceData(def)), uintptr(len(def)), status)
	}); err != nil {
		return err
	}
	if err := l.do("start the server", func(status unsafe.Pointer) { l.serverStart(server, status) }); err != nil {
		return err
	}
	return l.do("serve", func(status unsafe.Pointer) { l.serverJoin(server, status) })
}
