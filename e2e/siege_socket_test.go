package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const socketAnswer = "hello from server"

// A guest is a client of domain_sock; nil: it was treated as it must be.
type guest func(path string) error

// polite says something and wants the answer.
func polite(path string) error {
	answer, err := exchange(path, "polite")
	if err == nil && answer != socketAnswer {
		err = fmt.Errorf("answer %q", answer)
	}
	return err
}

// visit connects, and closes the connection after the conversation.
func visit(talk func(conn *os.File) error) guest {
	return func(path string) error {
		conn, err := dial(path)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		return talk(conn)
	}
}

// answered reads the answer, which is the last that comes.
func answered(conn *os.File) error {
	answer, err := io.ReadAll(conn)
	// The server's end counts as reset if it has not read all that was sent.
	if string(answer) != socketAnswer || err != nil && !errors.Is(err, unix.ECONNRESET) {
		return fmt.Errorf("answer %q, %v", answer, err)
	}
	return nil
}

func halfClose(conn *os.File) error {
	rc, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = rc.Control(func(fd uintptr) { serr = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(err, serr)
}

var guests = map[string]guest{
	"polite":         polite,
	"closes at once": visit(func(*os.File) error { return nil }),
	"does not read the answer": visit(func(conn *os.File) error {
		_, err := io.WriteString(conn, "unread")
		return err
	}),
	"half closed": visit(func(conn *os.File) error {
		if _, err := io.WriteString(conn, "half"); err != nil {
			return err
		}
		if err := halfClose(conn); err != nil {
			return err
		}
		return answered(conn)
	}),
	"half closed without a word": visit(func(conn *os.File) error {
		if err := halfClose(conn); err != nil {
			return err
		}
		return answered(conn)
	}),
	"1 MiB": visit(func(conn *os.File) error {
		if _, err := io.WriteString(conn, strings.Repeat("m", 1<<20)); err != nil {
			return err
		}
		return answered(conn)
	}),
	// What the server takes is the first byte. It may have gone before the others
	// come, which is then an error of those.
	"byte by byte": visit(func(conn *os.File) error {
		for range 300 {
			if _, err := io.WriteString(conn, "b"); err != nil {
				if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
					break
				}
				return err
			}
		}
		return answered(conn)
	}),
	"descriptors": visit(func(conn *os.File) error {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		err = sendDescriptors(conn, w, []byte("with gifts"), 50)
		w.Close()
		if err != nil {
			return err
		}
		if err := answered(conn); err != nil {
			return err
		}
		// The pipe ends when nobody has the other end any more.
		r.SetReadDeadline(time.Now().Add(patience))
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			return fmt.Errorf("the descriptors that the server was sent are still open: %v", err)
		}
		return nil
	}),
}

// sendDescriptors sends data with n duplicates of f.
func sendDescriptors(conn, f *os.File, data []byte, n int) error {
	fc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	rc, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = fc.Control(func(fd uintptr) {
		fds := make([]int, n)
		for i := range fds {
			fds[i] = int(fd)
		}
		serr = rc.Write(func(sock uintptr) bool {
			err = unix.Sendmsg(int(sock), data, unix.UnixRights(fds...), nil, 0)
			return err != unix.EAGAIN
		})
		serr = errors.Join(serr, err)
	})
	return errors.Join(err, serr)
}

// checkSocketServer says what a server is that is the same as before.
func checkSocketServer(t *testing.T, server *proc, path string, before map[int]string) {
	t.Helper()
	if err := polite(path); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	until(t, "all children reaped", func() bool { return len(children(server.pid)) == 0 })
	server.mustBlock(unix.SYS_ACCEPT4)
	if after := descriptors(server.pid); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("descriptors before: %v, after: %v", before, after)
	}
	if kib := peak(t, server.pid); kib > 64<<10 {
		t.Errorf("the server has used %d KiB", kib)
	}
	server.signal(unix.SIGTERM)
	server.wait().wantSignal(t, unix.SIGTERM)
}

// Clients of all kinds, one after the other: each is served, and nothing of them
// stays with the server.
func TestSiegeSocketInARow(t *testing.T) {
	t.Parallel()
	server, path := serveSocket(t)
	before := descriptors(server.pid)
	for i := 0; i < often(10_000, 1000); {
		for name, visit := range guests {
			if i%10 != 0 { // one in ten is the bad one
				name, visit = "polite", polite
			}
			if err := visit(path); err != nil {
				t.Fatalf("client %d, %s: %v", i, name, err)
			}
			i++
		}
	}
	checkSocketServer(t, server, path, before)
}

// Clients of all kinds at once.
func TestSiegeSocketAtOnce(t *testing.T) {
	t.Parallel()
	server, path := serveSocket(t)
	before := descriptors(server.pid)
	w := watching(server.pid)
	var wg sync.WaitGroup
	for name, visit := range guests {
		n := often(1000, 300) / 10
		if name == "polite" {
			n *= 3
		}
		for range n {
			wg.Go(func() {
				if err := visit(path); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	wg.Wait()
	if w.stop(); w.children > maxChildren {
		t.Errorf("%d children at one time, want at most %d", w.children, maxChildren)
	}
	t.Logf("at most %d children and %d descriptors in %d looks", w.children, w.open, w.looks)
	checkSocketServer(t, server, path, before)
}

// maxChildren is that of domain_sock.
const maxChildren = 256

// Five hundred clients that send nothing: the polite ones wait until the server's
// patience with those is over, and are then served.
func TestSiegeSocketSilent(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the server's patience with silent clients")
	}
	t.Parallel()
	server, path := serveSocket(t)
	before := descriptors(server.pid)
	w := watching(server.pid)
	const silent = 500
	dropped := make(chan error)
	for range silent {
		go func() {
			dropped <- visit(func(conn *os.File) error {
				// It may have waited to be connected.
				if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
					return fmt.Errorf("a silent client reads %q, %v; want EOF", rest, err)
				}
				return nil
			})(path)
		}()
	}
	// Above half the server is hasty; whether it is ever full is a matter of speed.
	until(t, "the server is hasty", func() bool { return len(children(server.pid)) > maxChildren/2+1 })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := polite(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range silent {
		if err := <-dropped; err != nil {
			t.Error(err)
		}
	}
	if w.stop(); w.children > maxChildren {
		t.Errorf("%d children at one time, want at most %d", w.children, maxChildren)
	}
	t.Logf("at most %d children and %d descriptors in %d looks", w.children, w.open, w.looks)
	checkSocketServer(t, server, path, before)
	const says = "domain_sock: dropped a client that sent nothing for "
	patient, hasty := strings.Count(server.stderr.String(), says+"5s: "), strings.Count(server.stderr.String(), says+"1s: ")
	if patient+hasty != silent || patient < maxChildren/2 || hasty == 0 {
		t.Errorf("the server has dropped %d clients after 5 s and %d after 1 s, want %d in all, at least %d and 1", patient, hasty, silent, maxChildren/2)
	}
}
