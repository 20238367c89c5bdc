package e2e

// archNoise are calls that only this architecture has; see noise.
var archNoise = map[int]bool{}
