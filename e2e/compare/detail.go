package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// width returns the number of columns of the terminal.
func width() int {
	if ws, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ); err == nil && ws.Col > 0 {
		return int(ws.Col)
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return 160
}

// columns prints two texts side by side.
type twoColumns struct {
	w    io.Writer
	half int
}

func newTwoColumns(w io.Writer, width int) twoColumns {
	return twoColumns{w, max(20, (width-3)/2)}
}

// row prints one line of each; a long one goes on in the next rows.
func (t twoColumns) row(g, mark, c string) {
	left, right := t.wrap(g), t.wrap(c)
	for i := range max(len(left), len(right)) {
		var l, r string
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		m := mark
		if i > 0 {
			m = " "
		}
		pad := strings.Repeat(" ", t.half-utf8.RuneCountInString(l))
		fmt.Fprintln(t.w, strings.TrimRight(l+pad+" "+m+" "+r, " "))
	}
}

// wrap breaks a line that does not fit, and indents the rest as the line is.
func (t twoColumns) wrap(l string) []string {
	runes := []rune(strings.ReplaceAll(l, "\t", "    "))
	indent := 0
	for indent < len(runes) && runes[indent] == ' ' && indent < t.half/2 {
		indent++
	}
	var lines []string
	for len(runes) > t.half {
		at := t.half
		for i := t.half; i > indent+t.half/3; i-- {
			if runes[i] == ' ' {
				at = i
				break
			}
		}
		lines = append(lines, string(runes[:at]))
		rest := strings.TrimLeft(string(runes[at:]), " ")
		runes = []rune(strings.Repeat(" ", min(indent+4, t.half/2)) + rest)
	}
	return append(lines, string(runes))
}

func (t twoColumns) rule(title string) {
	fmt.Fprintf(t.w, "\n── %s %s\n", title, strings.Repeat("─", max(0, 2*t.half-len([]rune(title))-1)))
}

// WriteDetail prints one program: the texts by step, then the runs.
func (s *Suite) WriteDetail(w io.Writer, r *Report, width int) error {
	t := newTwoColumns(w, width)
	for i, p := range r.Programs {
		goFiles, cFiles, originals := s.fileNames(s.Programs[i])
		fmt.Fprintf(w, "%s: %s beside %s\n", p.Name, goFiles, cFiles)
		if originals != "" {
			fmt.Fprintf(w, "The runs are those of the original: %s\n", originals)
		}
		g, c, _ := s.steps(s.Programs[i])
		for _, pair := range byNumber(g, c) {
			t.rule(fmt.Sprintf("step [%d]", pair.number))
			for k := range max(len(pair.g), len(pair.c)) {
				var l, rt string
				if k < len(pair.g) {
					l = pair.g[k]
				}
				if k < len(pair.c) {
					rt = pair.c[k]
				}
				t.row(l, "", rt)
			}
		}
		s.writeRuns(t, p)
	}
	fmt.Fprintln(w)
	return r.WriteTable(w)
}

// fileNames returns the texts of a program, and its originals if they are run.
func (s *Suite) fileNames(p Program) (goFiles, cFiles, originals string) {
	var g, o []string
	for _, path := range s.glob("examples/" + p.Name + "/*.go") {
		if !strings.HasSuffix(path, "_test.go") {
			g = append(g, path)
		}
	}
	if halves, original := s.choose(p); original {
		for _, h := range halves {
			o = append(o, h.Sources...)
		}
	}
	return strings.Join(g, ", "), strings.Join(s.glob("examples/"+p.Name+"/*.c"), ", "), strings.Join(o, ", ")
}

// A stepPair is a step in both texts.
type stepPair struct {
	number int
	g, c   []string
}

// byNumber puts the steps beside each other, in the order of their numbers.
func byNumber(g, c []step) []stepPair {
	last := 0
	for _, s := range append(append([]step{}, g...), c...) {
		last = max(last, s.number)
	}
	var pairs []stepPair
	for n := 1; n <= last; n++ {
		p := stepPair{number: n}
		for _, s := range g {
			if s.number == n {
				p.g = append(p.g, s.text...)
			}
		}
		for _, s := range c {
			if s.number == n {
				p.c = append(p.c, s.text...)
			}
		}
		if p.g != nil || p.c != nil {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// writeRuns prints what each case showed.
func (s *Suite) writeRuns(t twoColumns, p ProgramReport) {
	marks := map[Verdict]string{OK: "same", Differs: "differs", Listed: "listed", Skipped: "skipped", None: "–"}
	for _, cr := range p.cases {
		t.rule(fmt.Sprintf("run: %s", cr.c.Name))
		fmt.Fprintf(t.w, "$ %s%s\n", p.Name, shellWords(cr.c.Run))
		for _, f := range p.Findings {
			if f.Case != cr.c.Name {
				continue
			}
			fmt.Fprintf(t.w, "\n%s: %s\n", f.Column, marks[f.Verdict])
			for _, why := range f.Why {
				fmt.Fprintf(t.w, "  %s\n", why)
			}
			t.rows(f.Rows)
		}
	}
}

// rows prints rows with their marks. Of many that are the same it prints the first
// and the last.
func (t twoColumns) rows(rows []Row) {
	const many, ends = 24, 8
	for i := 0; i < len(rows); i++ {
		same := 0
		for i+same < len(rows) && rows[i+same].Mark == Same {
			same++
		}
		if same == 0 {
			t.row(rows[i].Go, string(rows[i].Mark), rows[i].C)
			continue
		}
		for k, row := range rows[i : i+same] {
			if same > many && k >= ends && k < same-ends {
				if k == ends {
					fmt.Fprintf(t.w, "… %d lines that are the same …\n", same-2*ends)
				}
				continue
			}
			t.row(row.Go, " ", row.C)
		}
		i += same - 1
	}
}

// shellWords returns arguments and standard input as a person would type them.
func shellWords(p Proc) string {
	var b strings.Builder
	for _, a := range p.Args {
		b.WriteByte(' ')
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\*?&|<>;()$`") && !strings.HasPrefix(a, "$NAME") {
			b.WriteString(fmt.Sprintf("%.60q", a))
		} else {
			b.WriteString(fmt.Sprintf("%.60s", a))
		}
	}
	if p.Stdin != "" {
		fmt.Fprintf(&b, "   # standard input: %d bytes, %.40q…", len(p.Stdin), p.Stdin)
	}
	return b.String()
}
