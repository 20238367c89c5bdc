package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Row of two texts side by side: equal lines, a line that only one has, or two
// that stand in the same place and differ.
type Row struct {
	Go, C string
	Mark  Mark
}

// Mark tells how the halves of a Row relate.
type Mark string

const (
	Same   Mark = "="
	OnlyGo Mark = "<"
	OnlyC  Mark = ">"
	Other  Mark = "|"
)

// sideBySide aligns two texts along their longest common subsequence.
func sideBySide(g, c []string) []Row {
	// length[i][j] is the length of the one of g[i:] and c[j:].
	length := make([][]int, len(g)+1)
	for i := range length {
		length[i] = make([]int, len(c)+1)
	}
	for i := len(g) - 1; i >= 0; i-- {
		for j := len(c) - 1; j >= 0; j-- {
			if g[i] == c[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var rows []Row
	for i, j := 0, 0; i < len(g) || j < len(c); {
		if i < len(g) && j < len(c) && g[i] == c[j] {
			rows = append(rows, Row{g[i], c[j], Same})
			i, j = i+1, j+1
			continue
		}
		// All up to the next common line is one hunk.
		fromI, fromJ := i, j
		for i < len(g) || j < len(c) {
			if i < len(g) && j < len(c) && g[i] == c[j] {
				break
			}
			if j == len(c) || i < len(g) && length[i+1][j] >= length[i][j+1] {
				i++
			} else {
				j++
			}
		}
		for k := range max(i-fromI, j-fromJ) {
			switch {
			case fromI+k >= i:
				rows = append(rows, Row{"", c[fromJ+k], OnlyC})
			case fromJ+k >= j:
				rows = append(rows, Row{g[fromI+k], "", OnlyGo})
			default:
				rows = append(rows, Row{g[fromI+k], c[fromJ+k], Other})
			}
		}
	}
	return rows
}

// A Verdict is a cell of the table.
type Verdict string

const (
	OK      Verdict = "ok"
	Differs Verdict = "differs"
	Listed  Verdict = "listed" // differs, as the program's documentation says
	None    Verdict = "–"      // nothing to compare
	Skipped Verdict = "skipped"
)

// severity orders verdicts: a cell of several comparisons has the worst.
var severity = []Verdict{None, Skipped, OK, Listed, Differs}

func worst(a, b Verdict) Verdict {
	return severity[max(slices.Index(severity, a), slices.Index(severity, b))]
}

// A Finding is one comparison: of one column in one case.
type Finding struct {
	Case    string   `json:"case,omitempty"`
	Column  Column   `json:"column"`
	Verdict Verdict  `json:"verdict"`
	Why     []string `json:"why,omitempty"` // differences, causes, the words that list them
	Rows    []Row    `json:"-"`
}

// A rule is a Diff with its expressions compiled, and a note of its use.
type rule struct {
	Diff
	g, c *regexp.Regexp
	used bool
}

func rules(diffs []Diff, of Against) ([]*rule, error) {
	var rs []*rule
	for _, d := range diffs {
		if d.Of != Any && d.Of != of {
			continue
		}
		r := &rule{Diff: d}
		for _, e := range []struct {
			text string
			re   **regexp.Regexp
		}{{d.Go, &r.g}, {d.C, &r.c}} {
			if e.text == "" {
				continue
			}
			re, err := regexp.Compile("^(?:" + e.text + ")$")
			if err != nil {
				return nil, err
			}
			*e.re = re
		}
		rs = append(rs, r)
	}
	return rs, nil
}

func (d Diff) String() string {
	switch {
	case d.Go == "":
		return "only C: " + d.C
	case d.C == "":
		return "only Go: " + d.Go
	}
	return fmt.Sprintf("Go %s, C %s", d.Go, d.C)
}

// compare compares one column of one case.
func compare(name string, col Column, g, c []string, rs []*rule) Finding {
	f := Finding{Case: name, Column: col, Verdict: OK, Rows: sideBySide(g, c)}
	var hunk []Row
	flush := func() {
		if len(hunk) > 0 {
			v, why := judge(hunk, name, col, rs)
			f.Verdict = worst(f.Verdict, v)
			for _, w := range why {
				if !slices.Contains(f.Why, w) {
					f.Why = append(f.Why, w)
				}
			}
			hunk = nil
		}
	}
	for _, row := range f.Rows {
		if row.Mark == Same {
			flush()
			continue
		}
		hunk = append(hunk, row)
	}
	flush()
	return f
}

// judge tells whether rules account for every line of a hunk: first those for a
// line of each, then those for a line that only one has.
func judge(hunk []Row, name string, col Column, rs []*rule) (Verdict, []string) {
	var g, c []string
	for _, row := range hunk {
		if row.Mark != OnlyC {
			g = append(g, row.Go)
		}
		if row.Mark != OnlyGo {
			c = append(c, row.C)
		}
	}
	var why []string
	take := func(lines []string, re *regexp.Regexp) ([]string, bool) {
		i := slices.IndexFunc(lines, re.MatchString)
		if i < 0 {
			return lines, false
		}
		return slices.Delete(slices.Clone(lines), i, i+1), true
	}
	note := func(r *rule) {
		r.used = true
		why = append(why, fmt.Sprintf("%q", r.Doc))
	}
	mine := func(r *rule) bool { return r.In == col && (r.Case == "" || r.Case == name) }
	for _, r := range rs {
		if !mine(r) || r.g == nil || r.c == nil {
			continue
		}
		for {
			g2, ok := take(g, r.g)
			c2, ok2 := take(c, r.c)
			if !ok || !ok2 {
				break
			}
			g, c = g2, c2
			note(r)
		}
	}
	for _, r := range rs {
		if !mine(r) || r.g != nil && r.c != nil {
			continue
		}
		for {
			var ok bool
			if r.g != nil {
				g, ok = take(g, r.g)
			} else {
				c, ok = take(c, r.c)
			}
			if !ok {
				break
			}
			note(r)
		}
	}
	if len(g) == 0 && len(c) == 0 {
		return Listed, why
	}
	why = nil
	for i := range max(len(g), len(c)) {
		switch {
		case i >= len(g):
			why = append(why, fmt.Sprintf("only C has %q", c[i]))
		case i >= len(c):
			why = append(why, fmt.Sprintf("only Go has %q", g[i]))
		default:
			why = append(why, fmt.Sprintf("Go has %q, C %q", g[i], c[i]))
		}
	}
	return Differs, why
}

// text returns bytes as lines that can be shown: all of a short text, the size and
// checksum of a long one.
func text(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	if len(b) > 16<<10 {
		return []string{fmt.Sprintf("%d bytes, sha256 %s", len(b), sum(b))}
	}
	var lines []string
	for l := range strings.Lines(string(b)) {
		body, end := strings.CutSuffix(l, "\n")
		q := fmt.Sprintf("%q", body)
		if body == q[1:len(q)-1] || strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`) == body {
			q = body
		}
		if !end {
			q += " (and no newline)"
		}
		lines = append(lines, q)
	}
	return lines
}
