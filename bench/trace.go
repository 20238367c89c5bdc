package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// countCalls counts the system calls of the timed phase in the output of strace
// -f: those between the two calls of getpgid with which a half marks it. The
// sleeps of the Go runtime's monitor thread (nanosleep) are left out: they come
// with the time that passes, not with the work, and under strace much time does.
func countCalls(file string) (int, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, marks := 0, 0
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		switch call := callName(in.Text()); {
		case call == "":
		case call == "getpgid":
			marks++
		case marks == 1 && call != "nanosleep":
			n++
		}
	}
	if err := in.Err(); err != nil {
		return 0, err
	}
	if marks != 2 {
		return 0, fmt.Errorf("%d marks in the trace, want 2", marks)
	}
	return n, nil
}

// callName returns the system call that a line of strace -f shows the start of,
// or "": "123 read(3, …", but not "123 <... read resumed>", "123 --- SIGURG …".
func callName(line string) string {
	_, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	name, _, ok := strings.Cut(strings.TrimLeft(rest, " "), "(")
	if !ok || strings.ContainsAny(name, "<-+ ") {
		return ""
	}
	return name
}
