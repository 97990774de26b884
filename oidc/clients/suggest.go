package clients

import "strings"

// didYouMean returns a hint that names the candidate nearest to what was
// written, or "" where nothing is near.
func didYouMean(written string, candidates []string) string {
	written = strings.ToLower(written)
	best, bestDistance := "", len(written)/3+2
	for _, c := range candidates {
		d := distance(written, strings.ToLower(c))
		if last := c[strings.LastIndexByte(c, '.')+1:]; last == written {
			d = 1 // the right word at the wrong depth
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance counts the letters to insert, remove, replace or swap with their
// neighbour on the way from a to b (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 { // nothing we know is as long
		return 64
	}
	before, previous, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous, row = previous, row, before
	}
	return previous[len(b)]
}
