package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// What is compared is data: cases.go describes each program, pairs.go each pair,
// in the terms of this file. A new example is a new entry.
//
// In every text $DIR is the directory of the run, and $NAME the name, with a
// leading slash, of a kernel object that no other run uses.

// A Program is one example, and a row of the table.
type Program struct {
	Name      string
	Failure   int      // exit status of a failure
	Twins     []Half   // nil: NAME.c in the program's folder
	Originals []Half   // in the folder of the originals
	OrigName  string   // the kernel object's name that the originals have built in
	Layouts   []string // of layout.go
	Cases     []Case
	Diffs     []Diff
}

// A Half is a C program that stands for a Go program or for one command of it.
type Half struct {
	Command string   // the first argument of the Go program, which the C program is not given
	Sources []string // files
	Or      []string // the same, in a folder that is laid out in another way
}

// Kind is the column in which the exit status of a case stands.
type Kind string

const (
	Success Kind = "success"
	Usage   Kind = "usage"
	Failure Kind = "failure"
)

// A Case is one run of a program in Go and in C, on the same input.
type Case struct {
	Name   string
	Kind   Kind
	Files  []File   // made before the run
	Queue  *Queue   // made before the run, as $NAME
	Run    Proc     // the program; it is called "" in Do
	Do     []Step   // nil: start the program and wait for its end
	Want   string   // how it ends; "": exit status 0, or the program's Failure
	Trace  bool     // compare the system calls
	Varies string   // regular expression: what in the output depends on the time it took
	Loose  []string // files that are left with bytes which depend on who ran when
	NoOrig string   // why the original has nothing to compare here
	Diffs  []Diff
}

// A Proc is a process to be started.
type Proc struct {
	Prog   string // an example
	Side   Side   // in a pair
	Args   []string
	Stdin  string
	Hold   bool // keep standard input open behind Stdin, until an Eof step
	Stdout Sink
}

// Side says whose a process is.
type Side int

const (
	Peer  Side = iota // always C
	Left              // the halves of a pair
	Right             //
)

// Sink is what standard output is.
type Sink string

const (
	Kept Sink = ""             // a pipe to us
	Full Sink = "a full disk"  // /dev/full
	Gone Sink = "nobody reads" // a pipe whose reader has gone
)

// A File is made before a run.
type File struct {
	Path string // relative to $DIR, or absolute
	Data string
	Type FileType
}

// FileType is the type of a File.
type FileType int

const (
	Regular FileType = iota
	Dir
	FIFO
	Symlink // to Data
	Socket  // bound, and nobody listens any more
)

// A Queue is a message queue that is made before a run.
type Queue struct {
	MaxMsg, MsgSize int64
	Msgs            []Msg
}

// A Msg is a message in a Queue.
type Msg struct {
	Prio uint32
	Text string
}

// A Step is what happens in a run, one after the other.
type Step struct {
	Do     Do
	Who    string  // the process
	Proc   Proc    // Start
	Text   string  // Line, Called; End: how
	Signal Signal  // Kill
	Object *Object // Until, Look
}

// Do is what a Step does.
type Do int

const (
	Start  Do = iota // start a process; the program itself with Who ""
	Line             // wait until it has written a line that begins with Text
	Until            // wait until Object is as described
	Look             // wait likewise, and note the object's state for comparison
	Eof              // close its standard input
	Kill             // send it Signal
	Called           // wait until it calls what Text, a regular expression, matches
	Still            // wait until the program sleeps
	Alone            // wait until the program has no children
	End              // wait for its end; a peer must end as Text says, or with 0
)

// Signal is a signal's number.
type Signal = unix.Signal

// An Object is a kernel object or file with the state to wait for.
type Object struct {
	Path   string // a file, relative to $DIR or absolute; $NAME: a message queue
	Absent bool
	Socket bool   // a socket
	Listen bool   // a socket on which a server listens
	Words  []Word // 32-bit words that must stand in it
}

// A Word is a 32-bit word at an offset.
type Word struct {
	At int
	Is uint32
}

// Column is an aspect that is compared, and a column of the table.
type Column string

const (
	Stdout   Column = "stdout"
	Stderr   Column = "stderr"
	Exit0    Column = "exit 0"
	ExitUse  Column = "usage"
	ExitFail Column = "failure"
	Objects  Column = "objects"
	Calls    Column = "calls"
	Steps    Column = "steps"
	Layout   Column = "layout"
)

// columns are in the order of the table.
var columns = []Column{Stdout, Stderr, Exit0, ExitUse, ExitFail, Objects, Calls, Steps, Layout}

// Against is the C that a Diff is about.
type Against int

const (
	Any Against = iota
	Twin
	Original
)

// A Diff is a difference that the program's documentation lists: a line of Go's
// that C does not have, of C's that Go does not have, or both in one place. What
// is declared and does not show is an error, so that the list stays true.
type Diff struct {
	In    Column
	Of    Against
	Case  string // "" in a Program's list: any
	Go, C string // regular expressions for the whole line; "": no line
	Doc   string // words of the section "Differences from …" of the program's comment
	Maybe bool   // depends on the machine; it need not show
}

// A Pair is two programs that work together, and a row of the second table.
type Pair struct {
	Name        string
	Left, Right string // examples
	Files       []File
	Do          []Step
	Moved       Moved
}

// Moved is what went from one half to the other, as their output shows.
type Moved struct {
	Who  []string // processes whose standard output is looked at, one after the other
	Unit string
	Per  string // regular expression: its matches are counted; "": the bytes
	Sort bool   // lines "N: TEXT" that come in any order
	Want string // what must have arrived
}

// patience bounds every wait of a run.
const patience = 20 * time.Second

// The rest of this file makes steps shorter to write.

func start(who, prog string, args ...string) Step {
	return Step{Do: Start, Who: who, Proc: Proc{Prog: prog, Args: args}}
}

func left(who, prog string, args ...string) Step {
	return Step{Do: Start, Who: who, Proc: Proc{Prog: prog, Args: args, Side: Left}}
}

func right(who, prog string, args ...string) Step {
	return Step{Do: Start, Who: who, Proc: Proc{Prog: prog, Args: args, Side: Right}}
}

// stdin gives the process of a Start its standard input.
func (s Step) stdin(text string) Step { s.Proc.Stdin = text; return s }

// hold keeps it open.
func (s Step) hold() Step { s.Proc.Hold = true; return s }

var (
	run   = Step{Do: Start}
	still = Step{Do: Still}
	alone = Step{Do: Alone}
)

func line(who, text string) Step           { return Step{Do: Line, Who: who, Text: text} }
func eof(who string) Step                  { return Step{Do: Eof, Who: who} }
func kill(who string, sig Signal) Step     { return Step{Do: Kill, Who: who, Signal: sig} }
func called(what string) Step              { return Step{Do: Called, Text: what} }
func end(who string) Step                  { return Step{Do: End, Who: who} }
func ends(who, how string) Step            { return Step{Do: End, Who: who, Text: how} }
func until(o Object) Step                  { return Step{Do: Until, Object: &o} }
func look(o Object) Step                   { return Step{Do: Look, Object: &o} }
func file(path, data string) File          { return File{Path: path, Data: data} }
func special(path string, t FileType) File { return File{Path: path, Type: t} }
