package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The binaries for arm64 pair with C twins for arm64, under the emulation of user
// programs. Programs that start themselves again are left out: the emulator does
// not stay with what a program executes.
func TestARM64(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds for another architecture")
	}
	if runtime.GOARCH == "arm64" {
		t.Skip("all the other tests are about arm64 here")
	}
	t.Parallel()
	emulator, cc := need(t, "qemu-aarch64"), need(t, "aarch64-linux-gnu-gcc")
	bin := t.TempDir()
	if err := goBuild(bin, []string{"GOARCH=arm64"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pshm_writer", "pshm_reader", "mmap_producer", "mmap_consumer", "mmap_queue", "pmsg_create", "pmsg_send", "pmsg_receive", "pmsg_unlink", "futex_mutex"} {
		src := filepath.Join("..", "examples", name, name+".c")
		out, err := exec.Command(cc, "-static", "-std=c11", "-O2", "-pthread", "-o", filepath.Join(bin, name+"_c"), src).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", src, err, out)
		}
	}
	for _, p := range [][2]string{{"", ""}, {"", "_c"}, {"_c", ""}, {"_c", "_c"}} {
		language := map[string]string{"": "Go", "_c": "C"}
		t.Run(language[p[0]]+"-"+language[p[1]], func(t *testing.T) {
			dir := t.TempDir()
			half := func(i int, name string, args ...string) *exec.Cmd {
				cmd := exec.Command(emulator, append([]string{filepath.Join(bin, name+p[i])}, args...)...)
				cmd.Dir = dir
				return cmd
			}
			armShm(t, half)
			armFiles(t, half)
			armQueue(t, half)
			armMutex(t, half)
		})
	}
}

type armHalf func(i int, name string, args ...string) *exec.Cmd

func armShm(t *testing.T, half armHalf) {
	name := object(t.Name())
	data := bytes.Repeat([]byte("forty-two bytes of what is to be copied. \n"), 5000)
	write := half(0, "pshm_writer", name)
	write.Stdin = bytes.NewReader(data)
	writer := start(t, write)
	until(t, "the semaphores of "+name, func() bool {
		b, _ := os.ReadFile("/dev/shm" + name)
		return len(b) > 44 && b[8] == 128 && b[40] == 128 // both are initialised
	})
	run(t, half(1, "pshm_reader", name)).wantExit(t, 0).wantStdout(t, string(data))
	writer.wait().wantExit(t, 0)
}

func armFiles(t *testing.T, half armHalf) {
	produce := half(0, "mmap_producer")
	produce.Stdin = nil
	run(t, produce).wantExit(t, 0)
	run(t, half(1, "mmap_consumer")).wantExit(t, 0).wantStdout(t, "Hello World\n")

	producer := start(t, half(0, "mmap_queue", "producer"))
	producer.line(`^enqueued 4$`)
	consumer := start(t, half(1, "mmap_queue", "consumer"))
	producer.line(`^message queue written$`)
	consumer.line(`^100: `)
	consumer.signal(unix.SIGTERM)
	r := consumer.wait()
	got := messages(t, r.stdout)
	seen := make(map[int]bool)
	for _, v := range got {
		seen[v] = true
	}
	if len(got) != 100 || len(seen) != 100 {
		t.Errorf("%d messages, %d different ones, want 100", len(got), len(seen))
	}
	producer.stdin.Write([]byte("\n"))
	producer.wait().wantExit(t, 0)
}

func armQueue(t *testing.T, half armHalf) {
	name := object(t.Name())
	run(t, half(0, "pmsg_create", "-cx", "-m", "4", "-s", "64", name)).wantExit(t, 0)
	for i, msg := range []string{"low", "high"} {
		run(t, half(0, "pmsg_send", name, msg, fmt.Sprint(i))).wantExit(t, 0)
	}
	run(t, half(1, "pmsg_receive", name)).wantExit(t, 0).wantStdout(t, "Read 4 bytes; priority = 1\nhigh\n")
	run(t, half(1, "pmsg_receive", name)).wantExit(t, 0).wantStdout(t, "Read 3 bytes; priority = 0\nlow\n")
	run(t, half(1, "pmsg_unlink", name)).wantExit(t, 0)
}

func armMutex(t *testing.T, half armHalf) {
	holder := start(t, half(0, "futex_mutex", "hold", "mutex", "1000s"))
	holder.line(`^locked$`)
	run(t, half(1, "futex_mutex", "try", "mutex")).wantExit(t, 1).wantStdout(t, "busy\n")
	waiter := start(t, half(1, "futex_mutex", "hold", "mutex", "0s"))
	waiter.mustBlock(unix.SYS_FUTEX)
	holder.kill()
}
