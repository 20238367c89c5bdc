// Fifo_gzip compresses a file by sending it through a FIFO to gzip.
//
// # Usage
//
//	fifo_gzip [--fifo PATH] [--timeout DURATION] FILE [FILE.gz]
//
// FILE "-" is standard input, FILE.gz "-" standard output. Without FILE.gz the
// output is FILE with ".gz" behind it, or standard output if FILE is "-". The FIFO
// is pipe_file in the working directory unless --fifo names another.
//
// # What it shows
//
// A FIFO is a pipe with a name: two programs that know the name can meet there,
// and a program that only takes the name of a file can be given a stream. open(2)
// of one end waits until somebody has opened the other. This program does what
// these lines do in a shell:
//
//	mkfifo pipe_file
//	gzip -c9 < pipe_file > FILE.gz &
//	cat FILE > pipe_file
//	rm -f pipe_file
//
// # Example
//
//	$ fifo_gzip /usr/share/dict/words words.gz
//	$ gzip -dc words.gz | cmp - /usr/share/dict/words && echo same
//	same
//
// # Differences from the shell
//
//   - The child is this program started again (package reexec). It becomes gzip by
//     execve(2), with the FIFO as its standard input and FILE.gz as its output.
//   - If gzip ends early, the program ends with an error. A shell's cat would wait
//     in open for ever, or die of SIGPIPE.
//   - FILE is opened before anything is created; FILE and FILE.gz must not be the
//     same file. A FILE.gz that this run created does not stay half written.
//   - Something that exists at the path of the FIFO is left alone, and an error.
//   - The FIFO is removed when SIGINT, SIGTERM or SIGHUP ends the program, and gzip
//     ends with it. After SIGKILL gzip ends too, and the FIFO stays.
//   - Without a gzip program in PATH, the encoder of Go's standard library is used,
//     and standard error says so. Its output unpacks to the same bytes but need not
//     be the same as gzip's.
//
// # See also
//
// fifo_gzip.c beside this file, fifo(7), mkfifo(3), open(2), execve(2), gzip(1),
// and simple_pipe, whose pipe has no name.
package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"ipcbook/shared/prog"
	"ipcbook/shared/reexec"
)

const bufSize = 64 << 10 // what a pipe holds

func main() {
	prog.Run(&cli.App{
		Name:      "fifo_gzip",
		Usage:     "send FILE through a FIFO to gzip, which writes FILE.gz",
		UsageText: "fifo_gzip [--fifo PATH] [--timeout DURATION] FILE [FILE.gz]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "fifo", Value: "pipe_file", Usage: "make the FIFO at `PATH`"},
			prog.Timeout(),
		},
		Action: run,
	}, 1)
}

func run(c *cli.Context) error {
	if err := prog.NArgs(c, 1, 2); err != nil {
		return err
	}
	if reexec.Role() == "gzip" {
		return child(c.String("fifo"))
	}
	in, out := c.Args().Get(0), c.Args().Get(1)
	switch {
	case c.NArg() == 2:
	case in == "-":
		out = "-"
	default:
		out = in + ".gz"
	}
	return parent(c, in, out)
}

func parent(c *cli.Context, inName, outName string) error {
	fifo := c.String("fifo")
	w := &waiter{limit: c.Duration("timeout")}

	// [1] open FILE
	in, err := await(w, func() (*os.File, error) { return openInput(inName) })
	if err != nil {
		return prog.Waited(c, err, "a writer of %s", inName)
	}
	// [2] make the FIFO
	made, remove, err := makeFIFO(fifo)
	if err != nil {
		return err
	}
	defer remove()
	// [3] open FILE.gz
	out, err := await(w, func() (*output, error) { return openOutput(outName, in, made) })
	if err != nil {
		return prog.Waited(c, err, "a reader of %s", outName)
	}
	defer out.Discard()
	// [4] create the child, whose standard output is FILE.gz. It is to die with the
	// parent, even of SIGKILL: it would wait for ever in its open, or take the end of
	// the parent for the end of FILE. The kernel means the thread that created it.
	runtime.LockOSThread()
	child := reexec.Command("gzip")
	child.Stdout = out.File
	child.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := child.Start(); err != nil {
		return err
	}
	w.watch(child)
	defer prog.Cleanup(func() {
		child.Process.Kill()
		<-w.ended
	})()
	// [5] open the FIFO: this waits until the child has opened it
	pipe, err := await(w, func() (*os.File, error) { return openFIFO(fifo, unix.O_WRONLY, made) })
	if err != nil {
		return w.failed(prog.Waited(c, err, "gzip to open %s", fifo))
	}
	buf := make([]byte, bufSize)
	for {
		// [6] read a piece
		n, err := await(w, func() (int, error) { return in.Read(buf) })
		if err == io.EOF {
			break
		}
		if err != nil {
			return w.failed(prog.Waited(c, err, "more of %s", in.Name()))
		}
		// [7] pass it on; a child that died shows here as EPIPE
		_, err = await(w, func() (int, error) { return pipe.Write(buf[:n]) })
		if err != nil {
			return w.failed(prog.Waited(c, err, "gzip to read %s", fifo))
		}
	}
	// [8] close the FIFO: gzip sees the end of the data
	pipe.Close()
	// [9] wait for the child
	_, err = await(w, func() (struct{}, error) { <-w.ended; return struct{}{}, nil })
	if errors.Is(err, unix.ETIMEDOUT) {
		return prog.Waited(c, err, "gzip to end")
	}
	if w.status != nil {
		return w.status
	}
	out.Whole()
	// [10] remove the FIFO
	remove()
	return nil
}

// child becomes gzip. Its standard output is FILE.gz already.
func child(fifo string) error {
	// [11] open the FIFO: this waits until the parent has opened it
	pipe, err := openFIFO(fifo, unix.O_RDONLY, nil)
	if err != nil {
		return err
	}
	path, err := exec.LookPath("gzip")
	if err != nil && !errors.Is(err, exec.ErrDot) { // a "." in PATH is the user's word
		fmt.Fprintln(prog.Stderr, "fifo_gzip: no gzip in PATH; using the encoder of Go's standard library")
		return compress(pipe)
	}
	// [12] put it in the place of standard input
	if err := unix.Dup3(int(pipe.Fd()), 0, 0); err != nil {
		return os.NewSyscallError("dup3", err)
	}
	// [13] become gzip
	return prog.Exec(path, []string{"gzip", "-c9"}, os.Environ())
}

// compress is gzip -c9 in Go.
func compress(in io.Reader) error {
	z, err := gzip.NewWriterLevel(prog.Stdout, gzip.BestCompression)
	if err != nil {
		return err
	}
	z.OS = 3 // Unix, as gzip writes
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	return z.Close()
}
