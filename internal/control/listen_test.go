package control

import (
	"net"
	"testing"
)

// TestAMasterListensWhereTheOneBeforeDid: agents that read no file of the job look for it there.
func TestAMasterListensWhereTheOneBeforeDid(t *testing.T) {
	first, err := Listen("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(first.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := ListenAt("127.0.0.1", port)
	if err != nil {
		t.Fatalf("where the port is taken: %v", err)
	}
	if other.Addr().String() == first.Addr().String() {
		t.Errorf("both listen on %s", first.Addr())
	}
	other.Close()
	first.Close()
	again, err := ListenAt("127.0.0.1", port)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Addr().String() != first.Addr().String() {
		t.Errorf("the next one listens on %s, the first on %s", again.Addr(), first.Addr())
	}
}
