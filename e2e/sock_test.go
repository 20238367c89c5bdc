package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A client of any maker talks to a server of any maker: same bytes, same status.
func TestSocketPair(t *testing.T) {
	t.Parallel()
	eachPair(t, pairs, func(t *testing.T, first, second maker) {
		dir := t.TempDir()
		server := start(t, first.command(t, dir, "domain_sock", "server", "sock"))
		listening(server, dir)
		const n = 3
		for range n {
			run(t, second.command(t, dir, "domain_sock", "client", "sock")).
				wantExit(t, 0).wantStdout(t, "message from server: hello from server\n")
			server.line("^message from client: hello from a client$")
		}
		server.signal(unix.SIGTERM)
		server.wait().wantSignal(t, unix.SIGTERM).wantStdout(t, strings.Repeat("message from client: hello from a client\n", n))
		_, err := os.Lstat(filepath.Join(dir, "sock"))
		if gone := os.IsNotExist(err); gone != (first != original) {
			t.Errorf("the socket after the end: %v", err)
		}
	})
}

// socat speaks to our server, and is a server for our client.
func TestSocketSocat(t *testing.T) {
	t.Parallel()
	socat := need(t, "socat")
	for _, m := range []maker{golang, twin} {
		t.Run("client-of-"+string(m), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server := start(t, m.command(t, dir, "domain_sock", "server", "sock"))
			listening(server, dir)
			cmd := exec.Command(socat, "-t30", "-", "UNIX-CONNECT:sock")
			cmd.Dir, cmd.Stdin = dir, strings.NewReader("typed by hand")
			run(t, cmd).wantExit(t, 0).wantStdout(t, "hello from server")
			server.line("^message from client: typed by hand$")
		})
		t.Run("server-for-"+string(m), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			script := "#!/bin/sh\nhead -c 19 >got\nprintf 'hello from socat'\n"
			if err := os.WriteFile(filepath.Join(dir, "answer"), []byte(script), 0o777); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(socat, "UNIX-LISTEN:sock", "EXEC:./answer")
			cmd.Dir = dir
			server := start(t, cmd)
			listening(server, dir)
			run(t, m.command(t, dir, "domain_sock", "client", "sock")).
				wantExit(t, 0).wantStdout(t, "message from server: hello from socat\n")
			server.wait().wantExit(t, 0)
			if got, err := os.ReadFile(filepath.Join(dir, "got")); string(got) != "hello from a client" {
				t.Errorf("the client sent %q, %v", got, err)
			}
		})
	}
}

// listening waits until the socket of a server is there and the server waits.
func listening(server *proc, dir string) {
	server.t.Helper()
	until(server.t, server.name+" has made its socket", func() bool {
		_, err := os.Stat(filepath.Join(dir, "sock"))
		return err == nil || server.hasEnded()
	})
	server.mustBlock()
}

// serveSocket starts a Go server and returns it and the path of its socket.
func serveSocket(t *testing.T) (*proc, string) {
	t.Helper()
	dir := t.TempDir()
	server := start(t, golang.command(t, dir, "domain_sock", "server", "sock"))
	listening(server, dir)
	return server, shortPath(t, filepath.Join(dir, "sock"))
}

// shortPath returns another path of the same socket, which is short enough for an
// address whatever the directory's is. It holds for this process.
func shortPath(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
}

// dial connects to a socket. Unlike net.Dial it waits while the backlog is full.
func dial(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != unix.EINTR {
			break
		}
	}
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that deadlines hold
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// exchange sends a message and returns the answer.
func exchange(path, msg string) (string, error) {
	conn, err := dial(path)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, msg); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// Messages are bytes, of which the server takes 255.
func TestSocketMessages(t *testing.T) {
	t.Parallel()
	server, path := serveSocket(t)
	for _, msg := range []string{
		"\x00", "a NUL \x00 within", "\xff\xfe not UTF-8", "%s%n", "two\nlines",
		strings.Repeat("x", 255), strings.Repeat("y", 256), strings.Repeat("z", 100_000),
	} {
		before := server.stdout.String()
		answer, err := exchange(path, msg)
		if answer != "hello from server" || err != nil {
			t.Errorf("%.20q: answer %q, %v", msg, answer, err)
		}
		// The line is out before the answer.
		want := "message from client: " + msg[:min(len(msg), 255)] + "\n"
		until(t, "the line is here", func() bool { return len(server.stdout.String()) >= len(before)+len(want) })
		if got := server.stdout.String()[len(before):]; got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
	}
}

