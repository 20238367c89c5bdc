// Compare runs every program of the suite beside its C twin, on the same inputs,
// and prints what is the same.
//
// # Usage
//
//	go run ./e2e/compare [-json] [-ex NAME]
//
// # What it compares
//
// For each program: standard output and error, the exit status (of success, of a
// usage error, of each failure), the objects and files that the program makes with
// their modes, sizes and bytes, the system calls of the lesson, the numbers of the
// steps in both texts, and the layouts of shared memory. For each pair: what
// arrives at the other side, in all four combinations of the languages.
//
// A cell is "ok", "differs", "listed" (it differs, and the section "Differences
// from the C program" of the program's documentation says so), "–" (there is
// nothing to compare) or "skipped", with the cause below the table.
//
// With -ex NAME one program is shown in detail: both texts side by side, step by
// step, and what both runs print and call.
//
// ORIGINALS=DIR in the environment names a folder with the textbook's own sources
// (mmap/producer.c, mmap_locks/producer.cc, domain_sock/server.c, …; pipes/, pmsg/,
// pshm/, lib/ of "The Linux Programming Interface"), which then take the place of
// the twins, program by program, where they are there.
//
// The exit status is 1 if anything differs that is not listed, and 2 if nothing
// could be compared, for example without a C compiler.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	// A reader that goes away is an error, so that what was made is removed.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	status, err := compareAll(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
	}
	os.Exit(status)
}

const (
	statusDiffers = 1
	statusCannot  = 2 // nothing could be compared
)

func compareAll(ctx context.Context, args []string) (status int, err error) {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "print the report as JSON")
	name := flags.String("ex", "", "show the program `NAME` in detail")
	if err := flags.Parse(args); err != nil {
		return statusCannot, nil // the flag set has said it
	}
	if flags.NArg() > 0 {
		return statusCannot, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	s := &Suite{Programs: programs, Pairs: pairs}
	if s.Root, err = moduleRoot(); err != nil {
		return statusCannot, err
	}
	if dir := os.Getenv("ORIGINALS"); dir != "" {
		if s.Originals, err = filepath.Abs(dir); err != nil {
			return statusCannot, err
		}
		if _, err := os.Stat(s.Originals); err != nil {
			return statusCannot, fmt.Errorf("ORIGINALS: %w", err)
		}
	}
	if *name != "" {
		if err := s.only(*name); err != nil {
			return statusCannot, err
		}
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	if err := s.Build(ctx); err != nil {
		return statusCannot, err
	}
	r := s.Run(ctx)
	if ctx.Err() != nil {
		return statusCannot, context.Cause(ctx)
	}
	switch {
	case *asJSON:
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "\t")
		e.SetEscapeHTML(false)
		err = e.Encode(r)
	case *name != "":
		err = s.WriteDetail(os.Stdout, r, width())
	default:
		err = r.WriteTable(os.Stdout)
	}
	if err != nil {
		return statusCannot, err
	}
	if r.Differs() {
		return statusDiffers, nil
	}
	return 0, nil
}

// only leaves one program, and the pairs that it is in.
func (s *Suite) only(name string) error {
	i := slices.IndexFunc(s.Programs, func(p Program) bool { return p.Name == name })
	if i < 0 {
		var names []string
		for _, p := range s.Programs {
			names = append(names, p.Name)
		}
		return fmt.Errorf("no program %q; there are %s", name, strings.Join(names, ", "))
	}
	s.Programs = s.Programs[i : i+1]
	s.Pairs = slices.DeleteFunc(slices.Clone(s.Pairs), func(p Pair) bool { return p.Left != name && p.Right != name })
	return nil
}
