package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// A Report is the outcome of it all.
type Report struct {
	Programs []ProgramReport `json:"programs"`
	Pairs    []PairReport    `json:"pairs"`
	Warnings []string        `json:"warnings,omitempty"` // of the C compiler, for the twins
}

// A ProgramReport is a row of the table.
type ProgramReport struct {
	Name     string             `json:"name"`
	C        string             `json:"c"` // "twin" or "original"
	Cells    map[Column]Verdict `json:"cells"`
	Findings []Finding          `json:"findings"`

	cases []caseRun
}

// A caseRun is what one case showed in both languages.
type caseRun struct {
	c      Case
	g, ccc outcome
}

// A PairReport is a row of the second table.
type PairReport struct {
	Name  string     `json:"name"`
	Cells []PairCell `json:"cells"`
}

// A PairCell is one of the four combinations.
type PairCell struct {
	Left    string   `json:"left"`
	Right   string   `json:"right"`
	Verdict Verdict  `json:"verdict"`
	Moved   string   `json:"moved,omitempty"`
	Sum     string   `json:"sha256,omitempty"`
	Why     []string `json:"why,omitempty"`
}

// combinations are the pairs of languages in the order of the table.
var combinations = [][2]Lang{{Go, Go}, {Go, C}, {C, Go}, {C, C}}

// Run runs every case and every pair. Some run at the same time.
func (s *Suite) Run(ctx context.Context) *Report {
	slots := make(chan bool, max(2, runtime.NumCPU()))
	var wg sync.WaitGroup
	job := func(f func()) {
		wg.Go(func() {
			slots <- true
			defer func() { <-slots }()
			if ctx.Err() == nil {
				f()
			}
		})
	}
	r := &Report{Programs: make([]ProgramReport, len(s.Programs)), Pairs: make([]PairReport, len(s.Pairs))}
	layouts := make([]Finding, len(s.Programs))
	for i, p := range s.Programs {
		pr := &r.Programs[i]
		pr.Name, pr.C = p.Name, "twin"
		if s.original(p) {
			pr.C = "original"
		}
		pr.cases = make([]caseRun, len(p.Cases))
		for j, c := range p.Cases {
			cr := &pr.cases[j]
			cr.c = c
			if c.NoOrig != "" && s.original(p) {
				continue
			}
			job(func() { cr.g = s.runCase(ctx, p, c, Go) })
			job(func() { cr.ccc = s.runCase(ctx, p, c, C) })
		}
		job(func() { layouts[i] = s.compareLayouts(ctx, p, s.rulesOf(p)) })
	}
	for i, p := range s.Pairs {
		r.Pairs[i] = PairReport{Name: p.Name, Cells: make([]PairCell, len(combinations))}
		for j, l := range combinations {
			job(func() { r.Pairs[i].Cells[j] = s.checkPair(ctx, p, l[0], l[1]) })
		}
	}
	wg.Wait()
	for i, p := range s.Programs {
		s.judgeProgram(p, &r.Programs[i], layouts[i])
	}
	if w := strings.TrimSpace(s.warnings()); w != "" {
		r.Warnings = strings.Split(w, "\n")
	}
	return r
}

// rulesOf returns the rules for a program as a whole.
func (s *Suite) rulesOf(p Program) []*rule {
	of := Twin
	if s.original(p) {
		of = Original
	}
	rs, err := rules(p.Diffs, of)
	if err != nil {
		panic(err) // an expression of the spec
	}
	return rs
}

// judgeProgram compares what the cases of a program showed.
func (s *Suite) judgeProgram(p Program, r *ProgramReport, layout Finding) {
	all := s.rulesOf(p)
	r.Findings = append(r.Findings, s.compareSteps(p, all), layout)
	seen := map[Column]bool{Steps: true, Layout: true}
	var own []*rule
	for _, cr := range r.cases {
		if cr.c.NoOrig != "" && s.original(p) {
			continue
		}
		p := p
		p.Diffs = slices.Clone(cr.c.Diffs)
		for i := range p.Diffs {
			p.Diffs[i].Case = cr.c.Name
		}
		mine := s.rulesOf(p)
		own = append(own, mine...)
		fs := s.judgeCase(p, cr, append(mine, all...))
		for _, f := range fs {
			if f.Verdict != Skipped && f.Verdict != None {
				seen[f.Column] = true
			}
		}
		r.Findings = append(r.Findings, fs...)
	}
	r.Findings = append(r.Findings, s.checkRules(p, append(own, all...), seen)...)
	r.Cells = map[Column]Verdict{}
	for _, col := range columns {
		r.Cells[col] = None
	}
	for _, f := range r.Findings {
		r.Cells[f.Column] = worst(r.Cells[f.Column], f.Verdict)
	}
}