// A client that goes at once, and one that sends nothing, are in nobody's way.
func TestSocketSilentClient(t *testing.T) {
	t.Parallel()
	_, path := serveSocket(t)
	gone, err := dial(path)
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	silent, err := dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if answer, err := exchange(path, "hello"); answer != "hello from server" {
		t.Errorf("beside a silent client: %q, %v", answer, err)
	}
}

// Of several servers that find the same stale socket at the same time one wins.
func TestSocketRace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 5 {
		dead := start(t, golang.command(t, dir, "domain_sock", "server", "sock"))
		dead.mustBlock(unix.SYS_ACCEPT4)
		dead.signal(unix.SIGKILL)
		dead.wait()

		var servers []*proc
		for range 6 {
			servers = append(servers, start(t, golang.command(t, dir, "domain_sock", "server", "sock")))
		}
		var winner *proc
		for _, p := range servers {
			until(t, p.name+" ended or blocked", func() bool { return p.hasEnded() || blocked(p.pid, unix.SYS_ACCEPT4) })
			if !p.hasEnded() {
				if winner != nil {
					t.Fatal("two servers at one path")
				}
				winner = p
				continue
			}
			p.wait().wantError(t, "domain_sock", 255, "address already in use")
		}
		if winner == nil {
			t.Fatal("no server is left")
		}
		if answer, err := exchange(shortPath(t, filepath.Join(dir, "sock")), "hello"); answer != "hello from server" {
			t.Errorf("answer %q, %v", answer, err)
		}
		winner.signal(unix.SIGTERM)
		winner.wait().wantSignal(t, unix.SIGTERM)
	}
}

// A server that answers with nothing, or does not answer: the client fails.
func TestSocketBadServer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		serve  func(net.Conn)
		args   []string
		status int
		stdout string
		stderr string
	}{
		{"hangs-up", func(c net.Conn) { io.ReadFull(c, make([]byte, 19)); c.Close() }, nil, 255, "", "without an answer"},
		{"is-silent", func(c net.Conn) {}, []string{"--timeout", "50ms"}, 255, "", "timed out after 50ms waiting for an answer"},
		{"sends-bytes", func(c net.Conn) { io.ReadFull(c, make([]byte, 19)); c.Write([]byte("\x00\xff\n")); c.Close() }, nil, 0, "message from server: \x00\xff\n\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l, err := net.Listen("unix", shortPath(t, filepath.Join(dir, "sock")))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conns := make(chan net.Conn, 1)
			go func() {
				if conn, err := l.Accept(); err == nil {
					tt.serve(conn)
					conns <- conn
				}
			}()
			args := append(append([]string{"client"}, tt.args...), "sock")
			r := run(t, golang.command(t, dir, "domain_sock", args...)).wantExit(t, tt.status)
			r.wantStdout(t, tt.stdout)
			if !strings.Contains(r.stderr, tt.stderr) {
				t.Errorf("stderr %q, want %q", r.stderr, tt.stderr)
			}
			(<-conns).Close()
		})
	}
}

// When the server ends its children end, whoever has sent the signal to whom.
func TestSocketServerEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*proc){
		"server": func(p *proc) { p.signal(unix.SIGINT) },
		"group":  func(p *proc) { p.signalGroup(unix.SIGINT) }, // as a terminal does
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, path := serveSocket(t)
			conn, err := dial(path)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			kid := server.child("domain_sock:connection")
			until(t, "the child waits for the message", func() bool { return blocked(kid, unix.SYS_READ) })
			end(server)
			if r := server.wait().wantSignal(t, unix.SIGINT); r.stderr != "" {
				t.Errorf("stderr %q", r.stderr)
			}
			conn.SetDeadline(time.Now().Add(patience))
			if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
				t.Errorf("the client reads %q, %v, want EOF", rest, err)
			}
			until(t, "no process in its group", func() bool { return !alive(server.pid) })
		})
	}
}
