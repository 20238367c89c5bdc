package door_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipcbook/shared/door"
)

var warm sync.Once

var bg = context.Background()

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(b)
	return b
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func TestSizes(t *testing.T) {
	noLeak(t)
	_, path := create(t, door.Config{}, echo, 0)
	c := open(t, path)
	for _, n := range []int{0, 1, 31, 32, 33, 4 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 16 << 20} {
		for _, rbuf := range []int{0, 1, n / 2, n, n + 100, 1 << 17} {
			want := random(n)
			buf := make([]byte, rbuf)
			arg := door.Arg{Data: bytes.Clone(want), RBuf: buf}
			if err := c.Call(bg, &arg); err != nil {
				t.Fatalf("%d bytes, buffer of %d: %v", n, rbuf, err)
			}
			if !bytes.Equal(arg.Data, want) {
				t.Fatalf("%d bytes, buffer of %d: another result", n, rbuf)
			}
			if n > 0 && rbuf >= n && &arg.Data[0] != &buf[0] {
				t.Fatalf("%d bytes, buffer of %d: result not in the buffer", n, rbuf)
			}
			if len(arg.Desc) != 0 {
				t.Fatalf("%d descriptors", len(arg.Desc))
			}
		}
	}
}

// Large frames of one connection use one memfd again and again.
func TestLargeSequence(t *testing.T) {
	noLeak(t)
	_, path := create(t, door.Config{}, echo, 0)
	c := open(t, path)
	for i, n := range []int{1 << 20, 100 << 10, 70 << 10, 2 << 20, 5, 2<<20 - 1, 6 << 20, 80 << 10, 80 << 10} {
		var desc []*os.File
		if i%2 == 1 {
			desc = devNull(t, 2)
		}
		arg := door.Arg{Data: random(n), Desc: desc, RDesc: 2}
		if err := c.Call(bg, &arg); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(arg.Data, random(n)) || len(arg.Desc) != len(desc) {
			t.Fatalf("%d bytes: another result, %d descriptors", n, len(arg.Desc))
		}
		for _, f := range arg.Desc {
			f.Close()
		}
	}
}

func TestArgumentAsResultBuffer(t *testing.T) {
	_, path := create(t, door.Config{}, func(c *door.Call, _ any, arg []byte, _ []*os.File) {
		c.Return(bytes.ToUpper(arg))
	}, 0)
	c := open(t, path)
	buf := []byte("hello")
	arg := door.Arg{Data: buf, RBuf: buf}
	if err := c.Call(bg, &arg); err != nil || string(buf) != "HELLO" {
		t.Fatal(err, string(buf))
	}
}