// checkRules looks whether what is declared as listed is listed, and shows.
func (s *Suite) checkRules(p Program, rs []*rule, seen map[Column]bool) []Finding {
	doc, err := s.differencesText(p)
	if err != nil {
		return []Finding{{Column: Steps, Verdict: Differs, Why: []string{err.Error()}}}
	}
	var fs []Finding
	bad := func(d Diff, format string, args ...any) {
		fs = append(fs, Finding{Case: d.Case, Column: d.In, Verdict: Differs, Why: []string{fmt.Sprintf(format, args...)}})
	}
	// The words must be there whichever C this run is about.
	diffs := slices.Clone(p.Diffs)
	for _, c := range p.Cases {
		diffs = append(diffs, c.Diffs...)
	}
	missing := map[string]bool{}
	for _, d := range diffs {
		if (d.Doc == "" || !strings.Contains(doc, d.Doc)) && !missing[d.Doc] {
			missing[d.Doc] = true
			bad(d, "the section on differences does not say %q (%v)", d.Doc, d)
		}
	}
	for _, r := range rs {
		if !r.used && !r.Maybe && seen[r.In] {
			bad(r.Diff, "this listed difference did not show: %v", r.Diff)
		}
	}
	return fs
}

// exitColumn is where the exit status of a case stands.
func exitColumn(k Kind) Column {
	switch k {
	case Success:
		return Exit0
	case Usage:
		return ExitUse
	}
	return ExitFail
}

func (s *Suite) judgeCase(p Program, cr caseRun, rs []*rule) []Finding {
	c, g, o := cr.c, cr.g, cr.ccc
	exit := exitColumn(c.Kind)
	if errors.Is(o.Err, errNoHalf) {
		return []Finding{{Case: c.Name, Column: exit, Verdict: None, Why: []string{o.Err.Error()}}}
	}
	if errors.Is(o.Err, errNoTrace) {
		return []Finding{{Case: c.Name, Column: exit, Verdict: Skipped, Why: []string{c.Name + " " + o.Err.Error() + ": " + s.strace.cause}}}
	}
	if b, err := s.broken(p); err != nil {
		v := Differs
		if b.original {
			v = Skipped
		}
		return []Finding{{Case: c.Name, Column: exit, Verdict: v, Why: []string{err.Error()}}}
	}
	f := compare(c.Name, exit, []string{g.End}, []string{o.End}, rs)
	want := c.Want
	switch {
	case want != "":
	case c.Kind == Success:
		want = "exit status 0"
	default:
		want = fmt.Sprintf("exit status %d", p.Failure)
	}
	if g.End != want {
		f.Verdict = Differs
		f.Why = append(f.Why, fmt.Sprintf("Go ended with %s, want %s", g.End, want))
	}
	for _, e := range []struct {
		lang Lang
		err  error
	}{{Go, g.Err}, {C, o.Err}} {
		if e.err != nil {
			f.Verdict = Differs
			f.Why = append(f.Why, fmt.Sprintf("with the program in %v: %v", e.lang, e.err))
		}
	}
	fs := []Finding{
		f,
		compare(c.Name, Stdout, text(c.steady(g.Stdout)), text(c.steady(o.Stdout)), rs),
		compare(c.Name, Stderr, s.diagnostics(p, c, Go, g.Stderr), s.diagnostics(p, c, C, o.Stderr), rs),
		compare(c.Name, Objects, g.Objects, o.Objects, rs),
	}
	if len(g.Objects) == 0 && len(o.Objects) == 0 {
		fs[3].Verdict = None
	}
	switch {
	case !c.Trace:
	case !s.strace.ok():
		fs = append(fs, Finding{Case: c.Name, Column: Calls, Verdict: Skipped, Why: []string{s.strace.cause}})
	default:
		fs = append(fs, compare(c.Name, Calls, g.Calls, o.Calls, rs))
	}
	return fs
}

