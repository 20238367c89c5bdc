package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The consumer prints what the producer has stored, while the producer still has
// the file mapped and after it has ended.
func TestMmapPair(t *testing.T) {
	t.Parallel()
	eachPair(t, pairs, func(t *testing.T, first, second maker) {
		dir := t.TempDir()
		producer := start(t, first.command(t, dir, "mmap_producer"))
		producer.mustBlock(unix.SYS_READ) // C keeps its message to itself until the end
		consume := func() {
			r := run(t, second.command(t, dir, "mmap_consumer")).wantExit(t, 0)
			r.wantStdout(t, "Hello World\n")
		}
		consume()
		producer.stdin.Write([]byte("x"))
		r := producer.wait().wantExit(t, 0)
		r.wantStdout(t, "memory mapped. press any key to exit...\n")
		consume()
		got, err := os.ReadFile(filepath.Join(dir, "shared.dat"))
		if want := "Hello World\x00\x00"; err != nil || string(got) != want {
			t.Errorf("shared.dat holds %q, %v; want %q", got, err, want)
		}
	})
}

// Each of the hundred messages arrives exactly once, whoever stores and whoever
// takes them.
func TestQueuePair(t *testing.T) {
	t.Parallel()
	eachPair(t, pairs, func(t *testing.T, first, second maker) {
		testQueue(t, first, second)
	})
}

// Several consumers share the messages.
func TestQueueConsumers(t *testing.T) {
	t.Parallel()
	eachPair(t, [][2]maker{{golang, golang}, {golang, twin}, {twin, golang}}, func(t *testing.T, first, second maker) {
		testQueue(t, first, second, golang, second)
	})
}

func testQueue(t *testing.T, first maker, others ...maker) {
	dir := t.TempDir()
	producer := start(t, first.command(t, dir, "mmap_queue", "producer"))
	producer.mustBlock(unix.SYS_FUTEX) // the queue is there, and full
	var consumers []*proc
	for _, m := range others {
		consumers = append(consumers, start(t, m.command(t, dir, "mmap_queue", "consumer")))
	}
	// The producer has stored everything, and all is taken.
	producer.mustBlock(unix.SYS_READ)
	for _, c := range consumers {
		c.mustBlock(unix.SYS_FUTEX)
	}
	var got []int
	for _, c := range consumers {
		c.signal(unix.SIGTERM)
		r := c.wait().wantSignal(t, unix.SIGTERM)
		got = append(got, messages(t, r.stdout)...)
	}
	slices.Sort(got)
	want := make([]int, 100)
	for i := range want {
		want[i] = i
	}
	if !slices.Equal(got, want) {
		t.Errorf("messages taken: %v, want each from 0 to 99 once", got)
	}
	producer.stdin.Close()
	var out strings.Builder
	out.WriteString("message size = 200\n")
	for i := range want {
		fmt.Fprintf(&out, "enqueued %d\n", i)
	}
	out.WriteString("message queue written\n")
	producer.wait().wantExit(t, 0).wantStdout(t, out.String())
}

var messageRE = regexp.MustCompile(`^(\d+): (\d+)$`)

// messages reads the output of a consumer, whose lines are numbered from 1.
func messages(t *testing.T, stdout string) (values []int) {
	for line := range strings.Lines(stdout) {
		m := messageRE.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil || m[1] != strconv.Itoa(len(values)+1) {
			t.Fatalf("line %d of a consumer is %q", len(values)+1, line)
		}
		v, _ := strconv.Atoi(m[2])
		values = append(values, v)
	}
	return values
}

// A producer that starts anew under a waiting consumer does not strand it: it goes
// on with the new queue, or says what happened.
func TestQueueRestart(t *testing.T) {
	t.Parallel()
	for _, m := range []maker{golang, twin} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			old := start(t, golang.command(t, dir, "mmap_queue", "producer"))
			old.mustBlock(unix.SYS_FUTEX)
			consumer := start(t, golang.command(t, dir, "mmap_queue", "consumer"))
			old.mustBlock(unix.SYS_READ)
			consumer.mustBlock(unix.SYS_FUTEX)
			old.stdin.Close()
			old.wait().wantExit(t, 0)

			producer := start(t, m.command(t, dir, "mmap_queue", "producer"))
			select {
			case <-consumer.ended:
				consumer.wait().wantExit(t, 255)
				if !strings.Contains(consumer.stderr.String(), "file was truncated while it was mapped") {
					t.Errorf("the consumer says %q", consumer.stderr)
				}
			case <-consumer.stdout.seen(`^200: `):
				producer.mustBlock(unix.SYS_READ)
				producer.stdin.Close()
				producer.wait().wantExit(t, 0)
			}
		})
	}
}
