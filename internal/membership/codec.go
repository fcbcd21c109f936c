package membership

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// The names under which events and actions are logged.
var (
	eventKinds = kinds[Event]{
		"began": Began{}, "takeover-began": TakeoverBegan{}, "kept": Kept{}, "unfit": Unfit{}, "granted": Granted{}, "completed": Completed{}, "launch-failed": LaunchFailed{},
		"joined": Joined{}, "left": Left{}, "started": Started{}, "exited": Exited{}, "stop-requested": StopRequested{},
		"master-failed": MasterFailed{}, "cluster-sized": ClusterSized{}, "scaled": Scaled{}, "stalled": Stalled{}, "deadline-passed": DeadlinePassed{}, "warned": Warned{}, "warning-lifted": WarningLifted{}, "draining": Draining{}, "drained": Drained{}, "tick": Tick{},
		"progressed": Progressed{}, "checkpoint-seen": CheckpointSeen{}, "checkpoint-gone": CheckpointGone{}, "inspected": Inspected{},
	}
	actionKinds = kinds[Action]{
		"ask": Ask{}, "release": Release{}, "adopt": Adopt{}, "takeover-ended": TakeoverEnded{}, "launch": Launch{}, "publish": Publish{}, "start-process": StartProcess{},
		"stop-process": StopProcess{}, "retire": Retire{}, "exclude": Exclude{}, "readmit": Readmit{}, "inspect": Inspect{}, "finish": Finish{},
		"notify": Notify{}, "move": Move{},
	}
)

// EncodeEvent writes an event as one JSON object, its "kind" first:
// {"kind":"started","task":"worker/0",…}.
func EncodeEvent(e Event) ([]byte, error) { return eventKinds.encode(e) }

// DecodeEvent reads what EncodeEvent wrote.
func DecodeEvent(b []byte) (Event, error) { return eventKinds.decode(b) }

// EncodeAction writes an action as one JSON object, its "kind" first.
func EncodeAction(a Action) ([]byte, error) { return actionKinds.encode(a) }

// DecodeAction reads what EncodeAction wrote.
func DecodeAction(b []byte) (Action, error) { return actionKinds.decode(b) }

// ActionKind is the name under which an action is logged.
func ActionKind(a Action) string { return actionKinds.name(a) }

// kinds maps names to zero values of the types that have them.
type kinds[T any] map[string]T

func (k kinds[T]) name(v T) string {
	for name, zero := range k { // any order: names and types are unique
		if reflect.TypeOf(zero) == reflect.TypeOf(v) {
			return name
		}
	}
	return ""
}

func (k kinds[T]) encode(v T) ([]byte, error) {
	name := k.name(v)
	if name == "" {
		return nil, fmt.Errorf("%T has no name in the event log", v)
	}
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	out := []byte(`{"kind":"` + name + `"`)
	if fields := bytes.TrimPrefix(body, []byte("{")); len(fields) > 1 {
		out = append(append(out, ','), fields...)
	} else {
		out = append(out, '}')
	}
	return out, nil
}

func (k kinds[T]) decode(b []byte) (T, error) {
	var none T
	var head struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return none, fmt.Errorf("decode: %w", err)
	}
	zero, ok := k[head.Kind]
	if !ok {
		return none, fmt.Errorf("decode: %q is no kind that this version knows", head.Kind)
	}
	v := reflect.New(reflect.TypeOf(zero))
	if err := json.Unmarshal(b, v.Interface()); err != nil {
		return none, fmt.Errorf("decode %s: %w", head.Kind, err)
	}
	return v.Elem().Interface().(T), nil
}
