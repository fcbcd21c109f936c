//go:build e2e && pages

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tfos/internal/page"
	"tfos/internal/status"
)

// TestPagesOfManyTasks: only the rows in view are in the page, wherever one scrolls, so that ten
// thousand tasks scroll as ten do.
func TestPagesOfManyTasks(t *testing.T) {
	const tasks = 10_000
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := page.Document{Job: status.View{ID: "application_1_0007", Name: "many", State: status.Running, Started: at}}
	for i := range tasks {
		d.Job.Tasks = append(d.Job.Tasks, status.Task{Role: "worker", Index: i, State: status.Running, Incarnation: 1, Step: int64(i), Node: fmt.Sprintf("node%d", i%300)})
	}
	d.Job.Tasks[7777].State = status.Failed
	b, err := page.Saved(d)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(b) }))
	defer s.Close()

	w := chromium(t)
	w.run(chromedp.Navigate(s.URL))
	w.sees("the first task", `document.querySelector('#rows tbody').innerText.includes('worker/0')`)
	for _, i := range []int{5000, 9999, 100, 0} {
		ask[bool](w, fmt.Sprintf(`(document.getElementById('rows').scrollTop = 34 * %d, true)`, i))
		// Its row is there, and where a person looks.
		w.sees(fmt.Sprintf("worker/%d after scrolling", i), fmt.Sprintf(`(() => {
			const box = document.getElementById('rows').getBoundingClientRect();
			const row = [...document.querySelectorAll('#rows tbody tr')].find(r => r.children[0].textContent === 'worker/%d');
			return row !== undefined && row.getBoundingClientRect().bottom > box.top && row.getBoundingClientRect().top < box.bottom;
		})()`, i))
		if n := ask[int](w, `document.querySelectorAll('#rows tbody tr').length`); n > 100 {
			t.Errorf("%d rows are in the page at once", n)
		}
	}
	ask[bool](w, `(() => { const f = document.getElementById('filter'); f.value = 'failed'; f.dispatchEvent(new Event('input')); return true; })()`)
	w.sees("the one that failed, alone", `[...document.querySelectorAll('#rows tbody tr:not(.space)')].map(r => r.children[0].textContent).join() === 'worker/7777'`)
	w.shoot("many")
	w.clean()
}
