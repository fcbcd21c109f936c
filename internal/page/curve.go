package page

import (
	"slices"
	"time"
)

// mostPoints bounds a Curve: more than a screen has columns for.
const mostPoints = 600

// Curve is the course of a training, in a bounded number of points. When it is full every other
// point goes, and points come half as often: it always spans the whole course.
type Curve struct {
	points []Point
	every  time.Duration // the least time between two points
}

// firstInterval is a Curve's in its beginning.
const firstInterval = time.Second

// Due reports whether the curve takes another point now.
func (c *Curve) Due(now time.Time) bool {
	return len(c.points) == 0 || now.Sub(c.points[len(c.points)-1].At) >= max(c.every, firstInterval)
}

// Add adds a point that is due.
func (c *Curve) Add(p Point) {
	c.points = append(c.points, p)
	if len(c.points) < mostPoints {
		return
	}
	kept := c.points[:0]
	for i := 0; i < len(c.points); i += 2 {
		kept = append(kept, c.points[i])
	}
	c.points = kept
	c.every = 2 * max(c.every, firstInterval)
}

// Points are those that it has, for the caller to keep.
func (c *Curve) Points() []Point { return slices.Clone(c.points) }
