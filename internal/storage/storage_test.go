package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

const siteXML = `<configuration><property><name>fs.defaultFS</name><value>file:///</value></property></configuration>`

func TestOpensLateAndClosesWhenIdle(t *testing.T) {
	file := filepath.Join(t.TempDir(), "conf.xml")
	synctest.Test(t, func(t *testing.T) {
		if _, _, _, err := New(Options{Conf: file}).Use(t.Context(), "/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("without a configuration: %v", err)
		}
		if err := os.WriteFile(file, []byte(siteXML), 0o600); err != nil {
			t.Fatal(err)
		}
		s := New(Options{Conf: file, Idle: time.Minute})
		if err := os.Remove(file); err != nil { // with the container's directory
			t.Fatal(err)
		}
		first, name, release, err := s.Use(t.Context(), "/x")
		if err != nil || name != "/x" {
			t.Fatalf("%q, %v", name, err)
		}
		second, _, releaseSecond, err := s.Use(t.Context(), "file:///y")
		if err != nil || second != first {
			t.Fatalf("the same filesystem was opened twice: %v", err)
		}
		release()
		release() // does nothing
		time.Sleep(time.Hour)
		if s.open == nil {
			t.Fatal("closed under a user")
		}
		releaseSecond()
		time.Sleep(30 * time.Second)
		_, _, release, err = s.Use(t.Context(), "/x")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		release()
		synctest.Wait()
		if s.open == nil {
			t.Fatal("closed at once")
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if s.open != nil {
			t.Fatal("still open after a minute without users")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := s.Use(t.Context(), "/x"); !errors.Is(err, fs.ErrClosed) {
			t.Fatalf("after Close: %v", err)
		}
	})
}
