package tensorflow

import (
	"fmt"
	"runtime"
	"unsafe"

	"tfos/internal/savedmodel"
)

// Function is a signature of a SavedModel that is loaded. Close it. Run is safe for concurrent use.
type Function struct {
	Signature savedmodel.Signature

	l              *Library
	graph, session unsafe.Pointer
	ins, outs      []output
}

// output is TF_Output.
type output struct {
	operation unsafe.Pointer
	index     int32
	_         int32
}

// Open loads the SavedModel in a local directory, to run one of its signatures.
func (l *Library) Open(dir string, s savedmodel.Signature) (_ *Function, err error) {
	f := &Function{Signature: s, l: l, graph: l.newGraph()}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	options := l.newSessionOptions()
	defer l.deleteSessionOptions(options)
	tag := append([]byte(savedmodel.ServeTag), 0)
	tags := []*byte{&tag[0]}
	err = l.do("load the model in "+dir, func(status unsafe.Pointer) {
		f.session = l.loadSavedModel(options, nil, dir, unsafe.Pointer(&tags[0]), 1, f.graph, nil, status)
	})
	runtime.KeepAlive(tags)
	if err != nil {
		return nil, err
	}
	if f.ins, err = f.find(s.Inputs); err == nil {
		f.outs, err = f.find(s.Outputs)
	}
	return f, err
}

// find finds tensors in the graph.
func (f *Function) find(tensors []savedmodel.Tensor) ([]output, error) {
	found := make([]output, len(tensors))
	for i, t := range tensors {
		name, index, err := t.Operation()
		if err != nil {
			return nil, err
		}
		operation := f.l.operationByName(f.graph, name)
		if operation == nil || index >= int(f.l.operationOutputs(operation)) {
			return nil, fmt.Errorf("the signature %s says that %s is %s, which is not in the model's graph", f.Signature.Name, t.Name, t.Graph)
		}
		found[i] = output{operation: operation, index: int32(index)}
	}
	return found, nil
}

// Run runs the function on one batch: a tensor for each input of the signature. The results are in
// the order of its outputs; the caller closes them.
func (f *Function) Run(inputs []*Tensor) ([]*Tensor, error) {
	if len(inputs) != len(f.ins) {
		return nil, fmt.Errorf("%d inputs for the signature %s, which has %d", len(inputs), f.Signature.Name, len(f.ins))
	}
	values := make([]unsafe.Pointer, len(inputs))
	for i, t := range inputs {
		values[i] = t.tensor
	}
	results := make([]unsafe.Pointer, len(f.outs))
	err := f.l.do("run the model", func(status unsafe.Pointer) {
		f.l.sessionRun(f.session, nil, unsafe.Pointer(unsafe.SliceData(f.ins)), unsafe.Pointer(unsafe.SliceData(values)), int32(len(values)),
			unsafe.Pointer(unsafe.SliceData(f.outs)), unsafe.Pointer(unsafe.SliceData(results)), int32(len(results)), nil, 0, nil, status)
	})
	runtime.KeepAlive(inputs)
	if err != nil { // then TensorFlow leaves no result behind
		return nil, err
	}
	tensors := make([]*Tensor, len(results))
	for i, r := range results {
		tensors[i] = f.l.received(r)
	}
	return tensors, nil
}

// Close frees the model. No Run may be under way.
func (f *Function) Close() error {
	var err error
	if f.session != nil {
		err = f.l.do("close the model", func(status unsafe.Pointer) {
			f.l.closeSession(f.session, status)
			f.l.deleteSession(f.session, status)
		})
	}
	if f.graph != nil {
		f.l.deleteGraph(f.graph)
	}
	f.session, f.graph = nil, nil
	return err
}