func TestCookieAndCred(t *testing.T) {
	type seen struct {
		cookie any
		cred   door.Cred
		err    error
	}
	ch := make(chan seen, 1)
	_, path := create(t, door.Config{}, func(c *door.Call, cookie any, _ []byte, _ []*os.File) {
		cred, err := c.Cred()
		ch <- seen{cookie, cred, err}
		c.Return(nil)
	}, 0)
	child := start(t, "caller", path)
	child.end()
	got := <-ch
	want := seen{"cookie", door.Cred{Pid: child.Process.Pid, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}, nil}
	if got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

func TestDescriptors(t *testing.T) {
	noLeak(t)
	// The server takes the contents out of what it gets and passes on pipes.
	_, path := create(t, door.Config{}, func(c *door.Call, _ any, arg []byte, desc []*os.File) {
		var got []string
		for _, f := range desc {
			b, _ := io.ReadAll(f)
			got = append(got, string(b))
		}
		r, w, _ := os.Pipe()
		defer r.Close()
		fmt.Fprint(w, strings.Join(got, ","))
		w.Close()
		c.Return(arg, r)
	}, 0)
	c := open(t, path)
	for _, size := range []int{10, 1 << 20} { // inline, memfd
		var desc []*os.File
		for i := range 3 {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(w, i)
			w.Close()
			defer r.Close()
			desc = append(desc, r)
		}
		arg := door.Arg{Data: random(size), Desc: desc, RDesc: 1}
		if err := c.Call(bg, &arg); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(arg.Data, random(size)) || len(arg.Desc) != 1 {
			t.Fatalf("%d bytes, %d descriptors", len(arg.Data), len(arg.Desc))
		}
		b, err := io.ReadAll(arg.Desc[0])
		arg.Desc[0].Close()
		if err != nil || string(b) != "0,1,2" {
			t.Fatalf("%q %v", b, err)
		}
	}
}

func TestDescriptorLimits(t *testing.T) {
	noLeak(t)
	d, path := create(t, door.Config{}, echo, 0)
	c := open(t, path)
	files := devNull(t, door.MaxDesc+1)
	call := func(n, take, size int) (int, error) {
		t.Helper()
		arg := door.Arg{Data: make([]byte, size), Desc: files[:n], RDesc: take}
		if err := c.Call(bg, &arg); err != nil {
			return 0, err
		}
		for _, f := range arg.Desc {
			f.Close()
		}
		return len(arg.Desc), nil
	}
	for _, size := range []int{0, 100 << 10} {
		for _, n := range []int{0, 1, 2, 3, door.MaxDesc} {
			for _, take := range []int{0, 1, 2, door.MaxDesc, 1000} {
				got, err := call(n, take, size)
				if want := min(n, take); err != nil || got != want {
					t.Fatalf("%d passed, at most %d wanted back, %d bytes: got %d, want %d: %v", n, take, size, got, want, err)
				}
			}
		}
	}
	_, err := call(door.MaxDesc+1, 0, 0)
	wantErr(t, err, unix.ENFILE)
	if err := d.SetParam(door.DescMax, 2); err != nil {
		t.Fatal(err)
	}
	_, err = call(3, 0, 0)
	wantErr(t, err, unix.ENFILE)
	if n, err := call(2, 2, 0); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	closed := devNull(t, 1)
	closed[0].Close()
	wantErr(t, c.Call(bg, &door.Arg{Desc: closed}), unix.EBADF)
	wantErr(t, c.Call(bg, &door.Arg{Desc: []*os.File{nil}}), unix.EBADF)
	if n, err := call(1, 1, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

func TestRefuseDesc(t *testing.T) {
	noLeak(t)
	d, path := create(t, door.Config{}, echo, door.RefuseDesc)
	c := open(t, path)
	for _, size := range []int{0, 100 << 10} {
		for _, n := range []int{1, 2, 3, door.MaxDesc} {
			err := c.Call(bg, &door.Arg{Data: make([]byte, size), Desc: devNull(t, n)})
			wantErr(t, err, unix.ENOTSUP)
		}
		if err := c.Call(bg, &door.Arg{Data: make([]byte, size)}); err != nil {
			t.Fatal(err)
		}
	}
	wantErr(t, d.SetParam(door.DescMax, 1), unix.ENOTSUP)
	if v, err := c.GetParam(bg, door.DescMax); v != 0 || err != nil {
		t.Fatal(v, err)
	}
}

// A descriptor that the procedure has kept is open after its return, the others
// are not.
func TestKeep(t *testing.T) {
	noLeak(t)
	kept := make(chan []*os.File, 1)
	_, path := create(t, door.Config{}, func(c *door.Call, _ any, _ []byte, desc []*os.File) {
		c.Keep(desc[1])
		c.Return(nil)
		kept <- desc
	}, 0)
	c := open(t, path)
	if err := c.Call(bg, &door.Arg{Desc: devNull(t, 3)}); err != nil {
		t.Fatal(err)
	}
	desc := <-kept
	eventually(t, "others closed", func() bool {
		_, err0 := desc[0].Stat()
		_, err2 := desc[2].Stat()
		return errors.Is(err0, os.ErrClosed) && errors.Is(err2, os.ErrClosed)
	})
	if _, err := desc[1].Stat(); err != nil {
		t.Fatal(err)
	}
	desc[1].Close()
}

func TestParams(t *testing.T) {
	d, path := create(t, door.Config{}, echo, 0)
	c := open(t, path)
	get := func(p door.Param, want uint64) {
		t.Helper()
		if v, err := d.GetParam(p); v != want || err != nil {
			t.Fatalf("%d, %v; want %d", v, err, want)
		}
		if v, err := c.GetParam(bg, p); v != want || err != nil {
			t.Fatalf("client: %d, %v; want %d", v, err, want)
		}
	}
	set := func(p door.Param, v uint64, want error) {
		t.Helper()
		wantErr(t, d.SetParam(p, v), want)
	}
	call := func(n int, want error) {
		t.Helper()
		wantErr(t, c.Call(bg, &door.Arg{Data: make([]byte, n)}), want)
	}
	get(door.DataMin, 0)
	get(door.DataMax, 16<<20)
	get(door.DescMax, door.MaxDesc)
	call(16<<20, nil)
	call(16<<20+1, unix.ENOBUFS)
	set(door.DataMax, 8, nil)
	set(door.DataMin, 9, unix.ERANGE)
	set(door.DataMin, 4, nil)
	set(door.DataMax, 3, unix.ERANGE)
	set(door.DataMax, 1<<63, unix.ERANGE)
	set(door.DescMax, door.MaxDesc+1, unix.ERANGE)
	set(door.Param(0), 1, unix.EINVAL)
	get(door.DataMin, 4)
	get(door.DataMax, 8)
	call(3, unix.ENOBUFS)
	call(4, nil)
	call(8, nil)
	call(9, unix.ENOBUFS)
	call(1<<20, unix.ENOBUFS)
	_, err := d.GetParam(4)
	wantErr(t, err, unix.EINVAL)
	_, err = c.GetParam(bg, 0)
	wantErr(t, err, unix.EINVAL)
}

func TestMaxResult(t *testing.T) {
	noLeak(t)
	_, path := create(t, door.Config{}, func(c *door.Call, _ any, arg []byte, desc []*os.File) {
		c.Return(make([]byte, 200_000), desc...)
	}, 0)
	c := open(t, path)
	c.MaxResult = 199_999
	arg := door.Arg{Data: []byte("kept"), Desc: devNull(t, 1), RDesc: 1}
	wantErr(t, c.Call(bg, &arg), unix.EOVERFLOW)
	if string(arg.Data) != "kept" || len(arg.Desc) != 1 {
		t.Fatal("the argument has changed")
	}
	c.MaxResult = 200_000
	if err := c.Call(bg, &door.Arg{}); err != nil {
		t.Fatal(err)
	}
}

func TestInfo(t *testing.T) {
	d, path := create(t, door.Config{}, echo, door.RefuseDesc|door.Unref)
	c := open(t, path)
	i, err := c.Info(bg)
	if err != nil {
		t.Fatal(err)
	}
	if i != d.Info() || i.Pid != os.Getpid() || i.Attributes != door.RefuseDesc|door.Unref|door.Local {
		t.Fatalf("%+v and %+v", i, d.Info())
	}
	other, _ := create(t, door.Config{}, echo, 0)
	if other.Info().Uniquifier == i.Uniquifier {
		t.Fatal("two doors with one number")
	}
	child := start(t, "echo", path+"2")
	i, err = open(t, path+"2").Info(bg)
	if err != nil || i.Pid != child.Process.Pid || i.Attributes != 0 {
		t.Fatalf("%+v %v", i, err)
	}
	child.end()
}

func TestRevoke(t *testing.T) {
	called, release := make(chan bool), make(chan bool)
	d, path := create(t, door.Config{}, func(c *door.Call, _ any, arg []byte, _ []*os.File) {
		called <- true
		<-release
		c.Return([]byte("finished"))
	}, 0)
	c := open(t, path)
	done := make(chan error)
	arg := door.Arg{}
	go func() { done <- c.Call(bg, &arg) }()
	<-called
	if err := d.Revoke(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, c.Call(bg, &door.Arg{}), unix.EBADF)
	close(release)
	if err := <-done; err != nil || string(arg.Data) != "finished" {
		t.Fatal(err, string(arg.Data))
	}
	wantErr(t, c.Call(bg, &door.Arg{Data: make([]byte, 1<<20)}), unix.EBADF)
	c2 := open(t, path)
	wantErr(t, c2.Call(bg, &door.Arg{}), unix.EBADF)
	if i, err := c2.Info(bg); err != nil || i.Attributes&door.Revoked == 0 {
		t.Fatal(i, err)
	}
	wantErr(t, d.Revoke(), unix.EBADF)
	wantErr(t, d.SetParam(door.DataMax, 1), unix.EBADF)
}

func TestClose(t *testing.T) {
	noLeak(t)
	called, released := make(chan bool), make(chan bool)
	d, path := create(t, door.Config{}, func(c *door.Call, _ any, arg []byte, _ []*os.File) {
		called <- true
		<-c.Context().Done()
		if err := c.Return(nil); err == nil {
			t.Error("Return after Close: no error")
		}
		released <- true
	}, 0)
	c, idle := open(t, path), open(t, path)
	done := make(chan error)
	go func() { done <- c.Call(bg, &door.Arg{}) }()
	<-called
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, <-done, unix.EINTR)
	<-released
	wantErr(t, c.Call(bg, &door.Arg{}), unix.EBADF)
	wantErr(t, idle.Call(bg, &door.Arg{}), unix.EBADF)
	wantErr(t, d.Close(), unix.EBADF)
	wantErr(t, d.Attach(path), unix.EBADF)
	_, err := os.Lstat(path)
	wantErr(t, err, os.ErrNotExist)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, c.Close(), unix.EBADF)
	wantErr(t, c.Call(bg, &door.Arg{}), unix.EBADF)
}

func TestUnref(t *testing.T) {
	for _, multi := range []bool{false, true} {
		t.Run(fmt.Sprint(multi), func(t *testing.T) {
			attr := door.Unref
			if multi {
				attr = door.UnrefMulti
			}
			unref := make(chan string, 10)
			d, path := create(t, door.Config{}, func(c *door.Call, cookie any, arg []byte, desc []*os.File) {
				if c.Unref() {
					c.Return(nil)
					unref <- fmt.Sprint(cookie, len(arg), len(desc), c.Context().Err())
					return
				}
				c.Return(arg)
			}, attr)
			round := func() {
				t.Helper()
				c := open(t, path)
				if err := d.Detach(path); err != nil {
					t.Fatal(err)
				}
				// The client still refers to it.
				if err := c.Call(bg, &door.Arg{}); err != nil {
					t.Fatal(err)
				}
				if len(unref) > 0 {
					t.Fatal("unreferenced with a client")
				}
				if i := d.Info(); i.Attributes&door.IsUnref != 0 {
					t.Fatalf("%+v", i)
				}
				c.Close()
			}
			round()
			if got := <-unref; got != "cookie0 0 <nil>" {
				t.Fatal(got)
			}
			if i := d.Info(); i.Attributes&door.IsUnref == 0 {
				t.Fatalf("%+v", i)
			}
			if err := d.Attach(path); err != nil {
				t.Fatal(err)
			}
			round()
			if multi {
				<-unref
				return
			}
			// The second time must not come; the third door's call, which comes
			// after it, shows that it has not.
			if err := d.Attach(path); err != nil {
				t.Fatal(err)
			}
			if err := open(t, path).Call(bg, &door.Arg{}); err != nil {
				t.Fatal(err)
			}
			if len(unref) > 0 {
				t.Fatal("unreferenced a second time")
			}
		})
	}
}

func TestServerKilledInCall(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	child := start(t, "hang", dir+"/door")
	other := start(t, "echo", dir+"/other")
	c, c2 := open(t, dir+"/door"), open(t, dir+"/other")
	done := make(chan error)
	go func() { done <- c.Call(bg, &door.Arg{}) }()
	child.expect("called")
	child.kill()
	err := <-done
	wantErr(t, err, unix.EINTR)
	if got, want := err.Error(), "door_call "+dir+"/door: interrupted system call"; got != want {
		t.Fatalf("message %q, want %q", got, want)
	}
	wantErr(t, c.Call(bg, &door.Arg{}), unix.EBADF)
	if err := c2.Call(bg, &door.Arg{}); err != nil {
		t.Fatal(err)
	}
	_, err = door.Open(dir + "/door") // what it has left
	wantErr(t, err, unix.EBADF)
	other.end()
}

func TestClientKilledCancels(t *testing.T) {
	for _, attr := range []door.Attr{0, door.NoCancel} {
		t.Run(fmt.Sprint(attr), func(t *testing.T) {
			noLeak(t)
			ctxs, release := make(chan context.Context), make(chan bool)
			d, path := create(t, door.Config{}, func(c *door.Call, _ any, arg []byte, _ []*os.File) {
				if len(arg) == 0 {
					c.Return(nil)
					return
				}
				ctxs <- c.Context()
				<-release
				if err := c.Return(nil); !errors.Is(err, unix.EPIPE) {
					t.Errorf("Return to a dead client: %v", err)
				}
			}, attr)
			child := start(t, "caller", path)
			ctx := <-ctxs
			if ctx.Err() != nil {
				t.Fatal(ctx.Err())
			}
			child.kill()
			if attr == 0 {
				<-ctx.Done()
			}
			if err := open(t, path).Call(bg, &door.Arg{}); err != nil {
				t.Fatal(err)
			}
			if attr != 0 && ctx.Err() != nil {
				t.Fatal(ctx.Err())
			}
			close(release)
			<-ctx.Done() // the procedure has returned
			d.Close()
		})
	}
}

func TestDeadline(t *testing.T) {
	noLeak(t)
	ended := make(chan error, 1)
	_, path := create(t, door.Config{}, func(c *door.Call, _ any, arg []byte, _ []*os.File) {
		if len(arg) > 0 {
			<-c.Context().Done()
			ended <- c.Context().Err()
		}
		c.Return(nil)
	}, 0)
	c := open(t, path)
	ctx, cancel := context.WithTimeout(bg, 30*time.Millisecond)
	defer cancel()
	err := c.Call(ctx, &door.Arg{Data: []byte("hang")})
	wantErr(t, err, unix.ETIMEDOUT)
	wantErr(t, err, context.DeadlineExceeded)
	wantErr(t, <-ended, context.Canceled)
	if !os.IsTimeout(err) {
		t.Fatal("not a timeout")
	}
	// An ended context is not even sent.
	wantErr(t, c.Call(ctx, &door.Arg{}), unix.ETIMEDOUT)

	ctx, cancel = context.WithCancel(bg)
	done := make(chan error)
	go func() { done <- c.Call(ctx, &door.Arg{Data: []byte("hang")}) }()
	if err := c.Call(bg, &door.Arg{}); err != nil { // others are not disturbed
		t.Fatal(err)
	}
	cancel()
	err = <-done
	wantErr(t, err, context.Canceled)
	if err := c.Call(bg, &door.Arg{}); err != nil {
		t.Fatal(err)
	}
}

func TestProcedureEndsWithoutReturn(t *testing.T) {
	noLeak(t)
	type report struct {
		v     any
		stack string
	}
	reports := make(chan report, 1)
	cfg := door.Config{OnPanic: func(v any, stack []byte) { reports <- report{v, string(stack)} }}
	_, path := create(t, cfg, func(c *door.Call, _ any, arg []byte, desc []*os.File) {
		switch string(arg) {
		case "panic":
			panic("for the test")
		case "late":
			c.Return([]byte("sent"))
			panic("after the return")
		case "goexit":
			runtime.Goexit()
		case "twice":
			c.Return([]byte("sent"))
			wantErr(t, c.Return(nil), unix.EINVAL)
		case "too many":
			wantErr(t, c.Return(nil, make([]*os.File, door.MaxDesc+1)...), unix.ENFILE)
			wantErr(t, c.Return(nil, nil), unix.EBADF)
			c.Return([]byte("sent"))
		}
	}, 0)
	c := open(t, path)
	for _, what := range []string{"panic", "goexit", "nothing", "panic"} {
		wantErr(t, c.Call(bg, &door.Arg{Data: []byte(what), Desc: devNull(t, 1)}), unix.EINTR)
		if what == "panic" {
			r := <-reports
			if r.v != "for the test" || !strings.Contains(r.stack, "call_test.go") {
				t.Fatalf("%v %s", r.v, r.stack)
			}
		}
	}
	for _, what := range []string{"late", "twice", "too many"} {
		arg := door.Arg{Data: []byte(what)}
		if err := c.Call(bg, &arg); err != nil || string(arg.Data) != "sent" {
			t.Fatal(what, err)
		}
	}
	if r := <-reports; r.v != "after the return" {
		t.Fatal(r.v)
	}
}

// Calls beyond MaxCalls wait until one has ended.
func TestMaxCalls(t *testing.T) {
	noLeak(t)
	var running, most atomic.Int32
	entered, leave := make(chan bool), make(chan bool)
	_, path := create(t, door.Config{MaxCalls: 3}, func(c *door.Call, _ any, _ []byte, _ []*os.File) {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		entered <- true
		<-leave
		running.Add(-1)
		c.Return(nil)
	}, 0)
	c := open(t, path)
	const calls = 12
	errs := make(chan error)
	for range calls {
		go func() { errs <- c.Call(bg, &door.Arg{}) }()
	}
	for range 3 {
		<-entered
	}
	// To open a door and to ask about it needs no place.
	if _, err := open(t, path).Info(bg); err != nil {
		t.Fatal(err)
	}
	for range calls - 3 {
		leave <- true
		<-entered
	}
	for range 3 {
		leave <- true
	}
	for range calls {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if most.Load() != 3 {
		t.Fatalf("%d at once", most.Load())
	}
}

// The storm: 64 clients at once, each with results of 1 MiB and descriptors both
// ways, some of which give up or die.
func TestStorm(t *testing.T) {
	noLeak(t)
	path := t.TempDir() + "/door"
	server := start(t, "echo", path)
	serverFiles := func() int {
		names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", server.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	c := open(t, path)
	if err := c.Call(bg, &door.Arg{}); err != nil {
		t.Fatal(err)
	}
	before := serverFiles()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			c, err := door.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			want := random(1<<20 + i)
			for round := range 4 {
				r, w, err := os.Pipe()
				if err != nil {
					t.Error(err)
					return
				}
				fmt.Fprint(w, i, round)
				w.Close()
				arg := door.Arg{Data: want, Desc: []*os.File{r}, RDesc: 1}
				ctx, cancel := bg, context.CancelFunc(func() {})
				if i%8 == 7 {
					ctx, cancel = context.WithTimeout(bg, time.Duration(round)*time.Millisecond)
				}
				err = c.Call(ctx, &arg)
				cancel()
				r.Close()
				if i%8 == 7 && errors.Is(err, unix.ETIMEDOUT) {
					continue
				}
				if err != nil || len(arg.Desc) != 1 || !bytes.Equal(arg.Data, want) {
					t.Errorf("client %d: %v, %d bytes, %d descriptors", i, err, len(arg.Data), len(arg.Desc))
					return
				}
				b, _ := io.ReadAll(arg.Desc[0])
				arg.Desc[0].Close()
				if string(b) != fmt.Sprint(i, round) {
					t.Errorf("client %d: descriptor of another: %q", i, b)
				}
			}
		})
	}
	wg.Wait()
	if err := c.Call(bg, &door.Arg{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has the descriptors it had before", func() bool { return serverFiles() == before })
	server.end()
}

func TestOutOfDescriptors(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	// The client has none left.
	_, path := create(t, door.Config{}, func(c *door.Call, _ any, _ []byte, _ []*os.File) {
		c.Return(nil, devNull(t, 100)...)
	}, 0)
	child := start(t, "greedy", path, "40")
	if got := child.line(); got != "door_call "+path+": too many open files" {
		t.Fatal(got)
	}
	child.end()
	// The server has none left.
	server := start(t, "echo", dir+"/door", "40")
	c := open(t, dir+"/door")
	wantErr(t, c.Call(bg, &door.Arg{Desc: devNull(t, 100)}), unix.EMFILE)
	if err := c.Call(bg, &door.Arg{Desc: devNull(t, 10), RDesc: 0}); err != nil {
		t.Fatal(err)
	}
	server.end()
}

// A door goes through a door.
func TestPassDoor(t *testing.T) {
	noLeak(t)
	_, path := create(t, door.Config{}, echo, 0)
	inner := open(t, path)
	_, path2 := create(t, door.Config{}, func(c *door.Call, _ any, _ []byte, _ []*os.File) {
		f, err := inner.File()
		if err != nil {
			t.Error(err)
		}
		defer f.Close()
		c.Return(nil, f)
	}, 0)
	os.Remove(path) // it goes by the door, not the name
	arg := door.Arg{RDesc: 1}
	if err := open(t, path2).Call(bg, &arg); err != nil {
		t.Fatal(err)
	}
	c, err := door.FromFile(arg.Desc[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	arg = door.Arg{Data: []byte("through two doors")}
	if err := c.Call(bg, &arg); err != nil || string(arg.Data) != "through two doors" {
		t.Fatal(err)
	}
	_, err = door.FromFile(devNull(t, 1)[0])
	wantErr(t, err, unix.EBADF)
}

func TestCreate(t *testing.T) {
	_, err := door.Create(nil, nil, 0)
	wantErr(t, err, unix.EINVAL)
	_, err = door.Create(echo, nil, door.Revoked)
	wantErr(t, err, unix.EINVAL)
	_, err = door.Config{MaxCalls: -1}.Create(echo, nil, 0)
	wantErr(t, err, unix.EINVAL)
}

// The path of a small call allocates nothing, on either side.
func TestAllocs(t *testing.T) {
	_, path := create(t, door.Config{}, echo, 0)
	c := open(t, path)
	data, buf := make([]byte, 1024), make([]byte, 1024)
	arg := new(door.Arg)
	n := testing.AllocsPerRun(2000, func() {
		*arg = door.Arg{Data: data, RBuf: buf}
		if err := c.Call(bg, arg); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a call, client and server together", n)
	}
}
