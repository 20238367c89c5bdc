package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// label is a row's workload with size and processes.
func (r *Row) label() string {
	return (&workload{name: r.Workload, size: r.Size, procs: r.Procs}).String()
}

// printTable prints the run for a person.
func printTable(w io.Writer, run *Run) error {
	e := run.Env
	kind := "bare metal"
	if e.Virtual {
		kind = "virtual"
	}
	c := e.C
	if c == "" {
		c = "no C compiler"
	}
	fmt.Fprintf(w, "%s, %s, %d CPUs (%s, %s), %s, %s, load %s to %s, %s, %d rounds\n\n",
		e.Kernel, e.Machine, e.CPUs, e.CPU, kind, e.Go, c, e.Load, e.LoadEnd, e.Date.Format("2006-01-02 15:04 MST"), run.Rounds)

	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "workload\tby\tplacement\tan op\tin C\tratio [min..max]\tverdict\treach\tp50 p99 p99.9\tin C\tCPU\tcalls, in C\tswitches, in C\tallocs\tmemory, in C")
	last := ""
	for _, r := range run.Rows {
		name := r.label()
		if name == last {
			name = "  \""
		} else {
			last = name
		}
		if r.Error != "" {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, r.Variant, r.Placement, r.Error)
			continue
		}
		in, ratio, lat, cpu, calls := "–", "–", "–", "–", "–"
		if r.C != nil {
			in = duration(r.C.Median)
			ratio = fmt.Sprintf("%s [%s..%s]", ratioText(r.Ratio.Median), ratioText(r.Ratio.Min), ratioText(r.Ratio.Max))
			lat = latencyText(r.C.Latency)
			cpu = ratioText(r.CPURatio.Median)
		}
		if r.This.Calls >= 0 {
			calls = fmt.Sprintf("%.3g", r.This.Calls)
			if r.C != nil {
				calls += fmt.Sprintf(", %.3g", r.C.Calls)
			}
		}
		switches := fmt.Sprintf("%.2g", r.This.Switches)
		if r.C != nil {
			switches += fmt.Sprintf(", %.2g", r.C.Switches)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			name, r.Variant, r.Placement, duration(r.This.Median), in, ratio, r.Verdict, r.reachText(),
			latencyText(r.This.Latency), lat, cpu, calls, switches, allocText(r), memoryText(r))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(run.Idle) > 0 {
		fmt.Fprintln(w, "\nA wait for a peer that never comes, in percent of a core:")
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, r := range run.Idle {
			fmt.Fprintf(t, "  %s\tGo %.3f\tC %.3f\n", r.Wait, r.Go, r.C)
		}
		t.Flush()
	}
	for _, note := range append(run.Notes, wakeNote(run)...) {
		fmt.Fprintln(w, "\n"+note)
	}
	misses, goals := missed(run)
	fmt.Fprintf(w, "\nOf %d goals this run reached %d.\n", goals, goals-len(misses))
	for _, m := range misses {
		fmt.Fprintln(w, "  missed:", m)
	}
	return nil
}

func (r *Row) reachText() string {
	switch {
	case r.Limit == 0:
		return "–"
	case r.Reached:
		return fmt.Sprintf("≤ %g yes", r.Limit)
	}
	return fmt.Sprintf("≤ %g NO", r.Limit)
}

func allocText(r Row) string {
	if r.Variant == "bound" || strings.HasPrefix(r.Variant, "C, d") || strings.HasPrefix(r.Workload, "start ") {
		return "–"
	}
	return fmt.Sprintf("%.2g", math.Round(r.This.Allocs*1000)/1000)
}

// memoryText is the resident memory of the largest process.
func memoryText(r Row) string {
	text := fmt.Sprintf("%.1f MiB", float64(r.This.RSS)/1024)
	if r.C != nil {
		text += fmt.Sprintf(", %.1f", float64(r.C.RSS)/1024)
	}
	return text
}

// wakeNote says what waking an idle CPU costs here, as C shows it: where that is
// much it decides every figure with a wake in it.
func wakeNote(run *Run) []string {
	var one, two float64
	for _, r := range run.Rows {
		if r.Workload == "sem ping-pong" && r.Variant == "Go" && r.C != nil {
			switch r.Placement {
			case "one":
				one = r.C.Median
			case "two":
				two = r.C.Median
			}
		}
	}
	if one == 0 || two == 0 {
		return nil
	}
	wake := (two - one) / 2
	note := fmt.Sprintf("Waking a process on another core takes C about %s here, and handing over on the same core %s.", duration(max(wake, 0)), duration(one/2))
	if wake > 10e3 && run.Env.Virtual {
		note += " That is the price of an idle virtual CPU; it decides all figures for \"two\", and for \"free\" where the scheduler spreads the halves. On bare metal the gap is far smaller."
	}
	return []string{note}
}

func ratioText(x float64) string {
	switch {
	case math.IsNaN(x):
		return "–"
	case x < 0.1:
		return fmt.Sprintf("%.4f", x)
	case x < 10:
		return fmt.Sprintf("%.3f", x)
	}
	return fmt.Sprintf("%.1f", x)
}

func latencyText(l Latency) string {
	if l.N == 0 {
		return "–"
	}
	return duration(float64(l.P50)) + " " + duration(float64(l.P99)) + " " + duration(float64(l.P999))
}

// duration prints ns with three digits.
func duration(ns float64) string {
	for _, u := range []struct {
		ns   float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}} {
		if ns >= u.ns {
			return digits(ns/u.ns) + u.name
		}
	}
	return digits(ns) + "ns"
}

func digits(x float64) string {
	switch {
	case x < 9.995:
		return fmt.Sprintf("%.2f", x)
	case x < 99.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
