package control

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAcknowledged: the system of a process that reads nothing says that it has got what was sent.
// That of one which is cut off does not, whatever is sent how often.
func TestAcknowledged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	node, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	master, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	// send writes, and waits until the kernel of the master knows what became of it.
	send := func(known func(*unix.TCPInfo) bool) (sent time.Time) {
		sent = time.Now()
		if _, err := master.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); !known(infoOf(t, master)); {
			if time.Now().After(deadline) {
				t.Fatal("nothing became of what was sent")
			}
			time.Sleep(time.Millisecond)
		}
		return sent
	}

	const precision = 20 * time.Millisecond // of the kernel's clock
	sent := send(func(i *unix.TCPInfo) bool { return i.Unacked == 0 })
	if at := acknowledged(master); at.Before(sent.Add(-precision)) {
		t.Errorf("acknowledged at %v, and sent at %v", at, sent)
	}

	drop := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}} // 0 bytes of each packet
	raw, err := node.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &drop)
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	last := acknowledged(master)
	send(func(i *unix.TCPInfo) bool { return i.Total_retrans > 1 }) // each later than the one before, by 200 ms and more
	if at := acknowledged(master); at.Sub(last).Abs() > precision {
		t.Errorf("acknowledged at %v, and cut off since %v", at, last)
	}
}

// infoOf is what the kernel knows of a connection.
func infoOf(t *testing.T, c net.Conn) (info *unix.TCPInfo) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return info
}
