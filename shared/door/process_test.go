package door_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ipcbook/shared/door"
)

// The test binary started with this variable plays a part in a test.
const roleVar = "DOOR_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		if err := play(role, os.Args[1:]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// echo answers with the argument, and with the descriptors that came.
func echo(call *door.Call, _ any, arg []byte, desc []*os.File) {
	call.Return(arg, desc...)
}

// play runs in the child. Every role says "ready" when it is.
func play(role string, args []string) error {
	hold := func() { io.Copy(io.Discard, os.Stdin) } // until the parent lets go
	switch role {
	case "echo": // PATH [NOFILE]
		if len(args) > 1 {
			if err := limitFiles(args[1]); err != nil {
				return err
			}
		}
		d, err := door.Create(echo, nil, 0)
		if err != nil {
			return err
		}
		if err := d.Attach(args[0]); err != nil {
			return err
		}
		fmt.Println("ready")
		hold()
		return d.Close()
	case "hang": // PATH: a server whose procedure says "called" and never answers
		d, err := door.Create(func(c *door.Call, _ any, _ []byte, _ []*os.File) {
			fmt.Println("called")
			<-c.Context().Done()
		}, nil, 0)
		if err != nil {
			return err
		}
		if err := d.Attach(args[0]); err != nil {
			return err
		}
		fmt.Println("ready")
		hold()
	case "caller": // PATH: a client that makes one call
		c, err := door.Open(args[0])
		if err != nil {
			return err
		}
		fmt.Println("ready")
		return c.Call(context.Background(), &door.Arg{Data: []byte("from a child")})
	case "greedy": // PATH NOFILE: a client that asks for more descriptors than it can have
		c, err := door.Open(args[0])
		if err != nil {
			return err
		}
		if err := errors.Join(door.StartPoller(), limitFiles(args[1])); err != nil {
			return err
		}
		before := openFiles()
		err = c.Call(context.Background(), &door.Arg{RDesc: door.MaxDesc})
		fmt.Println("ready")
		fmt.Println(err)
		if err := c.Call(context.Background(), &door.Arg{}); err != nil {
			return err
		}
		if n := openFiles(); n != before {
			return fmt.Errorf("%d descriptors before, %d after", before, n)
		}
	case "attach": // PATH UMASK: attaches and says so, or says why not
		var mask int
		fmt.Sscanf(args[1], "%o", &mask)
		unix.Umask(mask)
		d, err := door.Create(echo, nil, 0)
		if err != nil {
			return err
		}
		err = d.Attach(args[0])
		fmt.Println("ready")
		fmt.Println(err)
		hold()
		return d.Close()
	case "detach": // PATH
		err := door.Detach(args[0])
		fmt.Println("ready")
		fmt.Println(err)
	case "detach frame": // PATH: asks the server by hand
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: args[0]}); err != nil {
			return err
		}
		if _, err := unix.Write(fd, good(tDetach, nil).bytes()); err != nil {
			return err
		}
		b := make([]byte, 100)
		if _, err := unix.Read(fd, b); err != nil {
			return err
		}
		fmt.Println("ready")
		fmt.Println(binary.LittleEndian.Uint16(b[6:]), binary.LittleEndian.Uint32(b[8:]))
	default:
		return fmt.Errorf("no role %q", role)
	}
	return nil
}

func limitFiles(n string) error {
	var cur uint64
	fmt.Sscan(n, &cur)
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: cur, Max: cur})
}

// A process is a child that plays a role.
type process struct {
	*exec.Cmd
	t     testing.TB
	stdin io.Closer
	out   *bufio.Reader
}

// start starts a child and waits until it is ready.
func start(t testing.TB, role string, args ...string) *process {
	return startAs(t, nil, role, args...)
}

func startAs(t testing.TB, cred *syscall.Credential, role string, args ...string) *process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: cred}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: cmd, t: t, stdin: stdin, out: bufio.NewReader(stdout)}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			p.kill()
		}
	})
	p.expect("ready")
	return p
}

func (p *process) line() string {
	p.t.Helper()
	s, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("child's output: %v after %q", err, s)
	}
	return strings.TrimSuffix(s, "\n")
}

func (p *process) expect(want string) {
	p.t.Helper()
	if got := p.line(); got != want {
		p.t.Fatalf("child says %q, want %q", got, want)
	}
}

func (p *process) kill() {
	p.Process.Kill()
	p.Wait()
}

// end lets the child go and wants it to succeed.
func (p *process) end() {
	p.t.Helper()
	p.stdin.Close()
	rest, _ := io.ReadAll(p.out)
	if err := p.Wait(); err != nil {
		p.t.Fatalf("child: %v %s", err, rest)
	}
}

func openFiles() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(names)
}