// steady returns output without what depends on the time.
func (c Case) steady(b []byte) []byte {
	if c.Varies == "" {
		return b
	}
	return regexp.MustCompile(c.Varies).ReplaceAll(b, []byte("…"))
}

// broken returns a C program of p that does not compile.
func (s *Suite) broken(p Program) (*cProgram, error) {
	for name, b := range s.halves {
		if n, _, _ := strings.Cut(name, "."); n == p.Name && b.err != nil {
			return b, b.err
		}
	}
	return nil, nil
}

// said stands for a message in the form that the programs of the suite have.
const said = "NAME: …"

// diagnostics returns what can be compared of standard error: all of it after
// success; after a failure only that there is a message and that it begins with
// the program's name, since its words are each language's own.
func (s *Suite) diagnostics(p Program, c Case, lang Lang, b []byte) []string {
	if c.Kind == Success || len(b) == 0 {
		return text(b)
	}
	first := text(b)[0]
	names := []string{p.Name}
	for name, b := range s.halves {
		if n, _, _ := strings.Cut(name, "."); n == p.Name {
			names = append(names, strings.TrimSuffix(filepath.Base(b.half.Sources[0]), filepath.Ext(b.half.Sources[0])))
		}
	}
	for _, name := range names {
		if strings.HasPrefix(first, name+": ") {
			return []string{said}
		}
	}
	if lang == C && s.original(p) {
		return []string{said} // each has a form of its own
	}
	return []string{first}
}

// checkPair runs a pair.
func (s *Suite) checkPair(ctx context.Context, p Pair, l, rt Lang) PairCell {
	cell := PairCell{Left: l.String(), Right: rt.String()}
	o := s.runPair(ctx, p, l, rt)
	for _, q := range s.built() {
		if q.Name != p.Left && q.Name != p.Right {
			continue
		}
		if b, err := s.broken(q); err != nil && (l == C || rt == C) {
			cell.Verdict, cell.Why = Differs, []string{err.Error()}
			if b.original {
				cell.Verdict = Skipped
			}
			return cell
		}
	}
	var got []byte
	for _, who := range p.Moved.Who {
		got = append(got, o.Outputs[who]...)
	}
	n := len(got)
	if p.Moved.Per != "" {
		n = len(regexp.MustCompile(p.Moved.Per).FindAll(got, -1))
	}
	wanted := []byte(p.Moved.Want)
	if p.Moved.Sort {
		got, wanted = sorted(got), sorted(wanted)
	}
	cell.Verdict = OK
	cell.Moved = fmt.Sprintf("%d %s", n, p.Moved.Unit)
	cell.Sum = sum(got)
	if o.Err != nil {
		cell.Why = append(cell.Why, o.Err.Error())
	}
	if want := sum(wanted); cell.Sum != want {
		cell.Why = append(cell.Why, fmt.Sprintf("%s arrived with sha256 %s, want %s", cell.Moved, cell.Sum, want))
	}
	if cell.Why != nil {
		cell.Verdict = Differs
	}
	return cell
}

// sorted takes the count from each line "N: TEXT" and sorts the texts.
func sorted(b []byte) []byte {
	var lines []string
	for l := range strings.Lines(string(b)) {
		if _, rest, ok := strings.Cut(l, ": "); ok {
			l = rest
		}
		lines = append(lines, l)
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// Differs tells whether anything differs that is not listed.
func (r *Report) Differs() bool {
	for _, p := range r.Programs {
		for _, v := range p.Cells {
			if v == Differs {
				return true
			}
		}
	}
	for _, p := range r.Pairs {
		for _, c := range p.Cells {
			if c.Verdict == Differs {
				return true
			}
		}
	}
	return false
}
