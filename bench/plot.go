package main

import (
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// plots draws what a run has found, for each placement: throughput against message
// size, ratio per workload, time against processes.
func plots(run *Run, dir string) error {
	// As in a browser, where Liberation has the widths of the fonts that stand for it.
	plot.DefaultFont.Variant = "Sans"
	var places []string
	for _, r := range run.Rows {
		if r.Error == "" && !slices.Contains(places, r.Placement) {
			places = append(places, r.Placement)
		}
	}
	prefix := ""
	if run.Quick {
		prefix = "quick-"
	}
	for _, place := range places {
		var rows []Row
		for _, r := range run.Rows {
			if r.Placement == place && r.Error == "" {
				rows = append(rows, r)
			}
		}
		for _, d := range []struct {
			name string
			draw func(rows []Row, title string) (*plot.Plot, vg.Length)
		}{{"throughput", throughput}, {"ratio", ratioPlot}, {"scaling", scaling}} {
			p, height := d.draw(rows, caption(run, place))
			if p == nil {
				continue
			}
			name := strings.ReplaceAll(prefix+d.name+"-"+place, "+", "-") + ".svg"
			if err := p.Save(22*vg.Centimeter, height, filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	p, height := overview(run)
	if p == nil {
		return nil
	}
	return p.Save(22*vg.Centimeter, height, filepath.Join(dir, prefix+"overview.svg"))
}

var placeNames = map[string]string{"one": "on one core", "two": "on two cores", "free": "left to the scheduler"}

func caption(run *Run, place string) string {
	name, busy := strings.CutSuffix(place, "+busy")
	name = placeNames[name]
	if busy {
		name += ", beside a busy loop on every core"
	}
	virtual := ""
	if run.Env.Virtual {
		virtual = ", virtual machine"
	}
	if name != "" {
		name = ", " + name
	}
	return fmt.Sprintf("%s\n%d × %s%s, %s, %s, %s", name, run.Env.CPUs, run.Env.CPU, virtual, run.Env.Kernel, run.Env.Go, run.Env.C)
}

var palette = []color.Color{
	color.RGBA{0x1f, 0x77, 0xb4, 0xff}, color.RGBA{0xd6, 0x27, 0x28, 0xff}, color.RGBA{0x2c, 0xa0, 0x2c, 0xff},
	color.RGBA{0x94, 0x67, 0xbd, 0xff}, color.RGBA{0xff, 0x7f, 0x0e, 0xff}, color.RGBA{0x8c, 0x56, 0x4b, 0xff},
	color.RGBA{0x17, 0xbe, 0xcf, 0xff}, color.RGBA{0x7f, 0x7f, 0x7f, 0xff}, color.RGBA{0xbc, 0xbd, 0x22, 0xff},
}

// A curve is one mechanism: Go's line is drawn through, C's in dashes.
type curve struct {
	name  string
	goXYs plotter.XYs
	cXYs  plotter.XYs
}

func draw2(p *plot.Plot, curves []*curve) error {
	for i, c := range curves {
		shade := palette[i%len(palette)]
		for j, xys := range []plotter.XYs{c.goXYs, c.cXYs} {
			if len(xys) == 0 {
				continue
			}
			slices.SortFunc(xys, func(a, b plotter.XY) int { return int(math.Copysign(1, a.X-b.X)) })
			line, points, err := plotter.NewLinePoints(xys)
			if err != nil {
				return err
			}
			line.Color, points.Color = shade, shade
			line.Width = vg.Points(1.3)
			points.Shape, points.Radius = draw.CircleGlyph{}, vg.Points(2.2)
			if j == 1 {
				line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
				points.Shape = draw.RingGlyph{}
			}
			p.Add(line, points)
			if j == 0 {
				p.Legend.Add(c.name+legendGap, line, points)
			}
		}
	}
	return nil
}

// collect sorts rows of Go into curves by name.
func collect(rows []Row, name func(Row) string, xy func(Row, *Side) plotter.XY) []*curve {
	var curves []*curve
	for _, r := range rows {
		n := name(r)
		if n == "" || r.Variant != "Go" {
			continue
		}
		i := slices.IndexFunc(curves, func(c *curve) bool { return c.name == n })
		if i < 0 {
			curves = append(curves, &curve{name: n})
			i = len(curves) - 1
		}
		c := curves[i]
		c.goXYs = append(c.goXYs, xy(r, &r.This))
		if r.C != nil {
			c.cXYs = append(c.cXYs, xy(r, r.C))
		}
	}
	return curves
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = 9
	p.Title.Padding = vg.Points(6)
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.X.Label.TextStyle.Font.Size, p.Y.Label.TextStyle.Font.Size = 9, 9
	p.Legend.TextStyle.Font.Size = 9
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{0xdd}, color.Gray{0xdd}
	p.Add(grid)
	return p
}

func throughput(rows []Row, title string) (*plot.Plot, vg.Length) {
	curves := collect(rows, func(r Row) string {
		switch {
		case r.Size <= 0 || r.Scale || r.Procs > 1:
			return ""
		case r.Workload == "pshm transfer":
			return "shared memory, turns"
		case r.Workload == "door call":
			return "door, there and back"
		}
		name, _ := strings.CutSuffix(r.Workload, " "+oneWay)
		if name == r.Workload {
			return ""
		}
		return name
	}, func(r Row, s *Side) plotter.XY {
		return plotter.XY{X: float64(r.Size), Y: float64(r.Size) / s.Median * 1e9 / (1 << 20)}
	})
	if len(curves) == 0 {
		return nil, 0
	}
	p := newPlot("Throughput"+title, "bytes a message (Go: lines drawn through, C: dashes)", "MiB/s")
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker = sizeTicks{}
	p.Y.Tick.Marker = plot.LogTicks{Prec: -1}
	if draw2(p, curves) != nil {
		return nil, 0
	}
	legendBeside(p, 30)
	return p, 15 * vg.Centimeter
}

// legendGap keeps a name off its sign in a font that is wider than expected.
const legendGap = "    "

// legendBeside makes room for the legend to the right of what is drawn: times as far as
// the greatest X, of a scale that is logarithmic.
func legendBeside(p *plot.Plot, times float64) {
	p.X.Max *= times
	p.Legend.Top = true
	p.Legend.XOffs = -vg.Points(5)
	p.Legend.YOffs = -vg.Points(5)
}

// labelledRows prepares the Y axis for a row of dots for each name. Names are drawn
// clear of the axis: a reader's font may be wider than the one they were measured with.
func labelledRows(p *plot.Plot, names []plot.Tick) {
	p.Y.Tick.Marker = plot.ConstantTicks(names)
	p.Y.Tick.Label.Font.Size = 8
	p.Y.Tick.LineStyle.Width = 0
	p.Y.LineStyle.Width = 0
	p.Y.Padding = vg.Points(16)
	p.Y.Min, p.Y.Max = -1, float64(len(names))
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.LogTicks{Prec: -1}
}

// sizeTicks are the sizes that were measured.
type sizeTicks struct{}

func (sizeTicks) Ticks(min, max float64) []plot.Tick {
	var t []plot.Tick
	for _, s := range sizes {
		if f := float64(s); f >= min && f <= max {
			t = append(t, plot.Tick{Value: f, Label: bytes(s)})
		}
	}
	if len(t) < 2 {
		return plot.LogTicks{Prec: -1}.Ticks(min, max)
	}
	return t
}

func scaling(rows []Row, title string) (*plot.Plot, vg.Length) {
	curves := collect(rows, func(r Row) string {
		if !r.Scale {
			return ""
		}
		return r.Workload
	}, func(r Row, s *Side) plotter.XY { return plotter.XY{X: float64(r.Procs), Y: s.Median} })
	if len(curves) == 0 {
		return nil, 0
	}
	p := newPlot("Processes"+title, "processes on each side (Go: lines drawn through, C: dashes)", "ns an operation")
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	var ticks []plot.Tick
	for n := 1; n <= 64; n *= 2 {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: fmt.Sprint(n)})
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Tick.Marker = plot.LogTicks{Prec: -1}
	if draw2(p, curves) != nil {
		return nil, 0
	}
	legendBeside(p, 4)
	return p, 13 * vg.Centimeter
}

// ratioPlot draws a line for each workload: the median ratio as a dot, the rounds'
// extremes as whiskers, the goal as a ring.
func ratioPlot(rows []Row, title string) (*plot.Plot, vg.Length) {
	var d dots
	var goals plotter.XYs
	var names []plot.Tick
	for _, r := range slices.Backward(rows) {
		if !r.comparable() {
			continue
		}
		y := float64(len(names))
		label := r.label()
		if r.Variant != "Go" {
			label += " (" + r.Variant + ")"
		}
		names = append(names, plot.Tick{Value: y, Label: label})
		d.add(r, y)
		if r.Limit > 0 {
			goals = append(goals, plotter.XY{X: r.Limit, Y: y})
		}
	}
	if len(names) == 0 {
		return nil, 0
	}
	p := newPlot("Go / C"+title, "time an operation, Go / C: left of 1 Go is faster (ring: the goal)", "")
	labelledRows(p, names)
	if parity(p, len(names)) != nil || d.draw(p, palette[0], "") != nil {
		return nil, 0
	}
	if len(goals) > 0 {
		g, err := plotter.NewScatter(goals)
		if err != nil {
			return nil, 0
		}
		g.Shape, g.Color, g.Radius = draw.RingGlyph{}, palette[1], vg.Points(3)
		p.Add(g)
	}
	return p, vg.Length(len(names))*0.42*vg.Centimeter + 4*vg.Centimeter
}

// overview draws the ratios of the mechanisms in a few placements side by side, for
// messages of one size.
func overview(run *Run) (*plot.Plot, vg.Length) {
	var labels []string
	inPlace := map[string]*dots{}
	row := func(r Row) int {
		if i := slices.Index(labels, r.label()); i >= 0 {
			return i
		}
		labels = append(labels, r.label())
		return len(labels) - 1
	}
	shown := []string{"two", "one", "one+busy"}
	for _, r := range run.Rows {
		usual := r.Size < 0 || r.Size == 64 || r.Size == 1<<10 && (r.Workload[:2] == "mq" || r.Workload[:2] == "ps")
		program := strings.HasPrefix(r.Workload, "start ") || strings.HasPrefix(r.Workload, "re-exec")
		if r.Variant != "Go" || !r.comparable() || !usual || program || r.Scale && (r.Procs != 2 || r.Workload != "mutex contended") || !slices.Contains(shown, r.Placement) {
			continue
		}
		if inPlace[r.Placement] == nil {
			inPlace[r.Placement] = &dots{}
		}
		inPlace[r.Placement].add(r, float64(row(r)))
	}
	if len(labels) == 0 {
		return nil, 0
	}
	p := newPlot("Go / C"+caption(run, ""), "time an operation, Go / C: left of 1 Go is faster", "")
	var names []plot.Tick
	for i, label := range labels {
		names = append(names, plot.Tick{Value: float64(len(labels) - 1 - i), Label: label})
	}
	labelledRows(p, names)
	if parity(p, len(names)) != nil {
		return nil, 0
	}
	for i, place := range shown {
		d := inPlace[place]
		if d == nil {
			continue
		}
		for j := range d.XYs { // from the top down, and a little apart
			d.XYs[j].Y = float64(len(labels)-1) - d.XYs[j].Y + 0.22*float64(1-i)
		}
		name, busy := strings.CutSuffix(place, "+busy")
		name = placeNames[name]
		if busy {
			name += ", busy"
		}
		if d.draw(p, palette[i], name) != nil {
			return nil, 0
		}
	}
	legendBeside(p, 8)
	return p, vg.Length(len(names))*0.55*vg.Centimeter + 4*vg.Centimeter
}

// comparable tells whether the row is a ratio that can be drawn.
func (r *Row) comparable() bool {
	return r.Error == "" && r.C != nil && r.Variant != "bound" && r.Ratio.Median > 0
}

// Dots are median ratios with whiskers from the least to the greatest.
type dots struct {
	plotter.XYs
	plotter.XErrors
}

func (d *dots) add(r Row, y float64) {
	d.XYs = append(d.XYs, plotter.XY{X: r.Ratio.Median, Y: y})
	d.XErrors = append(d.XErrors, struct{ Low, High float64 }{r.Ratio.Median - r.Ratio.Min, r.Ratio.Max - r.Ratio.Median})
}

func (d *dots) draw(p *plot.Plot, shade color.Color, name string) error {
	points, err := plotter.NewScatter(d.XYs)
	if err != nil {
		return err
	}
	points.Shape, points.Color, points.Radius = draw.CircleGlyph{}, shade, vg.Points(2.2)
	bars, err := plotter.NewXErrorBars(d)
	if err != nil {
		return err
	}
	bars.Color = shade
	p.Add(bars, points)
	if name != "" {
		p.Legend.Add(name+legendGap, points)
	}
	return nil
}

// parity draws the line at which Go takes as long as C.
func parity(p *plot.Plot, rows int) error {
	line, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -1}, {X: 1, Y: float64(rows)}})
	if err != nil {
		return err
	}
	line.Color = color.Gray{0x55}
	p.Add(line)
	return nil
}
