package main

import (
	"math"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Spread is a median and the extremes around it.
type Spread struct {
	Median, Min, Max float64
}

func spread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{math.NaN(), math.NaN(), math.NaN()}
	}
	return Spread{median(values), slices.Min(values), slices.Max(values)}
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	if n == 0 {
		return math.NaN()
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// ratios divides round by round: what disturbed a round disturbed both sides.
func ratios(a, b []float64) []float64 {
	var r []float64
	for i := range min(len(a), len(b)) {
		r = append(r, a[i]/b[i])
	}
	return r
}

// The verdicts on a ratio of times. Only rounds that all agree make one.
const (
	ahead  = "ahead"
	behind = "behind"
	level  = "level"
)

func verdict(s Spread) string {
	switch {
	case s.Max < 1:
		return ahead
	case s.Min > 1:
		return behind
	}
	return level
}

// Latency is what single operations took, in ns.
type Latency struct {
	P50, P99, P999 int64
	N              int64
}

// longest is the longest time that a histogram holds, 10 minutes in ns; what is
// longer counts as that.
const longest = 600e9

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest, 3) }

func record(h *hdrhistogram.Histogram, samples []int64) {
	for _, s := range samples {
		h.RecordValue(min(max(s, 1), longest))
	}
}

func latency(h *hdrhistogram.Histogram) Latency {
	return Latency{h.ValueAtQuantile(50), h.ValueAtQuantile(99), h.ValueAtQuantile(99.9), h.TotalCount()}
}
