package client

import (
	"net/http/httptest"
	"testing"

	"tfos/internal/launch"
	"tfos/internal/yarn"
)

func TestTargets(t *testing.T) {
	w := newWorld(t)
	app := func(sequence int32, user string, state yarn.ApplicationState, url string) {
		id := yarn.ApplicationID{ClusterTimestamp: 1, Sequence: sequence}
		w.apps[id] = yarn.Report{ID: id, Type: launch.ApplicationType, Name: `night "1"`, User: user, Queue: "q", State: state, TrackingURL: url, OriginalURL: "http://n1:4711/"}
	}
	app(1, "ann", yarn.StateRunning, "https://rm:8090/proxy/application_1_0001/")
	app(2, "ann", yarn.StateRunning, "N/A") // it serves no page
	app(3, "ann", yarn.StateAccepted, "http://rm:8088/cluster/app/application_1_0003")
	app(4, "bob", yarn.StateRunning, "http://rm:8088/proxy/application_1_0004/")
	h := w.cluster().history()
	for path, want := range map[string]string{
		"/targets": `[{"targets":["rm:8090"],"labels":{"__metrics_path__":"/proxy/application_1_0001/metrics","__scheme__":"https","application":"application_1_0001","instance":"application_1_0001","name":"night \"1\"","queue":"q","user":"ann"}}]` + "\n",
		"/targets?all&direct": `[{"targets":["n1:4711"],"labels":{"__metrics_path__":"/metrics","__scheme__":"http","application":"application_1_0004","instance":"application_1_0004","name":"night \"1\"","queue":"q","user":"bob"}},` +
			`{"targets":["n1:4711"],"labels":{"__metrics_path__":"/metrics","__scheme__":"http","application":"application_1_0002","instance":"application_1_0002","name":"night \"1\"","queue":"q","user":"ann"}},` +
			`{"targets":["n1:4711"],"labels":{"__metrics_path__":"/metrics","__scheme__":"http","application":"application_1_0001","instance":"application_1_0001","name":"night \"1\"","queue":"q","user":"ann"}}]` + "\n",
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		if rec.Code != 200 || rec.Body.String() != want || rec.Header().Get("Content-Type") != "application/json" {
			t.Errorf("GET %s: %d %s\nwant %s", path, rec.Code, rec.Body, want)
		}
	}
}
