// Package tensorflow calls TensorFlow through its C API: it loads a SavedModel and runs it, and
// serves as a task of a TensorFlow cluster.
//
// The libraries are opened while the program runs, so nothing of TensorFlow is linked, and no cgo
// is needed. A program that imports the package is dynamically linked all the same, against the C
// library of the machine (see docs/decisions/0020-builtin-programs.md), and a crash of TensorFlow
// ends its process: only the programs of tasks import it.
//
// Memory that TensorFlow gave out is freed by Close, and by nothing else. A value must not be used
// after its Close; apart from that, what the comments call safe for concurrent use is.
package tensorflow

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Error is an error of TensorFlow's.
type Error struct {
	Doing   string // what was tried
	Code    int32  // TF_Code
	Message string
}

func (e *Error) Error() string { return e.Doing + ": " + e.Message }

// Input reports whether the model refused what it was given: TF_INVALID_ARGUMENT.
func (e *Error) Input() bool { return e.Code == 3 }

// Library is TensorFlow, loaded into this process for the rest of its life. It is safe for
// concurrent use.
type Library struct {
	Version string // as in "2.21.0"

	newStatus    func() unsafe.Pointer
	deleteStatus func(status unsafe.Pointer)
	getCode      func(status unsafe.Pointer) int32
	message      func(status unsafe.Pointer) string

	allocateTensor func(dtype int32, dims *int64, n int32, bytes uintptr) unsafe.Pointer
	deleteTensor   func(tensor unsafe.Pointer)
	tensorType     func(tensor unsafe.Pointer) int32
	tensorData     func(tensor unsafe.Pointer) unsafe.Pointer
	tensorByteSize func(tensor unsafe.Pointer) uintptr
	numDims        func(tensor unsafe.Pointer) int32
	dim            func(tensor unsafe.Pointer, i int32) int64
	stringCopy     func(s unsafe.Pointer, data unsafe.Pointer, n uintptr)
	stringDealloc  func(s unsafe.Pointer)

	newGraph             func() unsafe.Pointer
	deleteGraph          func(graph unsafe.Pointer)
	operationByName      func(graph unsafe.Pointer, name string) unsafe.Pointer
	operationOutputs     func(operation unsafe.Pointer) int32
	newSessionOptions    func() unsafe.Pointer
	deleteSessionOptions func(options unsafe.Pointer)
	loadSavedModel       func(options, runOptions unsafe.Pointer, dir string, tags unsafe.Pointer, n int32, graph, meta, status unsafe.Pointer) unsafe.Pointer
	sessionRun           func(session, runOptions, inputs, values unsafe.Pointer, n int32, outputs, results unsafe.Pointer, m int32, targets unsafe.Pointer, k int32, meta, status unsafe.Pointer)
	closeSession         func(session, status unsafe.Pointer)
	deleteSession        func(session, status unsafe.Pointer)

	newServer   func(def unsafe.Pointer, n uintptr, status unsafe.Pointer) unsafe.Pointer
	serverStart func(server, status unsafe.Pointer)
	serverJoin  func(server, status unsafe.Pointer)
}

// Load loads TensorFlow. Loading it a second time costs nothing; two different ones do not go
// together in a process.
func Load(f Files) (*Library, error) {
	open := func(name string) (uintptr, error) {
		handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if err != nil {
			return 0, fmt.Errorf("load %s: %w", name, err)
		}
		return handle, nil
	}
	below, err := open(f.Framework)
	if err != nil {
		return nil, err
	}
	core, err := open(f.Core)
	if err != nil {
		return nil, err
	}
	l := new(Library)
	var version func() string
	symbols := map[string]any{
		"TF_Version":   &version,
		"TF_NewStatus": &l.newStatus, "TF_DeleteStatus": &l.deleteStatus, "TF_GetCode": &l.getCode, "TF_Message": &l.message,
		"TF_AllocateTensor": &l.allocateTensor, "TF_DeleteTensor": &l.deleteTensor, "TF_TensorType": &l.tensorType, "TF_TensorData": &l.tensorData,
		"TF_TensorByteSize": &l.tensorByteSize, "TF_NumDims": &l.numDims, "TF_Dim": &l.dim,
		"TF_StringCopy": &l.stringCopy, "TF_StringDealloc": &l.stringDealloc,
		"TF_NewGraph": &l.newGraph, "TF_DeleteGraph": &l.deleteGraph, "TF_GraphOperationByName": &l.operationByName, "TF_OperationNumOutputs": &l.operationOutputs,
		"TF_NewSessionOptions": &l.newSessionOptions, "TF_DeleteSessionOptions": &l.deleteSessionOptions, "TF_LoadSessionFromSavedModel": &l.loadSavedModel,
		"TF_SessionRun": &l.sessionRun, "TF_CloseSession": &l.closeSession, "TF_DeleteSession": &l.deleteSession,
		"TF_NewServer": &l.newServer, "TF_ServerStart": &l.serverStart, "TF_ServerJoin": &l.serverJoin,
	}
	for name, fn := range symbols {
		at, err := purego.Dlsym(core, name)
		if err != nil {
			at, err = purego.Dlsym(below, name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s has no %s: tfos needs TensorFlow 2.4 or newer: %w", f.Core, name, err)
		}
		purego.RegisterFunc(fn, at)
	}
	l.Version = version()
	return l, nil
}

// do makes a call that reports by a TF_Status.
func (l *Library) do(doing string, call func(status unsafe.Pointer)) error {
	status := l.newStatus()
	if status == nil {
		return errors.New(doing + ": TensorFlow has no memory for a status")
	}
	defer l.deleteStatus(status)
	call(status)
	if code := l.getCode(status); code != 0 {
		return &Error{Doing: doing, Code: code, Message: l.message(status)}
	}
	return nil
}
