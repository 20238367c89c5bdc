package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteTable prints the report for a person.
func (r *Report) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	originals := slices.ContainsFunc(r.Programs, func(p ProgramReport) bool { return p.C == "original" })
	head := []string{"PROGRAM"}
	if originals {
		head = append(head, "C TEXT")
	}
	for _, col := range columns {
		head = append(head, strings.ToUpper(string(col)))
	}
	fmt.Fprintln(tw, strings.Join(head, "\t"))
	for _, p := range r.Programs {
		row := []string{p.Name}
		if originals {
			row = append(row, p.C)
		}
		for _, col := range columns {
			row = append(row, string(p.Cells[col]))
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(r.Pairs) > 0 {
		fmt.Fprintln(w)
		head := []string{"PAIR"}
		for _, l := range combinations {
			head = append(head, fmt.Sprintf("%v–%v", l[0], l[1]))
		}
		fmt.Fprintln(tw, strings.Join(append(head, "MOVED", "SHA-256"), "\t"))
		for _, p := range r.Pairs {
			row := []string{p.Name}
			for _, c := range p.Cells {
				row = append(row, string(c.Verdict))
			}
			moved, sums := p.moved()
			fmt.Fprintln(tw, strings.Join(append(row, moved, sums), "\t"))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	r.writeNotes(w)
	return nil
}

// moved returns what all four combinations moved, or that they disagree.
func (p PairReport) moved() (moved, sum string) {
	for _, c := range p.Cells {
		if c.Verdict == Skipped {
			continue
		}
		if moved == "" {
			moved, sum = c.Moved, c.Sum
		}
		if c.Sum != sum {
			return "not the same", "–"
		}
	}
	if sum == "" {
		return "–", "–"
	}
	return moved, sum[:16] + "…"
}

// writeNotes explains every cell that is not plainly ok.
func (r *Report) writeNotes(w io.Writer) {
	for _, v := range []Verdict{Differs, Skipped, Listed} {
		var notes []string
		for _, p := range r.Programs {
			for _, f := range p.Findings {
				if f.Verdict != v {
					continue
				}
				where := fmt.Sprintf("%s, %s", p.Name, f.Column)
				if f.Case != "" && v == Differs {
					where += ", " + f.Case
				}
				for _, why := range f.Why {
					if n := fmt.Sprintf("  %s: %s", where, why); !slices.Contains(notes, n) {
						notes = append(notes, n)
					}
				}
			}
		}
		for _, p := range r.Pairs {
			for _, c := range p.Cells {
				if c.Verdict == v {
					for _, why := range c.Why {
						notes = append(notes, fmt.Sprintf("  %s, %s–%s: %s", p.Name, c.Left, c.Right, why))
					}
				}
			}
		}
		if len(notes) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s:\n%s\n", headings[v], strings.Join(notes, "\n"))
	}
	if len(r.Warnings) > 0 {
		fmt.Fprintf(w, "\nThe C compiler warns:\n  %s\n", strings.Join(r.Warnings, "\n  "))
	}
}

var headings = map[Verdict]string{
	Differs: "Differs, and no documentation says so",
	Skipped: "Skipped",
	Listed:  "Differs as the program's documentation says",
}
